"""Heads of tasks: hidden states to logits. What head a checkpoint has says its `TaskHead`.

The names of the parameters are those of `TaskHead.shapes`. Losses are elsewhere.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from albertkit.config import AlbertConfig
from albertkit.model import checks
from albertkit.model.albert import Albert, initialize
from albertkit.model.outputs import (
    AlbertOutput,
    SpanBeam,
    TaskOutput,
    with_transformers_arguments,
)
from albertkit.model.packing import Layout
from albertkit.tasks.head import TaskHead

_NEVER = -1e30  # google's logit of a place where no answer may stand


class BeamSpanHead(nn.Module):
    """Start, end given the start, and whether there is an answer at all.

    Source: google-research/albert, squad_utils.py, create_v2_model.
    """

    def __init__(self, config: AlbertConfig, head: TaskHead) -> None:
        super().__init__()
        width = config.hidden_size
        self.start_n_top, self.end_n_top = head.start_n_top, head.end_n_top
        self.start = nn.Linear(width, 1)
        self.end_transform = nn.Linear(2 * width, width)
        self.end_norm = nn.LayerNorm(width, eps=1e-12)
        self.end = nn.Linear(width, 1)
        self.answer_transform = nn.Linear(2 * width, width)
        self.answer = nn.Linear(width, 1, bias=False)
        self.dropout = nn.Dropout(config.classifier_dropout_prob)

    def forward(
        self, tokens: Tensor, allowed: Tensor | None, start_places: Tensor | None = None
    ) -> SpanBeam:
        """The best answers of rows (B, T, H).

        allowed: (B, T), where an answer may stand. start_places: (B,), true starts.
        """
        columns, width = tokens.shape[1:]
        starts = barred(self.start(tokens).squeeze(-1), allowed).log_softmax(-1)  # (B, T)
        start_scores, best = starts.topk(min(self.start_n_top, columns))  # (B, K)
        ends = self.ends_given(tokens, best, allowed)  # (B, K, T)
        end_scores, end_places = ends.topk(min(self.end_n_top, columns))  # (B, K, L)
        mean_start = torch.einsum("bt,bth->bh", starts.exp(), tokens)
        evidence = torch.cat([mean_start, tokens[:, 0]], -1)  # (B, 2H)
        inner = self.dropout(torch.tanh(self.answer_transform(evidence)))
        given = None
        if start_places is not None:
            given = self.ends_given(tokens, start_places[:, None], allowed)[:, 0]
        return SpanBeam(
            starts=starts,
            start_scores=start_scores,
            start_places=best,
            end_scores=end_scores,
            end_places=end_places,
            unanswerable=self.answer(inner).squeeze(-1),
            ends=given,
        )

    def ends_given(self, tokens: Tensor, starts: Tensor, allowed: Tensor | None) -> Tensor:
        """Log-probabilities (B, K, T) of each end for each of the starts (B, K).

        The matrix meets token and start next to each other; it is applied to both apart, since
        their pairs (B, K, T, 2H) would be large.
        """
        width = tokens.shape[-1]
        of_token, of_start = self.end_transform.weight.split(width, 1)
        at = starts[..., None].expand(-1, -1, width)
        chosen = tokens.gather(1, at) @ of_start.T + self.end_transform.bias  # (B, K, H)
        pairs = chosen[:, :, None] + (tokens @ of_token.T)[:, None]  # (B, K, T, H)
        logits = self.end(self.end_norm(torch.tanh(pairs))).squeeze(-1)
        return barred(logits, None if allowed is None else allowed[:, None]).log_softmax(-1)


def beam_rows(beam: SpanBeam) -> Tensor:
    """The beams as (B, K * L, 4): start, end, and the logarithm of the probability of each."""
    ends = beam.end_places  # (B, K, L)
    columns = [
        beam.start_places[..., None].expand_as(ends),
        ends,
        beam.start_scores[..., None].expand_as(ends),
        beam.end_scores,
    ]
    return torch.stack([x.float() for x in columns], -1).flatten(1, 2)


def barred(logits: Tensor, allowed: Tensor | None) -> Tensor:
    """Logits with places that are not allowed pushed down."""
    if allowed is None:
        return logits
    return logits.masked_fill(~allowed, max(_NEVER, torch.finfo(logits.dtype).min))


def pool_like_uer(pooling: str, tokens: Tensor, segments: Tensor, real: Tensor) -> Tensor:
    """One vector (B, H) of each row (B, T, H), the way UER-py's classifier pools.

    It multiplies each token by its segment number (B, T), 1 or 2: with a second segment `uer_mean`
    counts it double, `uer_last` gives a doubled vector, and `uer_max` is 2 ** 63 throughout, which
    the pooler turns into 1 and -1. Numbers are those of UER-py, such as they are.
    """
    weight = (segments * real)[..., None].to(tokens.dtype)  # (B, T, 1)
    weighted = tokens * weight
    if pooling == "uer_mean":
        return weighted.sum(1) / weight.sum(1)
    if pooling == "uer_max":
        return (weighted + (weight - 1) * sys.maxsize).amax(1)
    last = real.sum(1) - 1  # (B,)
    return weighted[torch.arange(len(last), device=last.device), last]


class AlbertForTask(nn.Module):
    """The body with the head of a task; early_exit: and a classifier after each layer below.

    Those are for `model/early_exit.py`; `forward` leaves them out.
    """

    def __init__(
        self, config: AlbertConfig, head: TaskHead, *, pooler: bool = True, early_exit: bool = False
    ) -> None:
        super().__init__()
        self.config, self.head = config, head
        self.albert = Albert(config, pooler=pooler or head.needs_pooler)
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        module = (
            BeamSpanHead(config, head)
            if head.kind == "beam_span"
            else nn.Linear(config.hidden_size, head.num_labels)
        )
        initialize(module, config.initializer_range)
        self.add_module(head.part, module)
        self.exits: nn.ModuleList | None = None
        if early_exit:
            below = range(len(self.albert.encoder.plan) - 1)
            self.exits = nn.ModuleList(
                nn.Linear(config.hidden_size, head.num_labels) for _ in below
            )
            initialize(self.exits, config.initializer_range)

    @with_transformers_arguments
    def forward(
        self,
        ids: Tensor,
        segment_ids: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        lengths: Tensor | None = None,
        allowed: Tensor | None = None,
        start_places: Tensor | None = None,
        positions: Tensor | None = None,
        return_all: bool = False,
    ) -> TaskOutput:
        """Logits of the task for a padded or packed batch; see `Albert`.

        Multiple choice takes ids (B, choices, T) with segment_ids and mask of this shape, or
        packed ids with lengths (B, choices).

        Args:
            ids: integers below vocab_size.
            segment_ids: 0 or 1 for each token.
            mask: padded only; True for tokens that may be looked at.
            lengths: tokens of each row.
            allowed: `beam_span` only; (B, T) bool, True where an answer may stand (google: [CLS]
                and the paragraph); every real token if left out.
            start_places: `beam_span` only; (B,) true starts, to get the ends given them.
            positions: (M,) needed tokens, see `Albert`; empty for heads that read rows.
            return_all: also keep every hidden state and attention.

        Raises:
            ConfigError: a batch that this model has no room for, or of the wrong shape.
        """
        kind = self.head.kind
        choices = None
        if kind == "multiple_choice":
            choices = _choices(ids, lengths)
            ids, segment_ids, mask, lengths = _as_rows(ids, segment_ids, mask, lengths)
        if kind == "beam_span" or self.head.pooling != "first":
            positions = None  # these read every token
        encoder = self.albert(
            ids,
            segment_ids,
            mask=mask,
            lengths=lengths,
            positions=positions,
            return_all=return_all,
        )
        module = self.get_submodule(self.head.part)
        if kind == "beam_span":
            layout = Layout.of(self.config, ids, segment_ids, mask, lengths)
            tokens = layout.to_padded(encoder.hidden.flatten(0, -2))
            beam = module(tokens, _allowed(allowed, layout), start_places)
            return TaskOutput(encoder, beam=beam)
        if kind == "span":
            start, end = module(encoder.hidden).unbind(-1)
            return TaskOutput(encoder, start=start, end=end)
        if kind == "token_classification":
            return TaskOutput(encoder, logits=module(self.dropout(encoder.hidden)))
        pooled = self.pool(encoder, ids, segment_ids, mask, lengths)
        logits = module(self.dropout(pooled))  # (B, C)
        return TaskOutput(encoder, logits=logits if choices is None else logits.view(choices))

    def pool(
        self,
        encoder: AlbertOutput,
        ids: Tensor,
        segment_ids: Tensor | None,
        mask: Tensor | None,
        lengths: Tensor | None,
    ) -> Tensor:
        """The vector (B, H) of each row that the classifier reads."""
        if self.head.pooling == "first":
            assert encoder.pooled is not None  # the body was made with a pooler
            return encoder.pooled
        layout = Layout.of(self.config, ids, segment_ids, mask, lengths)
        tokens = layout.to_padded(encoder.hidden.flatten(0, -2))
        segments = torch.ones_like(ids) if segment_ids is None else segment_ids + 1
        rows = layout.to_padded(segments.flatten()[:, None]).squeeze(-1)  # (B, T)
        real = _real(layout, tokens)
        assert self.albert.pooler is not None  # likewise
        pooled = self.albert.pooler(pool_like_uer(self.head.pooling, tokens, rows, real))
        return torch.tanh(pooled)


def _real(layout: Layout, tokens: Tensor) -> Tensor:
    """(B, T) bool: where a token stands that may be looked at."""
    if layout.mask is None:
        return torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    return layout.mask[:, 0, 0]


def _allowed(allowed: Tensor | None, layout: Layout) -> Tensor | None:
    """Where an answer may stand, or None for everywhere."""
    if allowed is None:
        return None if layout.mask is None else layout.mask[:, 0, 0]
    rows = (layout.batch_size, layout.max_length)
    found = str(allowed.dtype).removeprefix("torch.")
    checks.check_allowed(rows, tuple(allowed.shape), found)
    return allowed


def _choices(ids: Tensor, lengths: Tensor | None) -> tuple[int, int]:
    """Rows and choices of a batch for multiple choice."""
    source = ids if ids.ndim > 1 else lengths
    if source is None or ids.ndim not in (1, 3) or source.ndim < 2:
        raise checks.not_several_rows(tuple(ids.shape))
    return source.shape[0], source.shape[1]


def _as_rows(
    ids: Tensor, segment_ids: Tensor | None, mask: Tensor | None, lengths: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Every choice as a row of its own."""
    if ids.ndim == 3:
        ids = ids.flatten(0, 1)
        segment_ids = None if segment_ids is None else segment_ids.flatten(0, 1)
        mask = None if mask is None else mask.flatten(0, 1)
    return ids, segment_ids, mask, None if lengths is None else lengths.flatten()
