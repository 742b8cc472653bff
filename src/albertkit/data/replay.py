"""Rows of two texts in one batch: a new domain, and a share of general text against forgetting.

Both loaders give each sample once in an epoch. How many rows of a step are replayed is a function
of the step alone, so the step is the whole state here, too.
"""

from __future__ import annotations

import math
from collections.abc import Generator

from albertkit.data.loader import PretrainingBatch, PretrainingLoader, prefetch


class ReplayLoader:
    """Batches of `main.batch_size` rows, of which `share` (above 0, below 1) come from `replay`.

    After n steps the replayed rows are n * batch_size * share, rounded down: a batch has one more
    or less where the share does not divide it. They stand behind the others.
    """

    def __init__(self, main: PretrainingLoader, replay: PretrainingLoader, share: float) -> None:
        self.main = main
        self.replay = replay
        self.share = share
        self.batch_size = main.batch_size

    def num_samples(self, epoch: int) -> int:
        """Samples of the main text in one of its epochs."""
        return self.main.num_samples(epoch)

    def batch(self, step: int) -> PretrainingBatch:
        """The batch of a step (>= 0); the same on every call."""
        first, last = self._replayed(step), self._replayed(step + 1)
        begin, end = step * self.batch_size - first, (step + 1) * self.batch_size - last
        if first == last:
            return self.main.samples(begin, end)
        if begin == end:
            return self.replay.samples(first, last)
        return self.main.samples(begin, end).followed_by(self.replay.samples(first, last))

    def batches(self, start_step: int = 0) -> Generator[PretrainingBatch]:
        """Endless batches from `start_step` on, made in advance in a thread."""
        yield from prefetch(lambda step: [self.batch(step)], start_step, 1)

    def _replayed(self, steps: int) -> int:
        """Rows replayed in so many steps."""
        return math.floor(steps * self.batch_size * self.share)
