"""A run that does not learn is told so, with the likely cause."""

from __future__ import annotations

import math

import pytest

from albertkit.errors import TrainingError
from albertkit.train.health import judge, refuse_what_is_not_finite

BLIND = math.log(8000)  # 8.99


@pytest.mark.parametrize(
    ("loss", "kind", "cause"),
    [
        (4.0, "learns", ""),
        (6.44, "learns", ""),
        (6.46, "frequencies only", "too few steps"),
        (6.9, "frequencies only", "too high to leave this plateau"),
        (8.5, "does not move", "too low"),
        (BLIND, "does not move", "too low"),
        (12.0, "diverges", "too high"),
    ],
)
def test_the_loss_tells_whether_a_run_learns_and_why_not(
    loss: float, kind: str, cause: str
) -> None:
    verdict = judge(loss, unigram_entropy=6.5, vocab_size=8000)
    assert verdict.kind == kind
    assert verdict.learns == (kind == "learns")
    assert cause in verdict.cause
    assert ("to do" in str(verdict)) == (kind != "learns")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_stops_the_run_and_names_step_and_cure(bad: float) -> None:
    refuse_what_is_not_finite(7, {"mlm_loss": 1.0}, 1.0)
    with pytest.raises(TrainingError, match="step 7") as caught:
        refuse_what_is_not_finite(7, {"mlm_loss": bad}, 1.0)
    assert "mlm_loss" in caught.value.facts["found"]
    assert "peak_learning_rate" in caught.value.facts["to do"]
    with pytest.raises(TrainingError, match="gradient norm"):
        refuse_what_is_not_finite(7, {"mlm_loss": 1.0}, bad)
