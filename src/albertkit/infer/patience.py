"""Early exit: rows leave the network when several classifiers in a row agree on their answer.

Patience-based early exit, Zhou et al. 2020, arXiv 2006.04152.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from albertkit.data.batch import Batch, Ints
from albertkit.errors import PredictionError
from albertkit.infer.engine import Engine, ExitsEarly, Floats, refuse_not_finite

Bools = npt.NDArray[np.bool_]
Agree = Callable[[Floats, Floats], Bools]


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


def leave_early(
    step: Callable[[], Floats],
    keep: Callable[[Bools], None],
    *,
    num_rows: int,
    num_layers: int,
    patience: int,
    agree: Agree,
) -> tuple[Floats, Ints]:
    """Logits (B, C) of a batch, and the layers (B,) that each row went through.

    A row leaves after the layer whose classifier is the `patience`-th in a row to agree with the
    one before it; later layers compute the rows that are left.

    Args:
        step: computes the next layer for the rows that are left; the logits of its classifier.
        keep: from here on only these of them are left.
        num_rows: B.
        num_layers: of the network.
        patience: see above.
        agree: whether logits of a layer and of the one before it are the same answer, for each row.
    """
    left, agreed = np.arange(num_rows), np.zeros(num_rows, np.int64)
    depths = np.zeros(num_rows, np.int64)
    before = logits = step()
    answers = np.zeros((num_rows, logits.shape[1]), np.float32)
    for depth in range(1, num_layers + 1):
        if depth > 1:
            logits = step()
            agreed = np.where(agree(logits, before), agreed + 1, 0)
        leaves = (agreed >= patience) | (depth == num_layers)
        answers[left[leaves]], depths[left[leaves]] = logits[leaves], depth
        stays = ~leaves
        if not stays.any():
            break
        if leaves.any():
            keep(stays)
        before, left, agreed = logits[stays], left[stays], agreed[stays]
    return answers, depths


def agreement(kind: str, tolerance: float) -> Agree:
    """Whether two outputs of a head of this kind are the same answer.

    The same class; the same set of classes; numbers with a difference below the tolerance.
    """
    if kind == "regression":
        return lambda a, b: np.abs(a - b)[:, 0] < tolerance
    if kind == "multi_label":
        return lambda a, b: ((a > 0) == (b > 0)).all(-1)
    return lambda a, b: a.argmax(-1) == b.argmax(-1)
