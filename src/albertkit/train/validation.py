"""Loss and accuracy on held-out rows, always the same ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from albertkit.data.loader import PretrainingBatch, PretrainingLoader
from albertkit.train.loop import HasLoss, autocast
from albertkit.train.losses import Totals
from albertkit.train.stages import micro_batch_of


@dataclass(frozen=True)
class ValidationSet:
    """Rows that are never trained on, made once and kept."""

    batches: list[PretrainingBatch]

    @classmethod
    def of(cls, loader: PretrainingLoader, max_rows: int) -> ValidationSet:
        """At most `max_rows` rows, spread evenly over the held-out documents."""
        return cls(list(loader.validation_batches(max_rows)))

    @property
    def num_rows(self) -> int:
        """Number of rows, each a pair of segments."""
        return sum(len(batch) for batch in self.batches)

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """Every masked token's true id."""
        return np.concatenate([batch.targets for batch in self.batches])


def validate(
    model: nn.Module, task: HasLoss, validation_set: ValidationSet, precision: str
) -> Totals:
    """Totals of the losses over the held-out rows, without dropout."""
    device = next(model.parameters()).device
    losses = []
    with evaluating(model), autocast(model, precision):
        for batch in validation_set.batches:
            losses.append(task.loss(model, micro_batch_of(batch, 0, len(batch), device)))
    return Totals.of(losses)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout and gradients off inside, the training mode as before afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def wilson_interval(right: float, total: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), for independent cases."""
    if not total:
        return 0.0, 1.0
    share = right / total
    middle = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return (middle - half) / scale, (middle + half) / scale
