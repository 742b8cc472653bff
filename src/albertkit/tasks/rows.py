"""Examples as rows of tokens, with what a head is asked for at each of them.

A head gives one output for a row (classes of texts, answers in a window) or one for each word
(tags). What is learned or predicted is a unit: a text, a word of a sentence, a question with its
options, or a window of a context. Others than windows may have several outputs, one of each window
that holds them, and their mean is the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

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

    options (M,): of which option of its unit, from 0, an output is the score; None where an output
    is an answer by itself. What is learned from options is which of them is the best, so all rows
    of a unit stand next to each other and stay together in a step.
    """

    batch: Batch
    bounds: Ints
    owners: Ints
    positions: Ints | None
    sizes: Ints
    unknown: float = 0.0
    options: Ints | None = None

    @classmethod
    def whole(cls, encodings: Sequence[Encoding]) -> Rows:
        """Texts of one row each, with one output for each."""
        count = len(encodings)
        sizes = np.ones(count, dtype=np.int64)
        return cls(Batch.of(encodings), np.arange(count + 1), np.arange(count), None, sizes)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The rows of several parts, one part after the other."""
        outputs = np.cumsum([0, *(part.bounds[-1] for part in parts)])
        units = np.cumsum([0, *(part.num_units for part in parts)])
        positions = [part.positions for part in parts if part.positions is not None]
        options = [part.options for part in parts if part.options is not None]
        ends = [part.bounds[1:] + begin for part, begin in zip(parts, outputs[:-1], strict=True)]
        owners = [part.owners + begin for part, begin in zip(parts, units[:-1], strict=True)]
        return replace(
            parts[0],
            batch=Batch.joined([part.batch for part in parts]),
            bounds=np.concatenate([[0], *ends]),
            owners=np.concatenate(owners),
            positions=np.concatenate(positions) if positions else None,
            sizes=np.concatenate([part.sizes for part in parts]),
            unknown=float(np.mean([part.unknown for part in parts])),
            options=np.concatenate(options) if options else None,
        )

    @property
    def num_units(self) -> int:
        """U."""
        return int(self.sizes.sum())

    @cached_property
    def group_bounds(self) -> Ints:
        """(G + 1,): the rows of group g, which stay together, are [bounds[g], bounds[g + 1])."""
        if self.options is None:
            return np.arange(len(self.batch) + 1)
        units = self.owners[self.bounds[:-1]]  # (R,) ascending
        return np.searchsorted(units, np.arange(self.num_units + 1))

    @cached_property
    def group_lengths(self) -> Ints:
        """(G,) tokens of the longest row of each group."""
        return np.maximum.reduceat(self.batch.lengths, self.group_bounds[:-1])

    @cached_property
    def num_options(self) -> Ints:
        """(U,) how many options each unit has."""
        assert self.options is not None, "units have options"
        made = np.zeros(self.num_units, dtype=np.int64)
        np.maximum.at(made, self.owners, self.options + 1)
        return made

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """(M,) one divided by the outputs of the unit, so that units count alike."""
        return np.asarray(1.0 / np.bincount(self.owners, minlength=1)[self.owners])

    def outputs_of(self, rows: Sequence[int] | Ints) -> Ints:
        """Indices of the outputs of some rows, in the order of the rows."""
        return np.concatenate([np.arange(self.bounds[r], self.bounds[r + 1]) for r in rows])

    def rows_of(self, groups: Sequence[int] | Ints) -> Ints:
        """The rows of some groups, in the order of the groups."""
        if self.options is None:
            return np.asarray(groups, dtype=np.int64)
        bounds = self.group_bounds
        return np.concatenate([np.arange(bounds[g], bounds[g + 1]) for g in groups])

    def places(self, rows: Ints, batch: Batch) -> Ints:
        """Where the outputs of `rows` stand among the tokens of the batch of these rows.

        Empty where outputs are those of rows.
        """
        if self.positions is None:
            return np.zeros(0, dtype=np.int64)
        counts = self.bounds[rows + 1] - self.bounds[rows]
        return self.positions[self.outputs_of(rows)] + np.repeat(batch.starts, counts)

    def merge(self, outputs: Floats) -> Floats:
        """The mean of the outputs of each unit: (M, C) to (U, C); 0 for a unit without any.

        Scores of options, (M, 1), become (U, most options), -inf where a unit has fewer.
        """
        if self.options is None:
            return _means(outputs, self.owners, self.num_units)
        counts = self.num_options
        wide = int(counts.max())
        means = _means(outputs, self.owners * wide + self.options, self.num_units * wide)
        found = means.reshape(self.num_units, wide)
        return np.where(np.arange(wide) < counts[:, None], found, np.float32(-np.inf))

    @property
    def windowed(self) -> float:
        """Share of the texts that are read in several windows; an option is a text by itself."""
        # The last output of each row; a row without outputs has that of the row before.
        last = self.bounds[1:] - 1
        texts = np.repeat(np.arange(len(self.sizes)), self.sizes)[self.owners[last]]
        if self.options is not None:
            texts = texts * (self.options.max() + 1) + self.options[last]
        _, rows = np.unique(texts, return_counts=True)
        return float((rows > 1).mean())

    def describe(self) -> str:
        """How long the texts are, in tokens."""
        lengths = self.batch.lengths
        parts = f"median {int(np.median(lengths))} tokens, longest row {int(lengths.max())}"
        texts = len(self.sizes) if self.options is None else int(self.num_options.sum())
        more = len(lengths) - texts
        if more > 0:
            parts += f"; longer texts are read in windows, {len(lengths):,} rows together"
        return parts


def _means(values: Floats, owners: Ints, count: int) -> Floats:
    """(M, C) to (count, C), the mean of the values of each owner."""
    total = np.zeros((count, values.shape[1]), dtype=np.float32)
    np.add.at(total, owners, values)
    counts = np.bincount(owners, minlength=count)
    return np.asarray(total / np.maximum(counts, 1)[:, None].astype(np.float32))


def joined_logits(parts: Sequence[Floats]) -> Floats:
    """Logits of several groups of units, one after the other; -inf for options that are not."""
    wide = max(part.shape[1] for part in parts)
    filled = [
        np.pad(part, ((0, 0), (0, wide - part.shape[1])), constant_values=-np.inf) for part in parts
    ]
    return np.concatenate(filled)


def unknown_characters(encodings: Sequence[Encoding], unk_id: int) -> int:
    """Characters of some sequences that became the unknown token."""
    return sum(
        end - start
        for encoding in encodings
        if unk_id in encoding.ids
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        if token == unk_id
    )


@dataclass(frozen=True)
class Labelled:
    """Examples with answers, ready to be learned or measured.

    targets: what the head should give for each of the U units; see the `targets_of` of a task.
    """

    examples: Sequence[Any]
    rows: Rows
    targets: Any
