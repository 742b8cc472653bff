"""R-Drop: two passes with different dropout should give the same answer (Wu et al. 2021).

The loss is the mean of both passes plus alpha times the mean of KL(p1 | p2) and KL(p2 | p1)
(arXiv 2106.14448, section 2.2, and the code beside it). For a number it is the squared difference.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from albertkit.train.losses import Loss

_NEVER = -1e30


def of_classes(a: Tensor, b: Tensor) -> Tensor:
    """(B,) for logits (B, C) of one class of several.

    (KL(p | q) + KL(q | p)) / 2 is the sum of (p - q) (log p - log q) / 2.
    """
    # -inf, where there is no such class, would be NaN as a difference.
    log_p, log_q = (F.log_softmax(x.float().clamp(min=_NEVER), -1) for x in (a, b))
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1) / 2


def of_labels(a: Tensor, b: Tensor) -> Tensor:
    """(B,) for logits (B, C) of any of several labels: the mean over the labels."""
    a, b = a.float(), b.float()
    return ((torch.sigmoid(a) - torch.sigmoid(b)) * (a - b)).mean(-1) / 2


def of_numbers(a: Tensor, b: Tensor) -> Tensor:
    """(B,) for numbers (B, 1)."""
    return torch.square(a.float() - b.float()).squeeze(-1)


# By the column `loss` of tasks.kinds.
DIVERGENCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": of_classes,
    "binary_cross_entropy": of_labels,
    "mean_squared_error": of_numbers,
}


def rdrop_loss(
    one: Loss, other: Loss, divergence: Tensor, weights: Tensor, *, step_weight: float, alpha: float
) -> Loss:
    """Share of B rows in the loss of their step: the mean of two passes, and their divergence.

    one, other: the shares of the passes. divergence (B,): see DIVERGENCES. weights (B,) and
    step_weight: see `task_loss`. What is logged is the first pass.
    """
    apart = (divergence * weights).sum() / step_weight
    return Loss((one.value + other.value) / 2 + alpha * apart, one.parts, one.counts)
