"""Early exit by an engine: what it needs, and how many layers it used; see tasks/early_exit.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from albertkit.data.batch import Batch, Ints
from albertkit.errors import PredictionError
from albertkit.infer.engine import Engine, ExitsEarly, Floats, refuse_not_finite


@dataclass
class LayersUsed:
    """How many layers rows went through before they left."""

    rows: int = 0
    layers: int = 0

    def add(self, depths: Ints) -> None:
        """Count rows, each with its layers (B,)."""
        self.rows += len(depths)
        self.layers += int(depths.sum())

    @property
    def mean(self) -> float:
        """Layers of a row on average; 0 before the first."""
        return self.layers / max(1, self.rows)


def run_with_patience(engine: Engine, batch: Batch, patience: int) -> tuple[Floats, Ints]:
    """Logits (B, C) of the task, and the layers (B,) of each row; see `ExitsEarly`.

    Raises:
        PredictionError: the model or its engine has no early exit, or patience is below 1.
    """
    logits, depths = with_exits(engine, patience).run_with_patience(batch, patience)
    refuse_not_finite("task", logits)
    return logits, np.asarray(depths, dtype=np.int64)


def with_exits(engine: Engine, patience: int) -> ExitsEarly:
    """The engine, if its model has classifiers after its layers.

    Raises:
        PredictionError: it has none, or patience is below 1.
    """
    if patience < 1:
        raise PredictionError(
            "patience must be 1 or more.",
            found=patience,
            fix="leave patience out to use every layer",
            command_fix="leave --patience out to use every layer",
        )
    if not isinstance(engine, ExitsEarly):
        raise PredictionError(
            "This engine has no early exit.",
            expected="a checkpoint, with torch, onnxruntime, or openvino in fp32 or bf16",
            found=type(engine).__name__,
            fix="leave patience out; or name the checkpoint, and leave engine and precision out",
            command_fix="leave --patience out; or name the checkpoint, and leave --engine and "
            "--precision out",
        )
    if not engine.num_exits:
        raise PredictionError(
            "The model has no classifiers for early exit.",
            expected="a model for classify that was fine-tuned with objective.early_exit=true",
            found="a head after the last layer only",
            fix="leave patience out, or fine-tune with set={'objective.early_exit': True}",
            command_fix="leave --patience out, or fine-tune with --set objective.early_exit=true",
        )
    return engine
