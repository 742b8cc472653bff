"""Predict questions with options: the option of each, in bounded memory and in order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from albertkit.data.tables import BadRows
from albertkit.infer.evaluate import logits_of_examples
from albertkit.infer.predict_file import GROUP, LINE, PREDICTION, SCORE, write_groups
from albertkit.infer.predictor import Predictor
from albertkit.infer.tasks import chosen, need_head
from albertkit.progress import Progress
from albertkit.tasks.choice_columns import GivenColumns
from albertkit.tasks.choice_files import read_questions


def choice_rows(
    predictor: Predictor, data: Path, given: GivenColumns, bad: BadRows, *, skip: int = 0
) -> Iterator[list[dict[str, Any]]]:
    """Groups of rows: line (or id), question, prediction, index of the option, score.

    skip: so many questions are done already.
    """
    head = need_head(predictor.head, predictor.folder, "choose")
    questions, _ = read_questions(data, given, bad, split="dev", needs_answer=False)
    rest = islice(questions, skip, None)
    while group := list(islice(rest, GROUP)):
        logits, _ = logits_of_examples(predictor, head, group)
        rows = []
        for question, scores in zip(group, logits, strict=True):
            choice = chosen(question.options, scores)
            place = {LINE: int(question.id)} if question.id.isdecimal() else {"id": question.id}
            rows.append(
                {
                    **place,
                    "question": question.question or question.context,
                    PREDICTION: choice.text,
                    "index": choice.number,
                    SCORE: round(choice.probability, 6),
                }
            )
        yield rows


def predict_choices(
    predictor: Predictor,
    data: Path,
    given: GivenColumns,
    output: Path,
    bad: BadRows,
    report: Progress | None = None,
) -> int:
    """Write the predictions for a file of questions; the number of rows. See `predict_file`."""

    def groups(skip: int) -> Iterator[list[dict[str, Any]]]:
        return choice_rows(predictor, data, given, bad, skip=skip)

    return write_groups(groups, data, predictor, output, report)
