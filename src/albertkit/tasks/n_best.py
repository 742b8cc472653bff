"""The best answers of all windows of a long text, and whether there is one: google's rules.

As squad_utils.py of google-research/albert decides for SQuAD 1.1 and 2.0: a token counts in the
window where it has the most context, an answer is its text, probabilities are shared among the
best answers, and a text has no answer if every window says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from albertkit.tasks.squad_metrics import Answers, best_threshold, raw_scores

COUNT = 20  # n_best_size
_NEVER = -2e6  # score of the answer "" of a text without any candidate

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Candidate:
    """Characters [begin, end) of a context, and the score of start plus that of end.

    in_window: the probability of start times that of end in their window, for people.
    """

    begin: int
    end: int
    score: float
    in_window: float = 0.0


@dataclass(frozen=True)
class BestAnswer:
    """One of the best answers; probabilities of all of them add up to 1. in_window: `Candidate`."""

    text: str
    begin: int
    end: int
    score: float
    probability: float
    in_window: float = 0.0


def n_best(context: str, candidates: Sequence[Candidate], count: int = COUNT) -> list[BestAnswer]:
    """The best `count` answers, each text once, the best first; never empty.

    candidates: of all windows, window by window; of two with one text the better counts, of equal
    scores the first. Spaces around an answer are dropped.
    """
    kept: dict[str, BestAnswer] = {}
    for candidate in sorted(candidates, key=lambda x: -x.score):
        if len(kept) == count:
            break
        piece = context[candidate.begin : candidate.end]
        begin = candidate.begin + len(piece) - len(piece.lstrip())
        text = piece.strip()
        found = BestAnswer(
            text, begin, begin + len(text), candidate.score, 0.0, candidate.in_window
        )
        kept.setdefault(text, found)
    best = list(kept.values()) or [BestAnswer("", 0, 0, _NEVER, 0.0)]
    weights = [math.exp(x.score - best[0].score) for x in best]
    total = sum(weights)
    return [replace(x, probability=w / total) for x, w in zip(best, weights, strict=True)]


def no_answer_score(windows: Sequence[float]) -> float:
    """How sure the model is that a text has no answer: the least sure of its windows."""
    return min(windows)


def decided(best: Sequence[BestAnswer], no_answer: float, threshold: float | None) -> str:
    """The answer: the best one, or "" if `no_answer` is not below the threshold.

    threshold: None always answers.
    """
    return best[0].text if threshold is None or no_answer < threshold else ""


def threshold_of(
    gold: Answers,
    predicted: Mapping[str, str],
    no_answer: Mapping[str, float],
    overlap: Mapping[str, float] | None = None,
) -> float:
    """The threshold with the best F1 on these questions, for `decided`.

    predicted: the best answers, never replaced by "". overlap: their F1; SQuAD 2.0's if left out.
    As in the official program, the question that sets the threshold is answered. Where it is best
    to answer none, the threshold is below every question.
    """
    if overlap is None:
        _, overlap = raw_scores(gold, predicted)
    best, at = best_threshold(gold, predicted, overlap, no_answer)
    unanswered = 100.0 * sum(not answers for answers in gold.values()) / len(gold)
    return min(no_answer.values()) if best == unanswered else float(np.nextafter(at, np.inf))


def most_context(windows: Sequence[range]) -> list[Bools]:
    """For each window, which of its tokens have the most context there.

    windows: tokens of the text that each holds. Context is the smaller of what stands before and
    after a token in the window, plus a hundredth of the window's length; of equals the first.
    """
    size = max((window.stop for window in windows), default=0)
    best, owner = np.full(size, -np.inf), np.zeros(size, dtype=np.int64)
    for number, window in enumerate(windows):
        place = np.arange(len(window))
        context = np.minimum(place, len(window) - 1 - place) + 0.01 * len(window)
        own = slice(window.start, window.stop)
        better = context > best[own]
        best[own][better] = context[better]
        owner[own][better] = number
    return [owner[window.start : window.stop] == n for n, window in enumerate(windows)]
