"""When a row may leave the network early: classifiers agree, with enough confidence.

Patience-based early exit (Zhou et al. 2020, arXiv 2006.04152): a row leaves when several
classifiers in a row agree on its answer. An answer must also have some probability (as in DeeBERT,
Xin et al. 2020, arXiv 2004.12993): agreement alone costs more for the same speed
(docs/results.md). `exit_confidence` finds how much on held-out examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from albertkit.tasks.classify import probabilities
from albertkit.tasks.head import TaskHead

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Agree = Callable[[Floats, Floats], Bools]

TOLERANCE = "tolerance"
CONFIDENCE = "confidence"
KEPT_ANSWERS = 0.998  # share of the held-out rows whose answer may not change
_CONFIDENCES = np.arange(100) / 100


def agreement(head: TaskHead, settings: Mapping[str, npt.NDArray[np.generic]]) -> Agree:
    """Whether logits (B, C) of a layer and of the one before it agree, with enough confidence.

    The same class; the same set of classes; numbers with a difference below the tolerance.

    Args:
        head: of the model.
        settings: TOLERANCE (1,) of a head for numbers; CONFIDENCE (1,) of others, the least
            probability that the later layer's class must have, or for `multi_label` its every
            yes or no. One that is missing is 0.
    """
    tolerance, confidence = (
        float(np.asarray(settings.get(n, 0.0)).item()) for n in (TOLERANCE, CONFIDENCE)
    )
    if head.kind == "regression":
        return lambda new, old: np.abs(new - old)[:, 0] < tolerance
    if head.kind == "multi_label":
        return lambda new, old: (
            ((new > 0) == (old > 0)).all(-1)
            & (probabilities(head, np.abs(new)).min(-1) >= confidence)
        )
    return lambda new, old: (
        (new.argmax(-1) == old.argmax(-1)) & (probabilities(head, new).max(-1) >= confidence)
    )


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


def exit_confidence(head: TaskHead, logits: Floats) -> float:
    """Least CONFIDENCE, in hundredths, with which leaving early hardly changes the answers.

    With a patience of 1, KEPT_ANSWERS of the rows have the answer of the last layer. 1.0 if no
    hundredth below it does that: then only answers of probability 1 leave early.

    Args:
        head: for classes.
        logits: of held-out rows after each layer, (L, N, C).
    """
    whole, num_layers, num_rows = logits[-1], *logits.shape[:2]
    same_answer = agreement(head, {})
    for confidence in _CONFIDENCES:
        layers = _Computed(logits)
        answers, _ = leave_early(
            layers.step,
            layers.keep,
            num_rows=num_rows,
            num_layers=num_layers,
            patience=1,
            agree=agreement(head, {CONFIDENCE: np.array([confidence], np.float32)}),
        )
        if same_answer(answers, whole).mean() >= KEPT_ANSWERS:
            return float(confidence)
    return 1.0


class _Computed:
    """Logits (L, N, C) that are there already, as a network on its way; see `leave_early`."""

    def __init__(self, logits: Floats) -> None:
        self._logits, self._left, self._depth = logits, np.arange(logits.shape[1]), 0

    def step(self) -> Floats:
        """Those of the next layer."""
        self._depth += 1
        logits: Floats = self._logits[self._depth - 1][self._left]
        return logits

    def keep(self, rows: Bools) -> None:
        """Leave all other rows out from here on."""
        self._left = self._left[rows]
