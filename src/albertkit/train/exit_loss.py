"""The joint loss of a classifier after every layer (Zhou et al. 2020, arXiv 2006.04152, eq. 4)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from albertkit.train.losses import Loss


def joint_loss(losses: Sequence[Loss]) -> Loss:
    """The mean of the losses after each layer, the first layer first, weighted by the depth from 1.

    What is logged is the loss of the last.
    """
    last, total = losses[-1], sum(range(1, len(losses) + 1))
    weighted: list[Tensor] = [depth * loss.value for depth, loss in enumerate(losses, 1)]
    return Loss(sum(weighted[1:], weighted[0]) / total, last.parts, last.counts)
