"""Predict a table: row by row in bounded memory, in order, and again from where it was stopped."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from albertkit.data.tables import BadRows, Table
from albertkit.errors import OutputError
from albertkit.infer.answers import Classification
from albertkit.infer.evaluate import head_to_measure, logits_of_examples
from albertkit.infer.growing import growing_file
from albertkit.infer.predictor import Predictor
from albertkit.infer.tasks import classification
from albertkit.progress import Progress
from albertkit.tasks.columns import Columns, text_examples
from albertkit.tasks.examples import TextExample
from albertkit.tasks.head import TaskHead

GROUP = 512  # rows that are written together
LINE, PREDICTION, SCORE = "line", "prediction", "score"
_ABOVE = 0.5  # probability from which on one of several labels is an answer


def predict_rows(
    predictor: Predictor,
    table: Table,
    columns: Columns,
    bad: BadRows,
    *,
    skip: int = 0,
) -> Iterator[list[dict[str, Any]]]:
    """Groups of rows as they are to be written: line, the columns of texts, prediction, score.

    line: of the input. skip: so many rows are done already.

    Raises:
        OutputError: a column of texts has one of the other names.
    """
    head = head_to_measure(predictor)
    taken = {columns.text, columns.pair} & {LINE, PREDICTION, SCORE}
    if taken:
        raise OutputError(
            "A column of the table has the name of a column of the predictions.",
            expected=f"texts in columns that are not named {LINE}, {PREDICTION} or {SCORE}",
            found=", ".join(map(str, taken)),
            where=table.path,
            fix="rename the column",
        )
    examples = islice(text_examples(table, columns, bad, needs_label=False), skip, None)
    while group := list(islice(examples, GROUP)):
        yield [
            {**_source(example, columns), **answer}
            for example, answer in zip(group, _answers(predictor, head, group), strict=True)
        ]


def _source(example: TextExample, columns: Columns) -> dict[str, Any]:
    """Where a row comes from, and its texts."""
    row: dict[str, Any] = {LINE: int(example.id), columns.text: example.text}
    return row if columns.pair is None else {**row, columns.pair: example.pair}


def _answers(
    predictor: Predictor, head: TaskHead, group: Sequence[TextExample]
) -> list[dict[str, Any]]:
    """What the model says about each text: prediction, and score where there is one."""
    if head.traits.task == "tag":
        found = predictor.tag([example.text for example in group])
        return [{PREDICTION: [dict(entity) for entity in tags]} for tags in found]
    logits, _ = logits_of_examples(predictor, head, group)
    return [_answer(classification(head, each), head) for each in logits]


def _answer(answer: Classification, head: TaskHead) -> dict[str, Any]:
    if head.kind == "regression":
        return {PREDICTION: answer.value}
    if head.kind == "multi_label":
        found = [label for label in answer.labels if label.probability > _ABOVE]
        return {
            PREDICTION: [label.name for label in found],
            SCORE: [round(label.probability, 6) for label in found],
        }
    best = answer.labels[0]
    return {PREDICTION: best.name, SCORE: round(best.probability, 6)}


def predict_file(
    predictor: Predictor,
    table: Table,
    columns: Columns,
    output: Path,
    bad: BadRows,
    report: Progress | None = None,
) -> int:
    """Write the predictions for a table to a file; the number of rows.

    output: .csv and .tsv are tables, other names JSON lines. report: see `write_groups`.

    Raises:
        OutputError: the file cannot be written, or holds the predictions of another input.
        CorpusError: a bad row.
    """

    def groups(skip: int) -> Iterator[list[dict[str, Any]]]:
        return predict_rows(predictor, table, columns, bad, skip=skip)

    return write_groups(groups, table.path, predictor, output, report)


def write_groups(
    groups: Callable[[int], Iterator[list[dict[str, Any]]]],
    source: Path,
    predictor: Predictor,
    output: Path,
    report: Progress | None = None,
) -> int:
    """Write groups of rows to a file, and go on where a run before was stopped; the number of rows.

    groups(skip): what is to be written, without so many rows that are there already. report: called
    with ("examples", done, None).
    """
    made_of = {
        "input": str(source),
        "input_bytes": source.stat().st_size,
        "model": str(predictor.folder),
        "patience": predictor.patience,
        **predictor.engine_options,
    }
    with growing_file(output, made_of) as growing:
        if report is not None:
            report("examples", growing.rows, None)
        for group in groups(growing.rows):
            first = growing.rows == 0
            growing.file.write(lines_of(group, output.suffix.lower(), first=first))
            growing.commit(len(group), len(group))
            if report is not None:
                report("examples", growing.rows, None)
    return growing.rows


def lines_of(rows: Sequence[dict[str, Any]], suffix: str, *, first: bool = True) -> bytes:
    """Rows as bytes of a file; first: a table has its header before them."""
    if suffix not in (".csv", ".tsv"):
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    made = io.StringIO(newline="")
    names = list(rows[0])
    flat = [{name: _cell(value) for name, value in row.items()} for row in rows]
    if suffix == ".csv":
        writer = csv.DictWriter(made, names, lineterminator="\n")
        if first:
            writer.writeheader()
        writer.writerows(flat)
        return made.getvalue().encode()
    table = ([names] if first else []) + [list(row.values()) for row in flat]
    for cells in table:  # tab-separated values have no quotes: what would break a row is a space
        made.write("\t".join(" ".join(str(x).split("\t")).replace("\n", " ") for x in cells) + "\n")
    return made.getvalue().encode()


def _cell(value: Any) -> Any:
    """A value as a cell: several as the labels of multi_label are read, entities as JSON."""
    if not isinstance(value, list):
        return value
    if any(isinstance(each, dict) for each in value):
        return json.dumps(value, ensure_ascii=False)
    return "|".join(map(str, value))
