"""A packed batch as the rectangle that most engines compute: rows filled up to one length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from albertkit.data.batch import Batch, Ints

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Padded:
    """ids, segment_ids (B, T): 0 for padding; real: (B, T), False for padding."""

    ids: Ints
    segment_ids: Ints
    real: Bools

    @classmethod
    def of(cls, batch: Batch, columns: int | None = None) -> Padded:
        """The rectangle of a batch; columns: T, its longest sequence if left out."""
        columns = int(batch.lengths.max()) if columns is None else columns
        real = np.arange(columns) < batch.lengths[:, None]
        ids, segment_ids = np.zeros(real.shape, np.int64), np.zeros(real.shape, np.int64)
        ids[real], segment_ids[real] = batch.ids, batch.segment_ids
        return cls(ids, segment_ids, real)

    def positions(self, packed: Ints) -> Ints:
        """Indices into the S packed tokens as indices into B * T."""
        places: Ints = np.flatnonzero(self.real)[packed]
        return places

    @property
    def answer_places(self) -> Bools:
        """Where an answer may stand, (B, T): [CLS] and the second segment without its [SEP].

        A sequence without a second segment may be asked about everywhere.
        """
        second = (self.segment_ids == 1) & self.real
        last = self.real.sum(1) - 1
        second[np.arange(len(last)), last] = False
        allowed: Bools = np.where(second.any(1, keepdims=True), second, self.real)
        allowed[:, 0] = True
        return allowed
