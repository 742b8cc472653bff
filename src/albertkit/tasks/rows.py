"""Examples as rows of tokens, with what a head is asked for at each of them.

A head gives one output for a row (classes of texts) or one for each word (tags). What is learned
or predicted is a unit: a text, or a word of a sentence. A unit that several windows hold has
several outputs, and their mean is its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from albertkit.data.batch import Batch
from albertkit.text.encoding import Encoding

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """R rows of tokens, and M outputs that belong to U units of N examples.

    bounds (R + 1,): the outputs of row r are [bounds[r], bounds[r + 1]). owners (M,): the unit of
    each output. positions (M,): the token of its row that an output is of; None where the output
    is that of the row. sizes (N,): units of each example. unknown: share of the characters that
    the vocabulary does not have.
    """

    batch: Batch
    bounds: Ints
    owners: Ints
    positions: Ints | None
    sizes: Ints
    unknown: float = 0.0

    @classmethod
    def whole(cls, encodings: Sequence[Encoding]) -> Rows:
        """Texts of one row each, with one output for each."""
        count = len(encodings)
        sizes = np.ones(count, dtype=np.int64)
        return cls(Batch.of(encodings), np.arange(count + 1), np.arange(count), None, sizes)

    @property
    def num_units(self) -> int:
        """U."""
        return int(self.sizes.sum())

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """(M,) one divided by the outputs of the unit, so that units count alike."""
        return np.asarray(1.0 / np.bincount(self.owners, minlength=1)[self.owners])

    def outputs_of(self, rows: Sequence[int] | Ints) -> Ints:
        """Indices of the outputs of some rows, in the order of the rows."""
        return np.concatenate([np.arange(self.bounds[r], self.bounds[r + 1]) for r in rows])

    def places(self, rows: Ints, batch: Batch) -> Ints | None:
        """Where the outputs of `rows` stand among the tokens of the batch of these rows."""
        if self.positions is None:
            return None
        counts = self.bounds[rows + 1] - self.bounds[rows]
        return self.positions[self.outputs_of(rows)] + np.repeat(batch.starts, counts)

    def merge(self, outputs: Floats) -> Floats:
        """The mean of the outputs of each unit: (M, C) to (U, C); 0 for a unit without any."""
        total = np.zeros((self.num_units, outputs.shape[1]), dtype=np.float32)
        np.add.at(total, self.owners, outputs)
        counts = np.bincount(self.owners, minlength=self.num_units)
        return np.asarray(total / np.maximum(counts, 1)[:, None].astype(np.float32))

    def describe(self) -> str:
        """How long the texts are, in tokens."""
        lengths = self.batch.lengths
        parts = f"median {int(np.median(lengths))} tokens, longest row {int(lengths.max())}"
        more = len(lengths) - len(self.sizes)
        if more > 0:
            parts += f"; longer texts are read in windows, {len(lengths):,} rows together"
        return parts


def unknown_characters(encodings: Sequence[Encoding], unk_id: int) -> int:
    """Characters of some sequences that became the unknown token."""
    return sum(
        end - start
        for encoding in encodings
        if unk_id in encoding.ids
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        if token == unk_id
    )
