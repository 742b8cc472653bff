"""What was written, beside PyTorch on fixed batches: how far apart, and how fast."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.infer.compare import fixed_batch
from albertkit.infer.engine import Engine, Floats, run_checked
from albertkit.infer.torch_engine import TorchEngine

# Bounds: of the difference beside the largest number, and of the cosine of two vectors.
_MAX_DIFFERENCE = {"fp32": 1e-3, "fp16": 0.1, "bf16": 0.2, "int8": 1.0}
_MIN_COSINE = {"fp32": 0.99999, "fp16": 0.999, "bf16": 0.99, "int8": 0.9}
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
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(_TURNS):
        for ours in (True, False):
            started = time.perf_counter()
            (engine if ours else torch).run(batch, want, positions)
            times[ours].append(1000 * (time.perf_counter() - started))
    return Compared(
        {name: _difference(expected[name], found[name]) for name in want},
        min(_cosine(expected[name], found[name]) for name in want),
        statistics.median(times[True]),
        statistics.median(times[False]),
    )


def refuse_far(compared: Compared, precision: str, where: Path) -> None:
    """Refuse an engine that computes something else.

    Raises:
        PredictionError: it is further from PyTorch than its precision explains.
    """
    worst = max(compared.difference.values())
    if worst > _MAX_DIFFERENCE[precision] or compared.cosine < _MIN_COSINE[precision]:
        raise PredictionError(
            "What was exported does not compute the same as the model, so it was not kept.",
            expected=f"differences up to {_MAX_DIFFERENCE[precision]}, cosines from "
            f"{_MIN_COSINE[precision]} for {precision}",
            found=f"difference {worst:.2g}, cosine {compared.cosine:.6f}",
            where=where,
            fix="export it with precision='fp32'",
            command_fix="export it with --precision fp32",
        )


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
