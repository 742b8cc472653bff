"""Which texts go through the network together: those of like length."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from albertkit.data.batch import Batch
from albertkit.errors import PredictionError
from albertkit.infer.engine import Engine, Floats, run_checked
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

    finite: whether NaN and infinite outputs are an error.
    """

    engine: Engine
    batch_size: int
    finite: bool = True

    def run(
        self,
        encodings: Sequence[Encoding],
        want: Collection[str],
        positions: Sequence[Sequence[int]] | None = None,
    ) -> Iterator[Outputs]:
        """The wanted outputs of all, batch by batch.

        positions: tokens of each sequence, for `masked_lm`.
        """
        for indices in by_length([len(e.ids) for e in encodings], self.batch_size):
            batch = Batch.of([encodings[i] for i in indices])
            at = None
            if positions is not None:
                starts = zip(batch.starts.tolist(), indices, strict=True)
                at = np.array([s + p for s, i in starts for p in positions[i]], dtype=np.int64)
            run = run_checked if self.finite else type(self.engine).run
            yield Outputs(indices, batch, run(self.engine, batch, want, at))


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
