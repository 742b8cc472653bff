"""The loss of each kind of head, divided by the weight of the whole optimizer step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from albertkit.train.losses import Loss


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """-log p (B,) of the target class, logits (B, C), targets (B,)."""
    return F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)


def binary_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Mean over the classes (B,), targets (B, C) of 0 and 1."""
    soft = targets * (1 - smoothing) + smoothing / 2
    return F.binary_cross_entropy_with_logits(logits, soft, reduction="none").mean(-1)


def squared_error(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """(B,) for numbers (B,)."""
    return torch.square(logits.squeeze(-1) - targets)


# By the column `loss` of tasks.kinds.
LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "mean_squared_error": squared_error,
}


def task_loss(
    name: str,
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    *,
    step_weight: float,
    smoothing: float = 0.0,
) -> Loss:
    """Share of B rows in the loss of their step: the weighted mean over the rows of the step.

    name: a key of LOSSES. weights (B,): of each row. step_weight: sum of the weights of the step.
    The part "loss" is the plain mean over rows.
    """
    each = LOSSES[name](logits.float(), targets, smoothing)
    return Loss(
        value=(each * weights).sum() / step_weight,
        parts={"loss": each.detach().sum()},
        counts={"loss": len(each)},
    )
