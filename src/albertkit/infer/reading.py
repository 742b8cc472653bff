"""Answers to questions about a text: windows over a long one, and the best spans of all windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from albertkit.errors import PredictionError
from albertkit.infer.answers import FoundAnswer, FoundAnswers
from albertkit.infer.batches import Runner
from albertkit.tasks.head import TaskHead
from albertkit.tasks.span import Span, beam_spans, best_spans, no_answer
from albertkit.text.encoding import Encoding
from albertkit.text.tokenizer import Tokenizer

# google's run_squad_*.py: max_seq_length, doc_stride, max_query_length.
MAX_TOKENS, STRIDE, MAX_QUESTION_TOKENS = 384, 128, 64


@dataclass(frozen=True)
class Asked:
    """One question, and its windows: [CLS] question [SEP] part of the context [SEP]."""

    question: str
    context: str
    windows: list[Encoding]


def windows_of(
    tokenizer: Tokenizer, question: str, context: str, *, max_tokens: int, stride: int
) -> list[Encoding]:
    """Sequences of at most `max_tokens` tokens; each begins `stride` tokens after the last.

    A question of more than 64 tokens is cut, as google's program does.

    Raises:
        PredictionError: no room for the context, or a stride that skips tokens.
    """
    asked, text = tokenizer.encode(question), tokenizer.encode(context)
    head = asked.ids[: min(len(asked.ids) - 1, 1 + MAX_QUESTION_TOKENS)]
    room = max_tokens - len(head) - 2
    if room < 1 or not stride >= 1:
        raise PredictionError(
            "The context cannot be read in windows of this size.",
            expected="max_tokens more than the question has, stride 1 or more",
            found=f"max_tokens={max_tokens}, stride={stride}, {len(head)} tokens of question",
            fix="leave max_tokens and stride out",
        )
    inner = slice(1, len(text.ids) - 1)
    ids, offsets, starts = text.ids[inner], text.offsets[inner], text.word_starts[inner]
    made, begin = [], 0
    while True:
        part = slice(begin, begin + room)
        size = len(ids[part])
        made.append(
            Encoding(
                [*head, tokenizer.sep_id, *ids[part], tokenizer.sep_id],
                [0] * (len(head) + 1) + [1] * (size + 1),
                [(0, 0)] * (len(head) + 1) + offsets[part] + [(0, 0)],
                [True] * (len(head) + 1) + starts[part] + [True],
            )
        )
        if begin + room >= len(ids):
            return made
        begin += min(stride, room)


def answer(
    runner: Runner,
    head: TaskHead,
    asked: Sequence[Asked],
    *,
    top_k: int,
    max_answer_tokens: int,
    unanswerable: bool,
) -> list[FoundAnswers]:
    """The best answers to each question.

    The probability of an answer is that of its start times that of its end in its window, as in
    transformers' pipeline; a token's best context is the window that gives it the most. With
    `unanswerable` it may be "": for a span head if [CLS] is the more probable, for `beam_span` if
    every window says so.
    """
    encodings = [window for question in asked for window in question.windows]
    found: list[list[tuple[Encoding, Span]]] = [[] for _ in encodings]
    none = np.zeros(len(encodings))  # probability of no answer, by window
    beam = head.kind == "beam_span"
    for outputs in runner.run(encodings, ("task", "unanswerable") if beam else ("task",)):
        pairs = (
            zip(outputs.indices, outputs["task"], strict=True)
            if beam
            else outputs.per_sequence("task")
        )
        for number, (index, values) in enumerate(pairs):
            window = encodings[index]
            allowed = np.array(window.segment_ids) == 1
            allowed[-1] = False
            if beam:
                none[index] = 1 / (1 + np.exp(-float(outputs["unanswerable"][number])))
                spans = beam_spans(values, allowed, top_k, max_answer_tokens)
            else:
                none[index] = np.exp(no_answer(values, allowed))
                spans = best_spans(values, allowed, top_k, max_answer_tokens)
            found[index] = [(window, span) for span in spans]
    answers, begin = [], 0
    for question in asked:
        end = begin + len(question.windows)
        null = float(none[begin:end].min()) if unanswerable else None
        spans_of = [pair for group in found[begin:end] for pair in group]
        answers.append(_best(question, spans_of, null, beam, top_k))
        begin = end
    return answers


def _best(
    asked: Asked,
    found: Sequence[tuple[Encoding, Span]],
    null: float | None,
    beam: bool,
    top_k: int,
) -> FoundAnswers:
    """The best spans of all windows, each stretch of characters once, and perhaps no answer."""
    best: dict[tuple[int, int], float] = {}
    for window, span in found:
        place = (window.offsets[span.start][0], window.offsets[span.end][1])
        best[place] = max(best.get(place, 0.0), float(np.exp(span.score)))
    order = sorted(best.items(), key=lambda pair: -pair[1])[:top_k]
    answers = [FoundAnswer(asked.context[a:b], a, b, p) for (a, b), p in order]
    if null is not None:
        nothing = FoundAnswer("", 0, 0, null)
        first = null > 0.5 if beam or not answers else null > answers[0].probability
        answers = [nothing, *answers] if first else [*answers, nothing]
        answers = answers[: top_k + 1]
    if not answers:
        answers = [FoundAnswer("", 0, 0, 0.0)]
    return FoundAnswers(asked.question, tuple(answers), null)
