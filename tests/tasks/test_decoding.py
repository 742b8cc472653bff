"""Decoding of tags and spans, by hand and by exhaustion."""

from __future__ import annotations

import numpy as np
import pytest

from albertkit.tasks.classify import log_softmax
from albertkit.tasks.span import beam_spans, best_spans, no_answer
from albertkit.tasks.tag import Entity, group_entities, group_words


def words(*labels: str) -> list[Entity]:
    return [Entity(label, n, n, 1.0) for n, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 1), ("LOC", 3, 3)]),
        ("B-PER B-PER", [("PER", 0, 0), ("PER", 1, 1)]),
        ("I-PER I-LOC I-LOC", [("PER", 0, 0), ("LOC", 1, 2)]),  # as conlleval reads it
        ("B-PER E-PER I-PER S-PER", [("PER", 0, 1), ("PER", 2, 2), ("PER", 3, 3)]),
        ("B_ORG I_ORG O I_ORG", [("ORG", 0, 1), ("ORG", 3, 3)]),
        ("PER PER O PER", [("PER", 0, 1), ("PER", 3, 3)]),
        ("O O", []),
    ],
)
def test_tags_are_grouped_by_their_prefixes(labels: str, found: list[tuple[str, int, int]]) -> None:
    groups = group_entities(words(*labels.split()))
    assert [(x.label, x.first, x.last) for x in groups] == found


def test_a_word_has_the_tag_of_its_first_piece() -> None:
    made = group_words(["B-PER", "O", "O", "O"], [0.9, 0.5, 0.8, 0.4], [True, False, True, False])
    assert made == [Entity("B-PER", 0, 1, 0.9), Entity("O", 2, 3, 0.8)]
    assert group_entities(made) == [Entity("PER", 0, 1, 0.9)]


def test_the_best_spans_are_those_of_all_spans() -> None:
    draws = np.random.default_rng(5)
    logits = draws.normal(size=(9, 2)).astype(np.float32)
    allowed = np.array([0, 0, 0, 1, 1, 1, 1, 1, 0], dtype=bool)
    start, end = log_softmax(logits[[0, 3, 4, 5, 6, 7]].T)  # [CLS] has its share
    every = sorted(
        (-(start[a - 2] + end[b - 2]), a, b) for a in range(3, 8) for b in range(a, min(a + 3, 8))
    )
    found = best_spans(logits, allowed, 4, 3)
    assert [(x.start, x.end) for x in found] == [(a, b) for _, a, b in every[:4]]
    np.testing.assert_allclose([x.score for x in found], [-s for s, _, _ in every[:4]], rtol=1e-5)
    assert no_answer(logits, allowed) == pytest.approx(float(start[0] + end[0]), rel=1e-5)


def test_beams_outside_the_text_are_no_answers() -> None:
    allowed = np.array([0, 0, 1, 1, 1, 0], dtype=bool)
    beams = [
        [0, 0, -0.1, -0.1],  # [CLS]
        [2, 3, -1, -0.5],
        [3, 2, -0.2, -0.2],  # ends before it starts
        [4, 4, -0.5, -0.5],
        [2, 9, 0, 0],  # beyond the sequence
    ]
    rows = np.array(beams, dtype=np.float32)
    assert [(x.start, x.end) for x in beam_spans(rows, allowed, 5, 5)] == [(4, 4), (2, 3)]
