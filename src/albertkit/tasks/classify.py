"""Classes of a text, or a number: outputs to answers, for prediction and validation alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from albertkit.tasks.head import TaskHead

Floats = npt.NDArray[np.float32]


def probabilities(head: TaskHead, logits: Floats) -> Floats:
    """Logits (..., C) as probabilities; they add up to 1 unless the head is `multi_label`."""
    if head.kind == "multi_label":
        return np.asarray(np.exp(-np.logaddexp(0, -logits)), dtype=np.float32)
    return np.asarray(np.exp(log_softmax(logits)), dtype=np.float32)


def log_softmax(logits: Floats) -> Floats:
    """Logarithms of the probabilities over the last axis."""
    shifted: Floats = logits - logits.max(-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(-1, keepdims=True))
    return shifted


def label_name(head: TaskHead, number: int) -> str:
    """Name of a class; LABEL_0, LABEL_1, ... as transformers does where it has none."""
    return head.labels[number] if head.labels else f"LABEL_{number}"


def ranked(head: TaskHead, logits: Floats) -> list[tuple[str, float]]:
    """Every class of one text, logits (C,), with its probability, the most probable first."""
    scores = probabilities(head, logits)
    order = np.argsort(-scores, kind="stable")
    return [(label_name(head, int(n)), float(scores[n])) for n in order]
