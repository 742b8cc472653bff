"""Answers that stand in a window of a text: from the outputs of a head to the best spans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from albertkit.tasks.classify import log_softmax

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Span:
    """Tokens [start, end] of a sequence, and the logarithm of their probability."""

    start: int
    end: int
    score: float


@dataclass(frozen=True)
class WindowSpans:
    """What a head says about one window.

    spans: the best, as tokens of the window. no_answer: of `span` the logarithm of the probability
    that start and end are at [CLS]; of `beam_span` the logit that there is no answer. scale: what
    to add to a logarithm to compare windows: of `span` the logits are compared, as google's and
    BERT's programs do, of `beam_span` the probabilities.
    """

    spans: list[Span]
    no_answer: float
    scale: float = 0.0


def spans_of_logits(
    logits: Floats, allowed: Bools, may_begin: Bools, count: int, max_tokens: int
) -> WindowSpans:
    """The best spans of a window by a head for `span`, logits (T, 2).

    allowed (T,): where an answer may be; may_begin (T,): where it may begin. Others: `best_spans`.
    """
    return WindowSpans(
        best_spans(logits, allowed, count, max_tokens, may_begin),
        no_answer(logits, allowed),
        _scale(logits, allowed),
    )


def spans_of_beams(
    rows: Floats, unanswerable: float, allowed: Bools, may_begin: Bools, count: int, max_tokens: int
) -> WindowSpans:
    """The best spans of a window by a head for `beam_span`: see `Engine.run`."""
    return WindowSpans(beam_spans(rows, allowed, count, max_tokens, may_begin), unanswerable)


def best_spans(
    logits: Floats, allowed: Bools, count: int, max_tokens: int, may_begin: Bools | None = None
) -> list[Span]:
    """The best `count` spans of one sequence, the best first.

    logits (T, 2): of start and end. allowed (T,): where an answer may stand; [CLS] besides, which
    stands for no answer, takes its share of the probability. max_tokens: longest answer.
    may_begin (T,): where an answer may begin; left out, the same as allowed.
    """
    start, end = _scores(logits, allowed)
    begins = allowed if may_begin is None else allowed & may_begin
    start = np.where(begins, start, np.float32(-np.inf))
    end = np.where(allowed, end, np.float32(-np.inf))
    width = min(max_tokens, len(end))
    behind = np.concatenate([end, np.full(width - 1, -np.inf, dtype=np.float32)])
    pairs = start[:, None] + np.lib.stride_tricks.sliding_window_view(behind, width)
    flat = pairs.ravel()  # (T * width,): [start, end - start]
    best = np.argsort(-flat, kind="stable")[:count]
    return [
        Span(int(n) // width, int(n) // width + int(n) % width, float(flat[n]))
        for n in best
        if np.isfinite(flat[n])
    ]


def no_answer(logits: Floats, allowed: Bools) -> float:
    """Logarithm of the probability that there is no answer: start and end at [CLS]."""
    start, end = _scores(logits, allowed)
    return float(start[0] + end[0])


def _scores(logits: Floats, allowed: Bools) -> tuple[Floats, Floats]:
    """Logarithms of the probabilities of each start and each end, (T,) each."""
    real = allowed.copy()
    real[0] = True
    scores = log_softmax(np.where(real[:, None], logits, np.float32(-1e30)).T)
    return scores[0], scores[1]


def _scale(logits: Floats, allowed: Bools) -> float:
    """How much the logits of a start and an end are above the logarithms of `_scores`."""
    start, end = _scores(logits, allowed)
    return float(logits[0].sum() - (start[0] + end[0]))


def beam_spans(
    rows: Floats, allowed: Bools, count: int, max_tokens: int, may_begin: Bools | None = None
) -> list[Span]:
    """The best spans among the beams (K, 4) of one sequence: see `Engine.run`."""
    begins = allowed if may_begin is None else allowed & may_begin
    spans = [Span(int(s), int(e), float(a + b)) for s, e, a, b in rows]
    fitting = [
        x
        for x in spans
        if x.start <= x.end < x.start + max_tokens
        and x.end < len(allowed)
        and begins[x.start]
        and allowed[x.end]
    ]
    return sorted(fitting, key=lambda x: -x.score)[:count]
