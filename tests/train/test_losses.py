"""Losses against numbers that can be checked by hand, however a step is cut."""

from __future__ import annotations

import math

import pytest
import torch

from albertkit.train.losses import Totals, pretraining_loss


def test_the_loss_is_mlm_plus_order_each_divided_by_its_own_count() -> None:
    mlm_logits = torch.zeros(3, 8)  # blind: ln 8 each
    sop_logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])  # ln 2, and p = 3/4 for "0"
    loss = pretraining_loss(
        mlm_logits,
        sop_logits,
        torch.tensor([0, 5, 5]),
        torch.tensor([1, 0]),
        step_targets=3,
        step_rows=2,
    )
    order = (math.log(2) + math.log(4 / 3)) / 2
    assert float(loss.value) == pytest.approx(math.log(8) * 3 / (3 + 1e-5) + order, abs=1e-6)
    means = Totals.of([loss]).means()
    assert means["mlm_loss"] == pytest.approx(math.log(8), abs=1e-6)
    assert means["mlm_accuracy"] == pytest.approx(1 / 3)  # the first of equal logits is the guess
    assert means["sop_loss"] == pytest.approx(order, abs=1e-6)
    assert means["sop_accuracy"] == pytest.approx(1 / 2)


def test_a_batch_without_predictions_has_a_finite_loss() -> None:
    loss = pretraining_loss(
        torch.zeros(0, 8, requires_grad=True),
        torch.zeros(1, 2),
        torch.zeros(0, dtype=torch.int64),
        torch.tensor([0]),
        step_targets=0,
        step_rows=1,
    )
    assert float(loss.value.detach()) == pytest.approx(math.log(2))


def test_unequal_micro_batches_add_up_to_the_loss_and_gradient_of_the_whole_step() -> None:
    torch.manual_seed(0)
    logits, order = torch.randn(5, 8, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    targets, swapped = torch.tensor([1, 2, 3, 4, 5]), torch.tensor([0, 1, 1, 0])
    whole = pretraining_loss(logits, order, targets, swapped, step_targets=5, step_rows=4)
    gradients = torch.autograd.grad(whole.value, [logits, order])
    cuts = [(slice(0, 4), slice(0, 1)), (slice(4, 5), slice(1, 4))]
    parts = [
        pretraining_loss(logits[m], order[b], targets[m], swapped[b], step_targets=5, step_rows=4)
        for m, b in cuts
    ]
    total = parts[0].value + parts[1].value
    assert float(total.detach()) == pytest.approx(float(whole.value.detach()), abs=1e-6)
    for found, expected in zip(torch.autograd.grad(total, [logits, order]), gradients, strict=True):
        assert torch.allclose(found, expected, atol=1e-7)
    together, alone = Totals.of(parts), Totals.of([whole])
    assert together.counts == alone.counts
    assert together.means() == pytest.approx(alone.means())
