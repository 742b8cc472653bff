"""Which texts go through the network together: those of like length, up to so many tokens."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from albertkit.data.batch import Batch
from albertkit.errors import PredictionError
from albertkit.infer.engine import Engine, Floats, run_checked
from albertkit.infer.patience import LayersUsed, run_with_patience, with_exits
from albertkit.progress import Progress, reporting
from albertkit.text.encoding import Encoding

BATCH_TOKENS = 1024  # of one run of the network, if nothing else is said: a CPU's caches hold them
DEVICE_BATCH_TOKENS = 4096  # the same on a GPU, which small batches leave idle


@dataclass(frozen=True)
class Outputs:
    """Outputs of one run: `indices` are the positions of its sequences in the request."""

    indices: list[int]
    batch: Batch
    arrays: dict[str, Floats]

    def __getitem__(self, name: str) -> Floats:
        return self.arrays[name]


@dataclass(frozen=True)
class Runner:
    """An engine asked in batches.

    batch_size, batch_tokens: see `by_length`. finite: whether NaN and infinite outputs are an
    error. patience: see `infer/patience.py`; None uses every layer. used: counts the layers then.
    progress: where there are several batches, True shows a bar, a function is called with
    ("texts", done, total).
    """

    engine: Engine
    batch_size: int | None = None
    batch_tokens: int = BATCH_TOKENS
    finite: bool = True
    patience: int | None = None
    used: LayersUsed = field(default_factory=LayersUsed)
    progress: Progress | bool = False

    def run(
        self,
        encodings: Sequence[Encoding],
        want: Collection[str],
        positions: Sequence[Sequence[int]] | None = None,
    ) -> Iterator[Outputs]:
        """The wanted outputs of all, batch by batch.

        positions: tokens of each sequence, for `masked_lm`.
        """
        if self.patience is not None and "task" in want:
            with_exits(self.engine, self.patience)
        for indices in self.parts([len(e.ids) for e in encodings]):
            batch = Batch.of([encodings[i] for i in indices])
            at = None
            if positions is not None:
                starts = zip(batch.starts.tolist(), indices, strict=True)
                at = np.array([s + p for s, i in starts for p in positions[i]], dtype=np.int64)
            run = run_checked if self.finite else type(self.engine).run
            yield Outputs(indices, batch, run(self.engine, batch, want, at))

    def task_logits(self, batch: Batch) -> Floats:
        """Logits of the head's task, by as many layers as it takes."""
        if self.patience is None:
            return run_checked(self.engine, batch, ("task",))["task"]
        logits, depths = run_with_patience(self.engine, batch, self.patience)
        self.used.add(depths)
        return logits

    def parts(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Indices in batches; reports how many are done when the next batch is asked for."""
        batches = by_length(lengths, self.batch_size, self.batch_tokens)
        several, done = len(batches) > 1, 0
        with reporting(self.progress if several else False, "texts", len(lengths)) as report:
            for indices in batches:
                yield indices
                done += len(indices)
                if report is not None:
                    report("texts", done, len(lengths))


def by_length(
    lengths: Sequence[int], batch_size: int | None, batch_tokens: int = BATCH_TOKENS
) -> list[list[int]]:
    """Indices in batches, longest first, so that a batch holds sequences of like length.

    The longest come first because the largest batch should fail first if memory is short.

    Args:
        lengths: tokens of each sequence.
        batch_size: most sequences of a batch; None: as many as `batch_tokens` allows.
        batch_tokens: most tokens of a batch, counted as if all were as long as its longest, which
            is what attention computes. A longer sequence is a batch by itself.

    Raises:
        PredictionError: see `check_limits`.
    """
    check_limits(batch_size, batch_tokens)
    batches: list[list[int]] = []
    room = 0  # sequences that the last batch can still take
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if room < 1:
            room = max(1, batch_tokens // max(1, lengths[index]))
            room = room if batch_size is None else min(room, batch_size)
            batches.append([])
        batches[-1].append(index)
        room -= 1
    return batches


def check_limits(batch_size: int | None, batch_tokens: int) -> None:
    """Refuse a batch that cannot hold anything.

    Raises:
        PredictionError: one of the two is below 1.
    """
    for name, number, usual in (
        ("batch_size", batch_size, 32),
        ("batch_tokens", batch_tokens, BATCH_TOKENS),
    ):
        if number is not None and number < 1:
            raise PredictionError(
                f"{name} must be 1 or more.", found=number, fix=f"pass {name}={usual}"
            )
