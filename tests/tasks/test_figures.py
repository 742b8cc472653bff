"""Labels to targets, logits to losses and figures, by formulas and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from albertkit.errors import RecipeError, TrainingError
from albertkit.tasks.classify import (
    constant_logits,
    head_for,
    losses_of,
    predictions_of,
    targets_of,
)
from albertkit.tasks.examples import TextExample
from albertkit.tasks.figures import deciding_figure, figures_of, is_better
from albertkit.tasks.head import TaskHead

ONE = np.ones(4, dtype=np.int64)  # a text is one unit


def examples(*labels: object) -> list[TextExample]:
    return [TextExample(str(n), f"text {n}", None, label) for n, label in enumerate(labels)]


def test_labels_are_in_order_and_keep_their_names() -> None:
    assert head_for(examples("10", "9", "10", "-1"), "classification").labels == ("-1", "9", "10")
    head = head_for(examples("pos", "neg", "pos"), "classification")
    assert targets_of(head, examples("pos", "neg"), "f").tolist() == [1, 0]
    several = head_for(examples(("b", "a"), (), ("a",)), "multi_label")
    assert several.labels == ("a", "b")
    assert targets_of(several, examples((), ("b", "a")), "f").tolist() == [[0, 0], [1, 1]]
    assert head_for(examples(1.0, 2.5), "regression") == TaskHead("regression", 1)


def test_labels_that_cannot_be_learned_are_refused() -> None:
    with pytest.raises(TrainingError, match="same label") as caught:
        head_for(examples("x", "x"), "classification")
    assert "2 examples of class 'x'" in caught.value.facts["found"]
    with pytest.raises(TrainingError, match="as many classes as examples"):
        head_for(examples(*map(str, range(30))), "classification")
    with pytest.raises(TrainingError, match="does not have") as caught:
        targets_of(head_for(examples("x", "y"), "classification"), examples("z", "y", "z"), "dev")
    assert caught.value.facts["found"] == "'z' (2)"
    assert caught.value.facts["where"] == "dev"


def test_losses_are_those_of_their_formulas() -> None:
    head = TaskHead("classification", 2)
    logits = np.array([[0, math.log(3)], [1000, 0]], dtype=np.float32)
    losses = losses_of(head, logits, np.array([1, 1]))
    assert losses.tolist() == pytest.approx([-math.log(0.75), 1000])
    several = losses_of(
        TaskHead("multi_label", 2), np.array([[0, math.log(3)]], np.float32), np.array([[1, 0]])
    )
    assert several.tolist() == pytest.approx([(math.log(2) + math.log(4)) / 2])
    number = losses_of(TaskHead("regression", 1), np.array([[2.5]], np.float32), np.array([1.0]))
    assert number.tolist() == [2.25]


def test_a_constant_answer_has_the_entropy_of_the_labels_or_their_variance() -> None:
    head, targets = TaskHead("classification", 2), np.array([0, 0, 0, 1])
    constant = np.tile(constant_logits(head, targets), (4, 1))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert figures_of(head, constant, targets, ONE)["loss"] == pytest.approx(entropy, abs=1e-3)
    head, numbers = TaskHead("regression", 1), np.array([1.0, 2.0, 6.0], dtype=np.float32)
    constant = np.tile(constant_logits(head, numbers), (3, 1))
    found = figures_of(head, constant, numbers, ONE)
    assert found["loss"] == pytest.approx(14 / 3)
    assert (found["pearson"], found["distinct_predictions"]) == (0.0, 1)


def test_figures_of_classes_by_hand() -> None:
    head = TaskHead("classification", 3)
    logits = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    found = figures_of(head, logits, np.array([0, 1, 1, 2]), ONE)
    assert (found["accuracy"], found["count"], found["distinct_predictions"]) == (0.75, 4, 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    several = predictions_of(TaskHead("multi_label", 2), np.array([[0.1, -0.1]], np.float32))
    assert several.tolist() == [[1, 0]]


def test_the_figure_that_decides() -> None:
    head = TaskHead("classification", 2)
    assert deciding_figure(head) == "accuracy"
    assert deciding_figure(head, "loss") == "loss"
    with pytest.raises(RecipeError, match=r"run\.metric must be one of accuracy"):
        deciding_figure(head, "acuracy")
    better, worse = {"accuracy": 0.8, "loss": 0.7}, {"accuracy": 0.7, "loss": 0.5}
    assert is_better("accuracy", better, worse)
    assert is_better("loss", worse, better)
    assert is_better("accuracy", {"accuracy": 0.8, "loss": 0.6}, better)
    assert not is_better("accuracy", better, better)
