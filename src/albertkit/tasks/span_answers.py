"""Answers to questions about contexts: from what a head says about windows to texts and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from albertkit.errors import TrainingError
from albertkit.tasks import chinese_metrics
from albertkit.tasks.examples import SpanExample
from albertkit.tasks.head import TaskHead
from albertkit.tasks.n_best import (
    COUNT,
    BestAnswer,
    Candidate,
    decided,
    n_best,
    no_answer_score,
    threshold_of,
)
from albertkit.tasks.rows import Labelled
from albertkit.tasks.span import WindowSpans, spans_of_beams, spans_of_logits
from albertkit.tasks.span_rows import SpanRows, characters_of
from albertkit.tasks.squad_metrics import exact_match as same_words
from albertkit.tasks.squad_metrics import raw_scores, word_f1

MAX_ANSWER_TOKENS = 30  # google's max_answer_length
MAX_CONTEXT_CHARACTERS = 1000  # characters of a context that is given as an answer
Floats = npt.NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True)
class SpanOutputs:
    """What a head says about R windows; losses (R,) where the answers are known."""

    windows: list[WindowSpans]
    losses: Floats | None = None


@dataclass(frozen=True)
class Decoded:
    """The answer to one question.

    best: google's n-best list. no_answer: how sure it is that there is none, to be compared with a
    threshold: of `beam_span` a logit, of `span` the logits at [CLS] above those of the best
    answer, as BERT's program has it. no_answer_probability: the same as a probability, for people.
    """

    best: list[BestAnswer]
    no_answer: float
    no_answer_probability: float


def window_spans(
    head: TaskHead,
    rows: SpanRows,
    row: int,
    values: npt.NDArray[np.float32],
    unanswerable: float = 0.0,
    *,
    count: int = COUNT,
    max_answer_tokens: int = MAX_ANSWER_TOKENS,
) -> WindowSpans:
    """The best spans of a window.

    values: logits (T, 2) of a head for `span`, or beams (K, 4), with their logit `unanswerable`.
    """
    begin = int(rows.batch.lengths[:row].sum())
    allowed = rows.allowed(row)
    may_begin = rows.may_begin[begin : begin + len(allowed)]
    if head.kind == "span":
        return spans_of_logits(values, allowed, may_begin, count, max_answer_tokens)
    return spans_of_beams(values, unanswerable, allowed, may_begin, count, max_answer_tokens)


def decode(
    head: TaskHead,
    examples: Sequence[SpanExample],
    rows: SpanRows,
    windows: Sequence[WindowSpans],
    count: int = COUNT,
) -> Iterator[Decoded]:
    """The answer to each question."""
    starts, end = rows.batch.starts, 0
    for example, size in zip(examples, rows.sizes.tolist(), strict=True):
        begin, end = end, end + size
        own = windows[begin:end]
        candidates = [
            Candidate(
                int(rows.offsets[starts[row] + span.start, 0]),
                int(rows.offsets[starts[row] + span.end, 1]),
                span.score + window.scale,
                float(np.exp(span.score)),
            )
            for row, window in enumerate(own, begin)
            for span in window.spans
        ]
        best = n_best(example.context, candidates, count)
        least = no_answer_score([window.no_answer for window in own])
        if head.kind == "beam_span":
            yield Decoded(best, least, float(1 / (1 + np.exp(-least))))
        else:
            null = no_answer_score([window.no_answer + window.scale for window in own])
            yield Decoded(best, null - best[0].score, float(np.exp(least)))


def head_for(examples: Sequence[SpanExample], kind: str) -> TaskHead:
    """A head for the answers of training examples.

    Raises:
        TrainingError: no question has an answer.
    """
    if all(example.is_impossible for example in examples):
        raise TrainingError(
            "No question has an answer, so there is nothing to learn.",
            expected="questions with answers that occur in their contexts",
            found=f"{len(examples):,} questions without any",
            fix="check that it is the right file",
        )
    return TaskHead(kind, 2)


def scores_of(
    gold: Sequence[Sequence[str]], predicted: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Exact match and F1 of each question, 0 to 1, as the official programs have them.

    gold: accepted answers, none where the context does not hold any. CMRC 2018's program for
    answers in Chinese, SQuAD 2.0's where a question may have no answer, else SQuAD 1.1's.
    """
    pairs = list(zip(gold, predicted, strict=True))
    if chinese_metrics.are_chinese(text for answers in gold for text in answers):
        exact = [_best(chinese_metrics.exact_match, *pair) for pair in pairs]
        return exact, [_best(chinese_metrics.segment_f1, *pair) for pair in pairs]
    if not all(gold):
        of_exact, of_overlap = raw_scores(_keyed(gold), _keyed(predicted))
        return list(of_exact.values()), list(of_overlap.values())
    return (
        [_best(same_words, *pair) for pair in pairs],
        [float(max(word_f1(x, found, empty_agree=False) for x in texts)) for texts, found in pairs],
    )


