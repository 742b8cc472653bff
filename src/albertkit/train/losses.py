"""Masked-LM and sentence-order loss, divided by the counts of the whole optimizer step.

A step may be computed in several micro-batches. Each returns its share of the step's loss, so that
their gradients add up to those of the whole step however it was cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

# google adds this to the number of predictions: a batch without any divides (run_pretraining.py).
_SOME = 1e-5


@dataclass(frozen=True)
class Loss:
    """What one micro-batch adds to a step.

    `value`: the number to differentiate. `parts`: detached sums by name (negative log-likelihoods,
    right answers); `counts`: over how many predictions each was summed.
    """

    value: Tensor
    parts: Mapping[str, Tensor]
    counts: Mapping[str, int]


@dataclass
class Totals:
    """Sums over micro-batches, or over steps; `means()` divides them."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, losses: Sequence[Loss]) -> Totals:
        """Totals of micro-batches; looks at the device once for all numbers."""
        values = torch.stack([part.double() for loss in losses for part in loss.parts.values()])
        numbers = iter(values.tolist())
        totals = cls()
        for loss in losses:
            totals.add({name: next(numbers) for name in loss.parts}, loss.counts)
        return totals

    def add(self, sums: Mapping[str, float], counts: Mapping[str, int]) -> None:
        """Add sums and counts, name by name."""
        for name, part in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + part
            self.counts[name] = self.counts.get(name, 0) + counts[name]

    def means(self) -> dict[str, float]:
        """Sum over count for each name, in the order they came."""
        return {name: self.sums[name] / max(1, self.counts[name]) for name in self.sums}


def pretraining_loss(
    mlm_logits: Tensor,
    sop_logits: Tensor | None,
    targets: Tensor,
    swapped: Tensor,
    *,
    step_targets: int,
    step_rows: int,
) -> Loss:
    """MLM loss plus sentence-order loss, unweighted (google run_pretraining.py).

    mlm_logits (M, V), targets (M,); sop_logits (B, 2), or None for masked-LM alone; swapped (B,).
    `step_targets` and `step_rows` count the predictions and rows of the whole step.
    """
    mlm = _summed("mlm", mlm_logits, targets, step_targets + _SOME)
    if sop_logits is None:
        return mlm
    order = _summed("sop", sop_logits, swapped, step_rows)
    return Loss(
        mlm.value + order.value, {**mlm.parts, **order.parts}, {**mlm.counts, **order.counts}
    )


def _summed(name: str, logits: Tensor, targets: Tensor, step_count: float) -> Loss:
    """Cross-entropy over a number of the whole step, and how many answers are right."""
    loss = F.cross_entropy(logits.float(), targets, reduction="sum")
    with torch.no_grad():
        right = (logits.argmax(-1) == targets).sum()
    return Loss(
        value=loss / step_count,
        parts={f"{name}_loss": loss.detach(), f"{name}_accuracy": right},
        counts={f"{name}_loss": len(targets), f"{name}_accuracy": len(targets)},
    )
