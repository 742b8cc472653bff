"""The one form of a batch: sequences laid end to end, without padding. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from albertkit.text.encoding import Encoding

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """B sequences of S tokens.

    ids, segment_ids (S,): tokens of one sequence after the other; segments are 0 and 1, whatever
    rows a model's table has for them. lengths (B,): tokens of each sequence, 1 or more.
    """

    ids: Ints
    segment_ids: Ints
    lengths: Ints

    @classmethod
    def of(cls, encodings: Sequence[Encoding]) -> Batch:
        """What a tokenizer made of some texts, in their order."""
        lengths = np.array([len(e.ids) for e in encodings], dtype=np.int64)
        total = int(lengths.sum())
        return cls(
            ids=_joined([e.ids for e in encodings], total),
            segment_ids=_joined([e.segment_ids for e in encodings], total),
            lengths=lengths,
        )

    @classmethod
    def from_padded(cls, ids: Ints, segment_ids: Ints, lengths: Ints) -> Batch:
        """The tokens of a rectangle (B, T) whose sequences are filled up at their ends."""
        real = np.arange(ids.shape[1]) < lengths[:, None]  # (B, T)
        return cls(ids[real], segment_ids[real], np.ascontiguousarray(lengths))

    @property
    def starts(self) -> Ints:
        """Index into S of the first token of each sequence, (B,)."""
        return np.cumsum(self.lengths) - self.lengths

    @classmethod
    def joined(cls, batches: Sequence[Batch]) -> Batch:
        """The sequences of several batches, one batch after the other."""
        return cls(
            ids=np.concatenate([batch.ids for batch in batches]),
            segment_ids=np.concatenate([batch.segment_ids for batch in batches]),
            lengths=np.concatenate([batch.lengths for batch in batches]),
        )

    def take(self, rows: Sequence[int] | Ints) -> Batch:
        """Some of the sequences, in the order of `rows`."""
        lengths = self.lengths[rows]
        begins = np.cumsum(lengths) - lengths
        at = np.arange(int(lengths.sum())) + np.repeat(self.starts[rows] - begins, lengths)
        return Batch(self.ids[at], self.segment_ids[at], lengths)

    def split(self, per_token: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """Something for every token, (S, ...), as one array for each sequence."""
        return np.split(per_token, self.starts[1:])

    def __len__(self) -> int:
        return len(self.lengths)


def _joined(rows: Sequence[Sequence[int]], total: int) -> Ints:
    return np.fromiter(chain.from_iterable(rows), np.int64, total)