def _best(of: Any, texts: Sequence[str], found: str) -> float:
    """The best score that an accepted answer gives; of a question without any, that of ""."""
    return float(max(of(text, found) for text in texts)) if texts else float(not found)


def gold_of(examples: Sequence[SpanExample]) -> list[list[str]]:
    """Texts of the accepted answers of each question."""
    return [[text for _, text in example.answers] for example in examples]


def may_be_none(head: TaskHead, examples: Sequence[SpanExample]) -> bool:
    """Whether a question may have no answer."""
    return head.kind == "beam_span" or any(example.is_impossible for example in examples)


def figures_of_answers(
    gold: Sequence[Sequence[str]], found: Sequence[Decoded], threshold: float | None
) -> dict[str, Any]:
    """exact_match and f1, 0 to 1; HasAns_ and NoAns_ where a question may have no answer.

    threshold: from which on `no_answer` says that there is none; None always answers.
    """
    answers = [decided(x.best, x.no_answer, threshold) for x in found]
    exact, overlap = scores_of(gold, answers)
    made: dict[str, Any] = {"f1": _mean(overlap), "exact_match": _mean(exact)}
    if not all(gold):
        has = [n for n, texts in enumerate(gold) if texts]
        made |= {
            "HasAns_f1": _mean([overlap[n] for n in has]),
            "HasAns_exact": _mean([exact[n] for n in has]),
            "NoAns_f1": _mean([x for x, texts in zip(overlap, gold, strict=True) if not texts]),
        }
    if threshold is not None:
        made["threshold"] = threshold
    return {**made, "count": len(gold), "distinct_predictions": len(set(answers))}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def best_threshold(gold: Sequence[Sequence[str]], found: Sequence[Decoded]) -> float:
    """The threshold with the best F1 on these questions."""
    best = [x.best[0].text for x in found]
    _, overlap = scores_of(gold, best)
    sure = [x.no_answer for x in found]
    return threshold_of(_keyed(gold), _keyed(best), _keyed(sure), _keyed(overlap))


def _keyed(values: Sequence[T]) -> dict[str, T]:
    """Values of questions by their numbers: ids need not be unique."""
    return {str(number): value for number, value in enumerate(values)}


def figures_of(head: TaskHead, outputs: SpanOutputs, held: Labelled) -> dict[str, Any]:
    """Figures of held-out questions at the best threshold for no answer, if there may be none."""
    assert isinstance(held.rows, SpanRows)
    found = list(decode(head, held.examples, held.rows, outputs.windows))
    gold = gold_of(held.examples)
    threshold = best_threshold(gold, found) if may_be_none(head, held.examples) else None
    loss = {} if outputs.losses is None else {"loss": float(outputs.losses.mean())}
    return {**loss, **figures_of_answers(gold, found, threshold)}


def constant_figures(head: TaskHead, train: Labelled, held: Labelled) -> dict[str, Any]:
    """What an answer that does not depend on the question reaches.

    loss: [CLS] as often as the training windows hold no answer, else every place of the context
    alike. The others: the best of no answer, the first word of the context, and all of it.
    """
    share = float(np.clip(train.targets[:, 2].mean(), 1e-3, 1 - 1e-3))
    assert isinstance(held.rows, SpanRows)
    places = np.maximum(1, held.rows.contexts[:, 1] - held.rows.contexts[:, 0])
    without = held.targets[:, 2] == 1
    losses = np.where(without, -np.log(share), -np.log((1 - share) / places))
    if head.kind == "beam_span":
        sure = np.where(without, share, 1 - share)
        losses = losses - 0.5 * np.log(sure)
    gold = gold_of(held.examples)
    contexts = [example.context for example in held.examples]
    tries = [
        [""] * len(gold),
        [(context.split() or [""])[0] for context in contexts],
        [context[:MAX_CONTEXT_CHARACTERS].strip() for context in contexts],
    ]
    scored = [scores_of(gold, answers) for answers in tries]
    return {
        "loss": float(losses.mean()),
        "exact_match": max(_mean(exact) for exact, _ in scored),
        "f1": max(_mean(overlap) for _, overlap in scored),
    }


def can_be_learned(example: SpanExample) -> bool:
    """Whether an example can be learned: it has no answer, or its answer occurs in its context."""
    return example.is_impossible or characters_of(example) is not None
