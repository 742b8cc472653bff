"""The loss of each kind of head, divided by the weight of the whole optimizer step.

Losses of answers in windows are those of run_squad_v1.py and run_squad_v2.py of
google-research/albert, and of transformers' AlbertForQuestionAnswering; padding takes no part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from albertkit.model.outputs import SpanBeam, TaskOutput
from albertkit.train.losses import Loss


@dataclass(frozen=True)
class Choices:
    """Of which option of which question the outputs (M,) of some rows are scores.

    cells (M,): number of the question times W, plus the option; W: the most options. shape: (Q, W).
    """

    cells: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(
        cls, owners: npt.NDArray[np.int64], options: npt.NDArray[np.int64], device: torch.device
    ) -> tuple[npt.NDArray[np.int64], Choices]:
        """The questions (Q,) whose outputs these are, in ascending order, and where each stands."""
        questions, numbers = np.unique(owners, return_inverse=True)
        wide = int(options.max()) + 1
        cells = torch.from_numpy(numbers.reshape(-1) * wide + options).to(device)
        return questions, cls(cells, (len(questions), wide))

    def scores(self, outputs: Tensor) -> Tensor:
        """Outputs (M, 1) as scores (Q, W): means over windows, -inf where there is no option."""
        zeros = torch.zeros(self.shape[0] * self.shape[1], device=outputs.device)
        values = outputs.squeeze(-1).float()
        counts = zeros.index_add(0, self.cells, torch.ones_like(values))
        means = zeros.index_add(0, self.cells, values) / counts.clamp(min=1)
        return means.masked_fill(counts == 0, -torch.inf).view(self.shape)


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """-log p (B,) of the target class, logits (B, C), targets (B,); -inf: no such class."""
    each = F.cross_entropy(logits, targets, reduction="none")
    if not smoothing:
        return each
    there = logits > -torch.inf
    logs = logits.log_softmax(-1).masked_fill(~there, 0.0)
    return (1 - smoothing) * each - smoothing * logs.sum(-1) / there.sum(-1)


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


def span_loss(start: Tensor, end: Tensor, targets: Tensor) -> Tensor:
    """Mean (B,) of -log p of start and of end, logits (B, T), targets (B, 3) as `SpanRows` has."""
    first, last = targets[:, 0], targets[:, 1]
    return (_cross_entropy(start, first) + _cross_entropy(end, last)) / 2


def beam_loss(beam: SpanBeam, targets: Tensor) -> Tensor:
    """The same with the end given the true start, and half of -log p that there is (no) answer."""
    assert beam.ends is not None  # start_places were given
    spans = span_loss(beam.starts, beam.ends, targets)
    none = targets[:, 2].to(torch.float32)
    sure = F.binary_cross_entropy_with_logits(beam.unanswerable.float(), none, reduction="none")
    return spans + 0.5 * sure


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.float(), targets, reduction="none")


def loss_of_windows(output: TaskOutput, lengths: Tensor, targets: Tensor) -> Tensor:
    """Loss (B,) of a head for `span` or `beam_span` at packed rows; targets (B, 3)."""
    if output.beam is not None:
        return beam_loss(output.beam, targets)
    assert output.start is not None  # a head for `span` has both
    assert output.end is not None
    start, end = (
        pad_sequence(x.split(lengths.tolist()), batch_first=True, padding_value=-torch.inf)
        for x in (output.start, output.end)
    )
    return span_loss(start, end, targets)


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
    return share_of_step(each, weights, step_weight)


def share_of_step(each: Tensor, weights: Tensor, step_weight: float) -> Loss:
    """The losses (B,) of some rows as their share in the loss of their step: see `task_loss`."""
    return Loss(
        value=(each * weights).sum() / step_weight,
        parts={"loss": each.detach().sum()},
        counts={"loss": len(each)},
    )
