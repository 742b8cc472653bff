"""The answers of a model to held-out questions, and the worst of them, for report.html."""

from __future__ import annotations

from dataclasses import dataclass

from albertkit.tasks.examples import SpanExample
from albertkit.tasks.n_best import decided
from albertkit.tasks.span_answers import SpanOutputs, decode, gold_of, scores_of
from albertkit.tasks.span_rows import SpanRows, characters_of
from albertkit.train.finetune_task import FinetuneTask
from albertkit.train.page import cell, number_cell, paragraph, table

MAX_ERRORS = 20
_AROUND = 80  # characters of the context that are shown on each side of the answer
_NOTHING = "(no answer)"


@dataclass(frozen=True)
class Answered:
    """The answers of a model to the held-out questions.

    exact, overlap: exact match and F1 of each, 0 to 1. sure: its probability in its window, or
    that there is no answer.
    """

    answers: list[str]
    exact: list[float]
    overlap: list[float]
    sure: list[float]

    @classmethod
    def of(cls, task: FinetuneTask, outputs: SpanOutputs) -> Answered:
        """The answers that the outputs of a model mean."""
        held = task.dev
        assert isinstance(held.rows, SpanRows)
        found = list(decode(task.prepared.head, held.examples, held.rows, outputs.windows))
        answers = [decided(x.best, x.no_answer, task.threshold) for x in found]
        exact, overlap = scores_of(gold_of(held.examples), answers)
        sure = [
            x.best[0].in_window if answer else x.no_answer_probability
            for x, answer in zip(found, answers, strict=True)
        ]
        return cls(answers, exact, overlap, sure)


def wrong_answers(task: FinetuneTask, answered: Answered) -> str:
    """The wrong answers of which the model is surest, with question, context and what is right."""
    held, overlap = task.dev, answered.overlap
    wrong = [n for n, right in enumerate(answered.exact) if not right]
    rows = [
        [
            number_cell(f"{overlap[n]:.2f}", "F1"),
            cell(answered.answers[n] or _NOTHING, "answer"),
            cell(_right(held.examples[n]), "what is right"),
            cell(held.examples[n].question, "question"),
            cell(_part_of(held.examples[n]), "context"),
        ]
        for n in sorted(wrong, key=lambda n: (overlap[n], -answered.sure[n]))[:MAX_ERRORS]
    ]
    if not rows:
        return paragraph("none")
    return table(rows, ["F1", "answer", "what is right", "question", "context"])


def _right(example: SpanExample) -> str:
    return " / ".join(dict.fromkeys(text for _, text in example.answers)) or _NOTHING


def _part_of(example: SpanExample) -> str:
    """The context around the answer, or its beginning."""
    begin, end = characters_of(example) or (0, 2 * _AROUND)
    first, last = max(0, begin - _AROUND), min(len(example.context), end + _AROUND)
    before, after = "..." if first else "", "..." if last < len(example.context) else ""
    return f"{before}{example.context[first:last]}{after}"
