"""Answers of several windows by google's rules, computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from albertkit.tasks.n_best import (
    BestAnswer,
    Candidate,
    decided,
    most_context,
    n_best,
    no_answer_score,
    threshold_of,
)
from albertkit.tasks.span import beam_spans
from albertkit.tasks.squad_metrics import squad2_scores

CONTEXT = "the cat sat on the mat"
OFFSETS = [(0, 3), (3, 7), (7, 11), (11, 14), (14, 18), (18, 22)]  # pieces begin with their space


def test_two_windows_of_a_beam_search_give_the_answers_computed_by_hand() -> None:
    """Question of one token: [CLS] q [SEP] four tokens [SEP]; stride 2, answers of 2 at most."""
    windows = [range(0, 4), range(2, 6)]
    # Tokens 2 and 3: 1.04 and 0.04 before (min(2, 1), min(3, 0)), 0.04 and 1.04 after.
    most = most_context(windows)
    assert [x.tolist() for x in most] == [[True] * 3 + [False], [False] + [True] * 3]
    beams = [  # start, end, log-probabilities
        [[4, 5, -0.5, -0.1], [4, 6, -0.5, -0.05], [6, 6, -0.2, -0.2], [5, 4, -0.1, -0.1]],
        [[6, 6, -1.0, -0.2], [4, 5, -0.3, -0.1], [0, 0, -0.1, -0.1], [3, 3, -0.1, -0.1]],
    ]
    candidates = []
    for window, own, rows in zip(windows, most, beams, strict=True):
        allowed = np.array([False] * 3 + [True] * 4 + [False])
        for span in beam_spans(np.array(rows, dtype=np.float32), allowed, 20, 2):
            first, last = span.start - 3, span.end - 3
            if own[first]:
                begin, end = OFFSETS[window[first]][0], OFFSETS[window[last]][1]
                candidates.append(Candidate(begin, end, span.score))
    found = n_best(CONTEXT, candidates)
    # Left out: length 3, start without the most context (twice), end before start, [CLS].
    total = math.exp(-0.4) + math.exp(-0.6) + math.exp(-1.2)
    expected = [
        BestAnswer("on the", 12, 18, -0.4, math.exp(-0.4) / total),
        BestAnswer("cat sat", 4, 11, -0.6, math.exp(-0.6) / total),
        BestAnswer("mat", 19, 22, -1.2, math.exp(-1.2) / total),
    ]
    assert [(x.text, x.begin, x.end) for x in found] == [(x.text, x.begin, x.end) for x in expected]
    for a, b in zip(found, expected, strict=True):
        assert (a.score, a.probability) == pytest.approx((b.score, b.probability), rel=1e-6)
    assert CONTEXT[found[1].begin : found[1].end] == "cat sat"
    none = no_answer_score([0.7, -0.3])
    assert [decided(found, none, x) for x in (None, -0.3, -0.2)] == ["on the", "", "on the"]


def test_one_text_is_one_answer_and_no_candidate_is_the_empty_one() -> None:
    twice = [Candidate(14, 18, -2.0), Candidate(0, 3, -1.0), Candidate(4, 7, -3.0)]
    assert [(x.text, x.begin) for x in n_best(CONTEXT, twice)] == [("the", 0), ("cat", 4)]
    assert [x.text for x in n_best(CONTEXT, twice, count=1)] == ["the"]
    [nothing] = n_best(CONTEXT, [])
    assert (nothing.text, nothing.probability) == ("", 1.0)


def test_the_threshold_found_reaches_the_best_f1() -> None:
    gold = {"a": ["cat"], "b": [], "c": ["mat"], "d": [], "e": ["sat"]}
    best = {"a": "cat", "b": "cat", "c": "mat", "d": "on", "e": "mat"}
    sure = {"a": -2.0, "b": 0.5, "c": 0.25, "d": 3.0, "e": 1.0}
    threshold = threshold_of(gold, best, sure)
    assert 0.25 < threshold < 0.5  # a and c are answered, b and d are not, e is lost
    answers = {
        key: decided([BestAnswer(best[key], 0, 0, 0.0, 1.0)], sure[key], threshold) for key in gold
    }
    assert answers == {"a": "cat", "b": "", "c": "mat", "d": "", "e": ""}
    assert squad2_scores(gold, answers)["f1"] == squad2_scores(gold, best, sure)["best_f1"] == 80.0
