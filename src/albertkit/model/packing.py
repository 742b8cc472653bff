"""Where the tokens of a batch stand, packed and padded, and who may look at whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError
from albertkit.model import checks

_SHORT = 8  # tokens; shorter sequences are padded together


@dataclass
class Layout:
    """Positions of S packed tokens, and their indices in the padded batch of B sequences by T.

    `indices` is None when the tokens fill the padded batch in order; `mask` is None when every
    token may look at every token of its sequence, which is the fast case. `parts`, if any, are
    layouts of the sequences of about one length, which attention pads together.
    """

    batch_size: int
    max_length: int
    positions: Tensor  # (S,) position of each token in its sequence
    first: Tensor  # (B,) index of the first token of each sequence among the S
    indices: Tensor | None = None  # (S,) index of each token in the flattened padded batch
    mask: Tensor | None = None  # (B, 1, 1, T) bool, True where a token may be looked at
    parts: Sequence[Part] = ()

    def to_padded(self, x: Tensor) -> Tensor:
        """(S, H) tokens as (B, T, H), zeros where there is no token; more than S are cut."""
        x = x[: len(self.positions)]
        if self.indices is not None:
            padded = x.new_zeros(self.batch_size * self.max_length, x.shape[-1])
            x = padded.index_copy(0, self.indices, x)
        return x.view(self.batch_size, self.max_length, -1)

    def to_packed(self, x: Tensor, count: int) -> Tensor:
        """(B, T, H) back to (S, H), with zeros behind them up to `count`."""
        x = x.flatten(0, 1)
        x = x if self.indices is None else x.index_select(0, self.indices)
        return x if len(x) == count else F.pad(x, (0, 0, 0, count - len(x)))

    @classmethod
    def of(
        cls,
        config: AlbertConfig,
        ids: Tensor,
        segment_ids: Tensor | None,
        mask: Tensor | None,
        lengths: Tensor | None,
    ) -> Layout:
        """Layout of a padded (B, T) or packed (S,) batch.

        Values are checked on the CPU only: on an accelerator a look at them would stop it.

        Raises:
            ConfigError: shapes that do not belong together, or numbers outside the tables.
        """
        check_ids(config, ids, segment_ids)
        if ids.ndim == 2:
            return cls._padded(config, ids, mask, lengths)
        if lengths is None or mask is not None:
            raise ConfigError(
                "A packed batch says where its rows end.",
                expected="ids (S,) with lengths (B,) and no mask",
                found=f"lengths={'none' if lengths is None else 'given'}, "
                f"mask={'none' if mask is None else 'given'}",
                fix="pass lengths, or padded ids (B, T)",
            )
        return cls._packed(config, ids, lengths)

    @classmethod
    def _padded(
        cls, config: AlbertConfig, ids: Tensor, mask: Tensor | None, lengths: Tensor | None
    ) -> Layout:
        batch_size, max_length = ids.shape
        checks.check_max_length(config, max_length)
        column = torch.arange(max_length, device=ids.device)
        if lengths is not None:
            check_lengths(lengths, batch_size, max_length)
            checks.check_one_of(mask, lengths)
            mask = column < lengths.to(ids.device)[:, None]  # (B, T)
        if mask is not None:
            found = str(mask.dtype).removeprefix("torch.")
            checks.check_mask(tuple(ids.shape), tuple(mask.shape), found)
            if can_look_at(mask) and bool(mask.all()):
                mask = None
        return cls(
            batch_size=batch_size,
            max_length=max_length,
            positions=column.repeat(batch_size),
            first=torch.arange(0, batch_size * max_length, max_length, device=ids.device),
            mask=None if mask is None else mask[:, None, None, :],
        )

    @classmethod
    def _packed(cls, config: AlbertConfig, ids: Tensor, lengths: Tensor) -> Layout:
        lengths = lengths.to("cpu", torch.int64)  # the padded shape is needed in Python
        batch_size, max_length = len(lengths), int(lengths.max()) if len(lengths) else 0
        checks.check_max_length(config, max_length)
        check_lengths(lengths, batch_size, max_length)
        if int(lengths.sum()) != len(ids):
            raise ConfigError(
                "The lengths do not add up to the tokens.",
                expected=f"{len(ids)} tokens",
                found=f"lengths that sum to {int(lengths.sum())}",
                fix="give the number of tokens of each row",
            )
        ends = lengths.cumsum(0)
        row = torch.repeat_interleave(torch.arange(batch_size), lengths)  # (S,)
        column = torch.arange(len(ids)) - (ends - lengths)[row]  # (S,)
        first = (ends - lengths).to(ids.device)
        full = len(ids) == batch_size * max_length
        mask = None if full else (torch.arange(max_length) < lengths[:, None]).to(ids.device)
        by_length = can_look_at(ids) and not full
        return cls(
            batch_size=batch_size,
            max_length=max_length,
            positions=column.to(ids.device),
            first=first,
            indices=None if full else (row * max_length + column).to(ids.device),
            mask=None if mask is None else mask[:, None, None, :],
            parts=_parts(config, ids, lengths, row) if by_length else (),
        )


@dataclass
class Part:
    """Some tokens of a packed batch, and their layout as a batch of their own."""

    tokens: Tensor  # (P,) of the S tokens
    layout: Layout


def _parts(config: AlbertConfig, ids: Tensor, lengths: Tensor, row: Tensor) -> list[Part]:
    """The sequences in parts of about one length; row (S,) is the sequence of each token.

    Attention takes time with the square of the padded length. None if all are of about one.
    """
    kind = (2 * lengths.clamp(min=_SHORT).log2()).round()  # lengths of one kind: up to 1.4 times
    kinds = kind.unique()
    if len(kinds) < 2:
        return []
    chosen = [kind == each for each in kinds]
    tokens = [mine[row].nonzero().squeeze(1) for mine in chosen]
    return [
        Part(places, Layout._packed(config, ids[places], lengths[mine]))
        for places, mine in zip(tokens, chosen, strict=True)
    ]


def can_look_at(x: Tensor) -> bool:
    """Whether reading values costs nothing: on the CPU, and not while a graph is recorded."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def check_ids(config: AlbertConfig, ids: Tensor, segment_ids: Tensor | None) -> None:
    """Refuse ids and segments of the wrong shape or outside their tables."""
    checks.check_shapes(tuple(ids.shape), None if segment_ids is None else tuple(segment_ids.shape))
    for name, values in (("id", ids), ("segment", segment_ids)):
        if values is not None and can_look_at(values):
            low, high = (int(x) for x in values.aminmax())
            checks.check_values(config, name, low, high)


def check_lengths(lengths: Tensor, batch_size: int, max_length: int) -> None:
    """Refuse lengths that no row of the batch can have."""
    checks.check_number_of_lengths(tuple(lengths.shape), batch_size)
    if can_look_at(lengths) and batch_size:
        checks.check_lengths(int(lengths.min()), int(lengths.max()), max_length)
