"""Questions with options in files: those of RACE, DREAM and C3, and tables of one's own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from string import ascii_uppercase

from albertkit.data.example_files import (
    broken,
    expecting,
    json_document,
    json_lines,
    lines_of,
)
from albertkit.data.other_tables import SPLIT_NAMES, Split, has_part, open_table
from albertkit.data.tables import BadRows, Row, Table, refuse_pipe
from albertkit.errors import CorpusError
from albertkit.tasks.choice_columns import GivenColumns, find_columns, questions_of
from albertkit.tasks.examples import ChoiceExample

_ANY = GivenColumns()


def read_questions(
    path: str | Path,
    given: GivenColumns = _ANY,
    bad: BadRows | None = None,
    *,
    split: Split = "train",
    needs_answer: bool = True,
) -> tuple[Iterator[ChoiceExample], str]:
    """Questions of a file or folder, and one line about where they stand in it.

    A file is a passage of RACE, a file of DREAM or C3, a JSON list of objects, or a table: CSV,
    TSV, JSON lines, Parquet. A folder holds passages of RACE, files of DREAM or C3 or tables for
    each part of the data, of which those of `split` are taken. Ids are the lines of a table, else
    those of the data. needs_answer: without a known answer a question is bad, else answers of
    tables are not read.

    Raises:
        CorpusError: it cannot be read, a column is not found, or a row is bad.
    """
    path, bad = Path(path), bad or BadRows()
    refuse_pipe(path)
    files = _documents(path, split)
    if files:
        every = chain.from_iterable(map(_read_document, files))
        what = path if files == [path] else f"{len(files):,} files of {path}"
        return (
            _answered(every, path, bad) if needs_answer else every,
            f"questions, options and answers of {what}",
        )
    table = _JsonTable(path) if _begins_with(path, "[") else open_table(path, split)
    return questions_of(table, find_columns(table, given, needs_answer=needs_answer), bad)


def has_questions(path: Path, split: Split) -> bool:
    """Whether a folder has questions for a part of its data set, apart from those of others."""
    if not path.is_dir():
        return False
    documents = _documents(path, split)
    return documents != _documents(path, "train") if documents else has_part(path, split)


def _documents(path: Path, split: Split) -> list[Path]:
    """Files of RACE, DREAM and C3: the file itself, or those of a part of a folder."""
    if not path.is_dir():
        return [path] if _is_document(path) else []
    folders = [path / name for name in SPLIT_NAMES[split] if (path / name).is_dir()]
    passages = sorted((folders or [path])[0].rglob("*.txt"))
    if passages and _is_document(passages[0]):
        return passages
    for name in SPLIT_NAMES[split]:
        found = [file for file in _json_files(path) if name in _parts(file)]
        if found and all(map(_is_document, found)):
            return found
    return []


def _json_files(path: Path) -> list[Path]:
    return [
        file for file in sorted(path.iterdir()) if file.is_file() and ".json" in file.suffixes[-2:]
    ]


def _parts(file: Path) -> list[str]:
    """c3-d-train.json.xz has the parts c3, d, train."""
    return re.split("[-_.]", file.name.partition(".json")[0])


def _begins_with(path: Path, mark: str) -> bool:
    """Whether a file is text that begins so; what cannot be read is told by who reads it."""
    if path.is_dir() or not {".json", ".txt", ".jsonl"} & set(path.suffixes):
        return False
    return _first_line(path).startswith(mark)


def _first_line(path: Path) -> str:
    return next((line.strip() for _, line in lines_of(path) if line.strip()), "")


def _is_document(path: Path) -> bool:
    """Whether a file is a passage of RACE, or a list of passages with their questions."""
    if _begins_with(path, "["):
        value = json_document(path)
        return isinstance(value, list) and bool(value) and isinstance(value[0], list)
    if not _begins_with(path, "{"):
        return False
    try:
        value = json.loads(_first_line(path))
    except (ValueError, RecursionError):  # one object on several lines
        value = json_document(path)
    return isinstance(value, dict) and {"article", "questions", "options"} <= set(value)


def _read_document(path: Path) -> Iterator[ChoiceExample]:
    return race(path) if _begins_with(path, "{") else dialogues(path)


def _answered(
    questions: Iterator[ChoiceExample], path: Path, bad: BadRows
) -> Iterator[ChoiceExample]:
    """Questions whose answer is known; others are bad."""
    for question in questions:
        if question.answer is not None:
            yield question
            continue
        bad.refuse(
            CorpusError(
                "A question has no answer.",
                expected="an answer for each question",
                where=f"{path}, question {question.id}",
                fix="take a file with answers, or pass on_bad_row='skip'",
                command_fix="take a file with answers, or add --on-bad-row skip",
            )
        )


class _JsonTable(Table):
    """A JSON list of objects as rows, counted from 1."""

    def __init__(self, path: Path) -> None:
        self.path, self.kind, self.delimiter, self.has_header = path, "json", "", True
        self._rows = json_document(path)
        wrong = next((n for n, row in enumerate(self._rows, 1) if not isinstance(row, dict)), None)
        if not self._rows or wrong is not None:
            found = f"another value as item {wrong}" if wrong else "an empty list"
            raise broken(path, None, found, "a list of objects, one for each question")
        self.columns = tuple(dict.fromkeys(key for row in self._rows for key in row))

    def place(self, line: int) -> str:
        """The number of an object."""
        return f"{self.path}, item {line}"

    def rows(self, bad: BadRows | None = None) -> Iterator[Row]:
        """Every object with all columns."""
        for number, row in enumerate(self._rows, 1):
            yield Row(number, {name: row.get(name) for name in self.columns})


def race(path: Path) -> Iterator[ChoiceExample]:
    """Questions of a file of RACE: one passage as JSON; or questions as JSON lines.

    JSON lines have example_id, question_id, article, question, options and answer, a letter.
    """
    first = next((line for _, line in lines_of(path) if line.strip()), "")
    if '"article"' in first and '"questions"' not in first:
        for line, row in json_lines(path):
            with expecting(path, line):
                example = _race_question(
                    f"{row['example_id']}-{row['question_id']}",
                    row["article"],
                    row["question"],
                    row["options"],
                    row.get("answer"),
                )
            yield example
        return
    passage = json_document(path)
    with expecting(path):
        answers = passage.get("answers") or [None] * len(passage["questions"])
        for number, question in enumerate(passage["questions"]):
            yield _race_question(
                f"{passage.get('id', path.stem)}-{number}",
                passage["article"],
                question,
                passage["options"][number],
                answers[number],
            )


def _race_question(
    name: str, article: str, question: str, options: list[str], answer: str | None
) -> ChoiceExample:
    index = None if answer is None else ascii_uppercase.index(answer)
    return ChoiceExample(name, article, question, tuple(options), index)


def dialogues(path: Path) -> Iterator[ChoiceExample]:
    """Questions of DREAM and C3: a list of [turns, [{question, choice, answer}], id].

    Turns are joined by line ends. The answer is written as one of the options. Ids begin with the
    name of the file, for C3's two files of a split use the same ones.
    """
    with expecting(path):
        for turns, questions, name in json_document(path):
            for number, question in enumerate(questions):
                options = tuple(question["choice"])
                answer = question.get("answer")
                yield ChoiceExample(
                    f"{path.name.partition('.')[0]}/{name}-{number}",
                    "\n".join(turns),
                    question["question"],
                    options,
                    None if answer is None else options.index(answer),
                )
