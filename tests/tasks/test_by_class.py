"""Classes one by one: texts with one class or several, words, and entities, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from albertkit.tasks.by_class import OfClass, by_class
from albertkit.tasks.head import TaskHead
from albertkit.tasks.tag_metrics import bio_labels

ONE = np.ones(4, dtype=np.int64)


def test_single_classes_are_counted_by_their_numbers() -> None:
    head = TaskHead("classification", 3, ("a", "b", "c"))
    found = by_class(head, np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0]), ONE)
    assert found == (OfClass("a", 1, 2, 2), OfClass("b", 1, 2, 2), OfClass("c", 0, 0, 0))
    assert (found[0].precision, found[0].recall, found[0].f1) == (0.5, 0.5, 0.5)
    assert (found[2].precision, found[2].recall, found[2].f1) == (0, 0, 0)


def test_each_of_several_classes_is_counted_by_itself() -> None:
    head = TaskHead("multi_label", 2, ("cheap", "good"))
    targets = np.array([[1, 1], [0, 1], [0, 0], [1, 0]], dtype=np.float32)
    predictions = np.array([[1, 0], [1, 1], [0, 0], [1, 0]], dtype=np.float32)
    cheap, good = by_class(head, targets, predictions, ONE)
    assert (cheap, good) == (OfClass("cheap", 2, 3, 2), OfClass("good", 1, 1, 2))
    assert cheap.precision == pytest.approx(2 / 3)
    assert good.f1 == pytest.approx(2 / 3)


def test_entities_are_counted_by_their_type() -> None:
    head = TaskHead("token_classification", 3, bio_labels("PER"))
    targets, predictions = np.array([1, 2, 0, 1]), np.array([1, 0, 0, 1])
    # One sentence: an entity of two words, of which one was found, and one of one word.
    assert by_class(head, targets, predictions, np.array([4])) == (OfClass("PER", 1, 2, 2),)


def test_numbers_and_options_have_no_classes() -> None:
    for kind in ("regression", "multiple_choice"):
        assert by_class(TaskHead(kind, 1), np.zeros(4), np.zeros(4), ONE) == ()
