"""The losses of answers in windows: google's goldens, a case by hand, and packed rows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from albertkit.model.outputs import SpanBeam, TaskOutput
from albertkit.train.task_losses import beam_loss, loss_of_windows, span_loss

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "google_tf_finetune"


def golden(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
        return (
            {name: torch.from_numpy(inputs[name]).long() for name in inputs},
            {name: torch.from_numpy(np.asarray(outputs[name])) for name in outputs},
        )


def targets_of(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    starts = inputs["start_positions"]
    none = inputs.get("is_impossible", torch.zeros_like(starts))
    return torch.stack([starts, inputs["end_positions"], none], -1)


@pytest.mark.shared
def test_the_loss_of_squad_1_is_googles(shared: Path) -> None:
    inputs, outputs = golden(shared / "golden" / "google_tf_finetune" / "squad_v1")
    found = span_loss(outputs["start_logits"], outputs["end_logits"], targets_of(inputs))
    torch.testing.assert_close(found.mean(), outputs["loss"], atol=1e-5, rtol=1e-5)


def test_the_loss_of_squad_2_is_googles() -> None:
    inputs, outputs = golden(GOLDEN / "squad_v2")
    beam = beam_of(
        outputs["train_start_log_probs"],
        outputs["train_end_log_probs"],
        outputs["train_cls_logits"],
    )
    found = beam_loss(beam, targets_of(inputs))
    torch.testing.assert_close(found.mean(), outputs["loss"], atol=1e-5, rtol=1e-5)


def beam_of(starts: torch.Tensor, ends: torch.Tensor, unanswerable: torch.Tensor) -> SpanBeam:
    nothing = torch.zeros(0)
    return SpanBeam(starts, nothing, nothing, nothing, nothing, unanswerable, ends)


def test_the_loss_of_a_beam_is_that_computed_by_hand() -> None:
    """The start has probability 1/2, the end 1/4, and that there is no answer 1/3 and 3/4."""
    starts = torch.log(torch.tensor([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]]))
    ends = torch.log(torch.tensor([[0.25, 0.5, 0.25], [0.25, 0.25, 0.5]]))
    logits = torch.tensor([math.log(1 / 2), math.log(3)])
    targets = torch.tensor([[1, 2, 0], [0, 0, 1]])
    wanted = [
        (math.log(2) + math.log(4)) / 2 - 0.5 * math.log(2 / 3),
        (math.log(2) + math.log(4)) / 2 - 0.5 * math.log(3 / 4),
    ]
    found = beam_loss(beam_of(starts, ends, logits), targets)
    assert found.tolist() == pytest.approx(wanted, rel=1e-6)


def test_packed_rows_have_the_losses_that_they_have_alone() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([3, 7, 5])
    start, end = torch.randn(15), torch.randn(15)
    targets = torch.tensor([[1, 2, 0], [0, 0, 1], [4, 4, 0]])
    output = TaskOutput(None, start=start, end=end)  # type: ignore[arg-type]
    found = loss_of_windows(output, lengths, targets)
    rows = zip(start.split(lengths.tolist()), end.split(lengths.tolist()), targets, strict=True)
    for one, (a, b, target) in zip(found, rows, strict=True):
        torch.testing.assert_close(one, span_loss(a[None], b[None], target[None])[0])
