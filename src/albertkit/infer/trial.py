"""An engine beside PyTorch on a fixed batch: how far apart, and how fast."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.infer.compare import fixed_batch
from albertkit.infer.engine import Engine, Floats, run_checked
from albertkit.infer.torch_engine import TorchEngine

# Bounds: of the difference beside the largest number, and of the cosine of two vectors.
MAX_DIFFERENCE = {"fp32": 1e-3, "fp16": 0.1, "bf16": 0.2, "int8": 1.0, "int16x8": 0.5}
MIN_COSINE = {"fp32": 0.99999, "fp16": 0.999, "bf16": 0.99, "int8": 0.9, "int16x8": 0.97}
_TURNS = 5


@dataclass(frozen=True)
class Compared:
    """difference: the largest of each output, where the largest number counts as 1 at least.

    cosine: the smallest of two vectors. milliseconds: of one run of the fixed batch, by the engine
    and by PyTorch in float32.
    """

    difference: Mapping[str, float]
    cosine: float
    milliseconds: float
    torch_milliseconds: float


def compare(checkpoint: Checkpoint, engine: Engine) -> Compared:
    """Run an engine and PyTorch on the same batch."""
    batch, torch = fixed_batch(checkpoint.config), TorchEngine(checkpoint)
    want, positions = tuple(sorted(engine.outputs)), batch.starts
    expected = run_checked(torch, batch, want, positions)
    found = run_checked(engine, batch, want, positions)
    times = in_turns([partial(x.run, batch, want, positions) for x in (engine, torch)], _TURNS)
    return compared(expected, found, *times)


def compared(
    expected: Mapping[str, Floats],
    found: Mapping[str, Floats],
    milliseconds: float,
    torch_milliseconds: float,
) -> Compared:
    """How far the outputs of an engine are from those that are expected."""
    return Compared(
        {name: _difference(expected[name], found[name]) for name in expected},
        min(_cosine(expected[name], found[name]) for name in expected),
        milliseconds,
        torch_milliseconds,
    )


def in_turns(runs: Sequence[Callable[[], object]], turns: int) -> list[float]:
    """Milliseconds of each of several functions, the median of so many turns."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(turns):
        for run, taken in zip(runs, times, strict=True):
            started = time.perf_counter()
            run()
            taken.append(1000 * (time.perf_counter() - started))
    return [statistics.median(taken) for taken in times]


def is_near(compared: Compared, precision: str) -> bool:
    """Whether an engine is as near to PyTorch as its precision lets it be."""
    worst = max(compared.difference.values())
    return worst <= MAX_DIFFERENCE[precision] and compared.cosine >= MIN_COSINE[precision]


def _difference(expected: Floats, found: Floats) -> float:
    apart = float(np.abs(expected.astype(np.float64) - found).max())
    return apart / max(1.0, float(np.abs(expected).max()))


def _cosine(expected: Floats, found: Floats) -> float:
    """The smallest cosine of two vectors, where they have more than a few numbers."""
    if expected.shape[-1] < 8:
        return 1.0
    a, b = expected.astype(np.float64), found.astype(np.float64)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return float(((a * b).sum(-1) / np.maximum(norms, 1e-30)).min())
