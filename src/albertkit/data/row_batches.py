"""Which rows of a task make a step: a pure function of (seed, step), so that a resume is exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from albertkit.data.random_hash import permutation

Ints = npt.NDArray[np.int64]
_ORDER_OF_BATCHES = 1 << 40  # seeds that far apart belong to different shuffles


@dataclass(frozen=True)
class RowBatches:
    """Rows in batches of `batch_size`, each epoch in another order; the last batch may be smaller.

    lengths (R,): tokens of each row, or of the longest of several that stay together and count as
    one here. sort_window: so many batches of shuffled rows are sorted by length and cut again, so
    that a batch holds rows of like length and little is padded in attention; 1 keeps the shuffled
    order as it is.
    """

    lengths: Ints
    batch_size: int
    seed: int
    sort_window: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Batches that hold every row once."""
        return -(-len(self.lengths) // self.batch_size)

    def epoch(self, number: int) -> list[Ints]:
        """The rows of each batch of an epoch, the first epoch being 0."""
        size = len(self.lengths)
        places = permutation(np.arange(size, dtype=np.int64), size, self.seed, number)
        order = np.argsort(places)
        if self.sort_window > 1:
            order = self._sorted_in_windows(order, number)
        return [order[n : n + self.batch_size] for n in range(0, size, self.batch_size)]

    def _sorted_in_windows(self, order: Ints, number: int) -> Ints:
        """Rows sorted by length inside each window; the batches of a window are shuffled."""
        made = []
        window = self.sort_window * self.batch_size
        for begin in range(0, len(order), window):
            rows = order[begin : begin + window]
            rows = rows[np.argsort(self.lengths[rows], kind="stable")]
            whole = len(rows) // self.batch_size
            seed = self.seed + _ORDER_OF_BATCHES * (1 + begin // window)
            places = permutation(np.arange(whole, dtype=np.int64), whole, seed, number)
            batches = rows[: whole * self.batch_size].reshape(whole, self.batch_size)
            made += [batches[np.argsort(places)].ravel(), rows[whole * self.batch_size :]]
        return np.concatenate(made)


def within_budget(
    lengths: Sequence[int] | Ints, max_tokens: int, counts: Sequence[int] | Ints | None = None
) -> list[list[int]]:
    """Indices of rows in micro-batches, each at most `max_tokens` tokens with its padding.

    counts: for how many rows each stands, which stay together; left out, for one. One micro-batch
    in the given order if all fit, else the longest rows first. What is longer than the budget is
    alone.
    """
    sizes = [int(n) for n in lengths]
    rows = [1] * len(sizes) if counts is None else [int(n) for n in counts]
    if max(sizes) * sum(rows) <= max_tokens:
        return [list(range(len(sizes)))]
    order = sorted(range(len(sizes)), key=lambda n: -sizes[n])
    made: list[list[int]] = [[]]
    held = 0  # rows of the last micro-batch
    for number in order:
        longest = sizes[made[-1][0]] if made[-1] else sizes[number]
        if made[-1] and longest * (held + rows[number]) > max_tokens:
            made.append([])
            held = 0
        made[-1].append(number)
        held += rows[number]
    return made
