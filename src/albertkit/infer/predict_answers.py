"""Predict answers to questions: rows as they come, or the official file of answers by id."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from albertkit.data.tables import BadRows
from albertkit.errors import CorpusError, listed
from albertkit.files import write_atomic
from albertkit.infer.evaluate import answers_of
from albertkit.infer.predict_file import GROUP, LINE, PREDICTION, SCORE, write_groups
from albertkit.infer.predictor import Predictor
from albertkit.infer.tasks import need_head
from albertkit.progress import Progress
from albertkit.tasks.examples import SpanExample
from albertkit.tasks.head import TaskHead
from albertkit.tasks.n_best import decided
from albertkit.tasks.span_answers import Decoded
from albertkit.tasks.span_files import AnswerColumns, read_answered


def predict_answers(
    predictor: Predictor,
    data: str | Path,
    *,
    bad: BadRows | None = None,
    columns: AnswerColumns | None = None,
) -> dict[str, Decoded]:
    """The n-best answers to each question of a file, by its id.

    Raises:
        CorpusError: it cannot be read, has no questions, or two have the same id.
        PredictionError: the model has no head for answers.
    """
    head = need_head(predictor.head, predictor.folder, "span")
    examples = read_answered(data, bad or BadRows(), columns, split="dev", needs_answer=False)
    _refuse_ids(examples, data)
    return {
        example.id: answer
        for example, answer in zip(examples, answers_of(predictor, head, examples), strict=True)
    }


def _refuse_ids(examples: Sequence[SpanExample], data: str | Path) -> None:
    twice = [name for name, count in Counter(e.id for e in examples).items() if count > 1]
    if twice or not examples:
        raise CorpusError(
            "Answers are written by the ids of their questions, which are not all different."
            if twice
            else "The file has no questions.",
            expected="questions, each with an id of its own",
            found=f"more than one with {listed(twice, 4)}" if twice else "none",
            where=data,
            fix="give each question an id of its own" if twice else "check the file",
        )


def answer_of(head: TaskHead, found: Decoded) -> str:
    """The answer that is given: "" for none."""
    return decided(found.best, found.no_answer, head.threshold)


def n_best_of(found: Decoded) -> list[dict[str, Any]]:
    """The best answers as google's nbest_predictions.json has them."""
    return [{"text": x.text, "probability": x.probability, "score": x.score} for x in found.best]


def write_answers(
    head: TaskHead, found: dict[str, Decoded], output: Path, n_best: Path | None = None
) -> None:
    """Write the answers by id, as the official programs read them, and perhaps the best of each.

    Raises:
        OutputError: a file cannot be written.
    """
    _write(output, {name: answer_of(head, answer) for name, answer in found.items()})
    if n_best is not None:
        _write(n_best, {name: n_best_of(answer) for name, answer in found.items()})


def row_of(head: TaskHead, example: SpanExample, answer: Decoded) -> dict[str, Any]:
    """Line (or id), question, prediction, score, start and end in the context."""
    text, best, name = answer_of(head, answer), answer.best[0], example.id
    place: dict[str, Any] = {LINE: int(name)} if name.isdecimal() else {"id": name}
    return {
        **place,
        "question": example.question,
        PREDICTION: text,
        SCORE: round(best.in_window if text else answer.no_answer_probability, 6),
        "start": best.begin if text else 0,
        "end": best.end if text else 0,
    }


def answer_rows(
    predictor: Predictor, data: Path, columns: AnswerColumns, bad: BadRows, *, skip: int = 0
) -> Iterator[list[dict[str, Any]]]:
    """Groups of rows, see `row_of`; skip: so many questions are done already."""
    head = need_head(predictor.head, predictor.folder, "span")
    examples = read_answered(data, bad, columns, split="dev", needs_answer=False)
    for begin in range(skip, len(examples), GROUP):
        part = examples[begin : begin + GROUP]
        found = answers_of(predictor, head, part)
        yield [row_of(head, example, each) for example, each in zip(part, found, strict=True)]


def write_answer_rows(
    predictor: Predictor,
    data: Path,
    columns: AnswerColumns,
    output: Path,
    bad: BadRows,
    report: Progress | None = None,
) -> int:
    """Write a row for each question; the number of rows. See `predict_file`."""

    def groups(skip: int) -> Iterator[list[dict[str, Any]]]:
        return answer_rows(predictor, data, columns, bad, skip=skip)

    return write_groups(groups, data, predictor, output, report)


def _write(path: Path, value: dict[str, Any]) -> None:
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")
