"""Answers that stand in a text: from starts and ends to the best spans."""

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


def best_spans(logits: Floats, allowed: Bools, count: int, max_tokens: int) -> list[Span]:
    """The best `count` spans of one sequence, the best first.

    logits (T, 2): of start and end. allowed (T,): where an answer may stand; [CLS] besides, which
    stands for no answer, takes its share of the probability. max_tokens: longest answer.
    """
    start, end = _scores(logits, allowed)
    pairs = start[:, None] + end[None, :]  # (T, T)
    pairs[~np.tri(len(start), k=0, dtype=np.bool_).T] = -np.inf  # ends before starts
    pairs[np.tri(len(start), k=-max_tokens, dtype=np.bool_).T] = -np.inf  # too long
    pairs[~(allowed[:, None] & allowed[None, :])] = -np.inf
    flat = pairs.ravel()
    best = np.argsort(-flat, kind="stable")[:count]
    return [
        Span(int(n) // len(start), int(n) % len(start), float(flat[n]))
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


def beam_spans(rows: Floats, allowed: Bools, count: int, max_tokens: int) -> list[Span]:
    """The best spans among the beams (K, 4) of one sequence: see `Engine.run`."""
    spans = [Span(int(s), int(e), float(a + b)) for s, e, a, b in rows]
    fitting = [
        x
        for x in spans
        if x.start <= x.end < x.start + max_tokens
        and x.end < len(allowed)
        and allowed[x.start]
        and allowed[x.end]
    ]
    return sorted(fitting, key=lambda x: -x.score)[:count]
