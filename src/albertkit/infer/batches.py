"""Which texts go through the network together: those of like length."""

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
    """An engine asked in batches of at most `batch_size` sequences.

    finite: whether NaN and infinite outputs are an error. patience: see `infer/patience.py`; None
    uses every layer. used: counts the layers then. progress: where there are several batches, True
    shows a bar, a function is called with ("texts", done, total).
    """

    engine: Engine
    batch_size: int
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
        several, done = len(lengths) > self.batch_size, 0
        with reporting(self.progress if several else False, "texts", len(lengths)) as report:
            for indices in by_length(lengths, self.batch_size):
                yield indices
                done += len(indices)
                if report is not None:
                    report("texts", done, len(lengths))


def by_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Indices in batches, longest first, so that a batch holds sequences of like length.

    The longest come first because the largest batch should fail first if memory is short.
    """
    if batch_size < 1:
        raise PredictionError(
            "batch_size must be 1 or more.", found=batch_size, fix="pass batch_size=32"
        )
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    for begin in range(0, len(order), batch_size):
        yield order[begin : begin + batch_size]
