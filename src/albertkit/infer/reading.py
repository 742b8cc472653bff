"""Answers to questions about texts: windows over long ones, and the best answers of all windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from albertkit.infer.answers import FoundAnswer, FoundAnswers
from albertkit.infer.batches import Runner
from albertkit.infer.engine import run_checked
from albertkit.tasks.examples import SpanExample
from albertkit.tasks.head import TaskHead
from albertkit.tasks.n_best import COUNT, decided
from albertkit.tasks.span import WindowSpans
from albertkit.tasks.span_answers import MAX_ANSWER_TOKENS, Decoded, decode, window_spans
from albertkit.tasks.span_rows import MAX_TOKENS, SpanRows, encode
from albertkit.text.tokenizer import Tokenizer

P = ParamSpec("P")
R = TypeVar("R")
# What 0.1 called arguments that now have the names of transformers' pipeline.
_OLD_NAMES = {
    "stride": "doc_stride",
    "max_answer_tokens": "max_answer_len",
    "unanswerable": "handle_impossible_answer",
}
_AT_ONCE = 256  # questions whose windows are in memory together


def with_old_names(answer: Callable[P, R]) -> Callable[P, R]:
    """Let `Predictor.answer` be called with the names that its arguments had in 0.1."""

    @wraps(answer)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        given: dict[str, Any] = dict(kwargs)
        for old, new in _OLD_NAMES.items():
            if old in given:
                if new in given:
                    raise TypeError(f"{old} and {new} are two names of one argument")
                given[new] = given.pop(old)
        return answer(*args, **given)

    return called


def windows_of(tokenizer: Tokenizer, longest: int) -> tuple[int, int]:
    """Tokens of a window, and to the next one: as the model was fine-tuned, else as google's.

    longest: most tokens that the model reads.
    """
    stride = tokenizer.extra.get("doc_stride")
    if isinstance(stride, int) and stride > 0:
        return longest, stride
    return min(longest, MAX_TOKENS), 0


def decoded(
    runner: Runner,
    head: TaskHead,
    tokenizer: Tokenizer,
    examples: Sequence[SpanExample],
    *,
    max_tokens: int,
    stride: int = 0,
    count: int = COUNT,
    max_answer_tokens: int = MAX_ANSWER_TOKENS,
) -> Iterator[Decoded]:
    """The `count` best answers to each question; stride: see `span_rows.encode`."""
    for begin in range(0, len(examples), _AT_ONCE):
        part = examples[begin : begin + _AT_ONCE]
        rows = encode(tokenizer, part, max_tokens, stride)
        windows = _windows(runner, head, rows, max(count, COUNT), max_answer_tokens)
        yield from decode(head, part, rows, windows, count)


def _windows(
    runner: Runner, head: TaskHead, rows: SpanRows, count: int, max_answer_tokens: int
) -> list[WindowSpans]:
    """The best spans of every window."""
    found: dict[int, WindowSpans] = {}
    beam = head.kind == "beam_span"
    want = ("task", "unanswerable") if beam else ("task",)
    for indices in runner.parts(rows.batch.lengths.tolist()):
        batch = rows.batch.take(np.array(indices, dtype=np.int64))
        outputs = run_checked(runner.engine, batch, want)
        values = list(outputs["task"]) if beam else batch.split(outputs["task"])
        none = outputs["unanswerable"].tolist() if beam else [0.0] * len(batch)
        for row, of_row, of_none in zip(indices, values, none, strict=True):
            found[row] = window_spans(
                head, rows, row, of_row, of_none, count=count, max_answer_tokens=max_answer_tokens
            )
    return [found[row] for row in range(len(rows.batch))]


def found_answers(
    question: str, answer: Decoded, head: TaskHead, *, top_k: int, unanswerable: bool
) -> FoundAnswers:
    """The answers to a question, the best first; with `unanswerable` also that there is none.

    The order is google's; the probability of an answer is that of its start times that of its end
    in its window, as in transformers' pipeline. "" comes first where the model is more sure of it
    than the threshold of its head.
    """
    best = [FoundAnswer(x.text, x.begin, x.end, x.in_window) for x in answer.best[:top_k]]
    if not unanswerable:
        return FoundAnswers(question, tuple(best))
    nothing = FoundAnswer("", 0, 0, answer.no_answer_probability)
    threshold = head.no_answer_threshold or 0.0
    text = decided(answer.best, answer.no_answer, threshold)
    best = [x for x in best if x.text]
    best = [*best, nothing] if text else [nothing, *best]
    return FoundAnswers(question, tuple(best), answer.no_answer_probability)
