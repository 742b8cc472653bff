"""Files of questions about contexts: SQuAD's JSON, tables, and folders of either."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from albertkit.data.archives import COMPRESSED
from albertkit.data.example_files import lines_of
from albertkit.data.other_tables import SPLIT_NAMES, Split, has_part, open_table
from albertkit.data.tables import BadRows, Row, Table
from albertkit.errors import CorpusError, listed, shown
from albertkit.tasks.examples import SpanExample
from albertkit.tasks.squad_json import placed, read_squad

# Names that columns have in public data sets and in spreadsheets; the first that is there counts.
QUESTIONS = ("question", "query", "question_text", "问题", "提问")
CONTEXTS = (
    *("context", "passage", "paragraph", "text", "document", "article", "context_text"),
    *("文章", "段落", "内容", "文本", "材料"),
)
ANSWERS = ("answer", "answers", "answer_text", "答案", "回答")
STARTS = ("answer_start", "start", "answer_begin")
_BEGINNING = 10_000  # characters of a file that show whether it is SQuAD's JSON


@dataclass(frozen=True)
class AnswerColumns:
    """Names of the columns of a table; a name that is empty is found by its usual ones."""

    question: str = ""
    context: str = ""
    answer: str = ""


def read_answered(
    path: str | Path,
    bad: BadRows,
    columns: AnswerColumns | None = None,
    *,
    split: Split = "train",
    needs_answer: bool = True,
) -> list[SpanExample]:
    """Every question of a file or folder, as SQuAD's JSON or as a table with a row for each.

    A table has the answer as it is in the context, and perhaps its first character: then it is
    read as in SQuAD's JSON, else the first place where it occurs is taken. Answers may be lists, or
    {"text": [...], "answer_start": [...]} as `datasets` has them; an empty one, or a column
    is_impossible that is true, says that there is none.

    Raises:
        CorpusError: it cannot be read, a column is not found, a question without an answer, or an
            answer of unknown place that is not in its context.
    """
    files = squad_files(Path(path), split)
    if not files:
        table = open_table(path, split)
        found = _found_columns(table, columns or AnswerColumns(), needs_answer)
        return list(_of_rows(table, found, bad, needs_answer))
    questions = [question for file in files for question in read_squad(file, bad=bad)]
    if not needs_answer:
        return questions
    made = []
    for question in questions:
        if question.answers or question.is_impossible:
            made.append(question)
        else:
            bad.refuse(_no_answer(f"{path}, question {question.id}"))
    return made


def has_answered(path: Path, split: Split) -> bool:
    """Whether a folder has files for a part of its questions."""
    return path.is_dir() and (bool(_json_files(path, split)) or has_part(path, split))


def squad_files(path: Path, split: Split) -> list[Path]:
    """The files of SQuAD's JSON that a path names: itself, or those of a folder's part."""
    if not path.is_dir():
        return [path] if _is_squad(path) else []
    files = _json_files(path, split)
    if not files:  # those whose names say nothing of a part
        parts = {name for names in SPLIT_NAMES.values() for name in names}
        files = [x for x in _all_json(path) if not parts & set(re.split("[-_.]", x.name.lower()))]
    return [file for file in files if _is_squad(file)]


def _json_files(path: Path, split: Split) -> list[Path]:
    """Files of the first name that a part has."""
    for name in SPLIT_NAMES[split]:
        if found := [file for file in _all_json(path) if file.name.startswith(name)]:
            return found
    return []


def _all_json(path: Path) -> list[Path]:
    return sorted(file for end in ("", *COMPRESSED) for file in path.glob(f"*.json{end}"))


def _is_squad(path: Path) -> bool:
    """Whether a file is one JSON document of articles, by its name and its beginning."""
    if not path.is_file() or ".json" not in path.suffixes:
        return False
    text = ""
    for _, line in lines_of(path):
        text += line[:_BEGINNING].strip()
        if len(text) > 1:
            break
    return text.startswith("{") and ('"data"' in text or '"version"' in text)


@dataclass(frozen=True)
class _Columns:
    question: str
    context: str
    answer: str | None
    start: str | None


def _found_columns(table: Table, given: AnswerColumns, needs_answer: bool) -> _Columns:
    """Columns as named by the user, else by their usual names."""
    lower = {name.casefold(): name for name in reversed(table.columns)}

    def column(stated: str, usual: Sequence[str]) -> str | None:
        if stated:
            return stated if stated in table.columns else None
        return next((lower[name] for name in usual if name in lower), None)

    stated = (given.question, given.context, given.answer)
    absent = next((name for name in stated if name and name not in table.columns), None)
    question, context = column(given.question, QUESTIONS), column(given.context, CONTEXTS)
    answer = column(given.answer, ANSWERS)
    if question is None or context is None or (answer is None and needs_answer):
        raise CorpusError(
            "The columns of questions, contexts and answers were not found."
            if absent is None
            else f"The table has no column {absent!r}.",
            expected="columns question, context and answer",
            found="columns " + listed(list(table.columns), 8),
            where=table.path,
            fix="name them: question_column=..., context_column=..., label_column=...",
            command_fix="name them: --question-column NAME --context-column NAME "
            "--label-column NAME",
        )
    return _Columns(question, context, answer, column("", STARTS))


def _of_rows(
    table: Table, columns: _Columns, bad: BadRows, needs_answer: bool
) -> Iterator[SpanExample]:
    for row in table.rows(bad):
        where = table.place(row.line)
        question, context = (_text(row.cells[name]) for name in (columns.question, columns.context))
        if not question.strip() or not context.strip():
            lacks = columns.context if question.strip() else columns.question
            bad.refuse(_bad_row(f"A row has nothing in its column {lacks!r}.", None, where))
            continue
        answers = _answers(row, columns, context)
        impossible = answers == () or str(row.cells.get("is_impossible")).lower() in ("true", "1")
        if impossible:
            answers = ()
        if needs_answer and answers is None:
            bad.refuse(_no_answer(where))
            continue
        missing = next((text for start, text in answers or () if start is None), None)
        if missing is not None and needs_answer:
            what = "An answer does not occur in its context."
            bad.refuse(_bad_row(what, missing, where))
            continue
        places = tuple((start, text) for start, text in answers or () if start is not None)
        yield SpanExample(str(row.line), context, question, places, impossible)


def _answers(
    row: Row, columns: _Columns, context: str
) -> tuple[tuple[int | None, str], ...] | None:
    """(first character, text) of each answer; None for a start that there is not.

    () says that there is no answer, None that nothing is said.
    """
    cell: Any = None if columns.answer is None else row.cells[columns.answer]
    starts: Any = None if columns.start is None else row.cells[columns.start]
    if isinstance(cell, dict):
        cell, starts = cell.get("text"), cell.get("answer_start")
    texts = [_text(x) for x in cell] if isinstance(cell, (list, tuple)) else [_text(cell)]
    if isinstance(cell, (list, tuple)) and not texts:
        return ()
    if not all(text.strip() for text in texts):
        return None
    stated = starts if isinstance(starts, (list, tuple)) else [starts] * len(texts)
    return tuple(
        (_start(context, text, stated[n] if n < len(stated) else None), text)
        for n, text in enumerate(texts)
    )


def _start(context: str, text: str, stated: Any) -> int | None:
    """The first character of an answer; of one that is not found the stated one, or None."""
    try:
        near: int | None = int(float(stated))
    except (TypeError, ValueError, OverflowError):
        near = None
    start = placed(context, near or 0, text)
    begin = start + len(text) - len(text.lstrip())
    return start if context.startswith(text.strip(), begin) else near


def _text(cell: Any) -> str:
    """A cell as a text; what is missing, and NaN of a spreadsheet, is empty."""
    return "" if cell is None or cell != cell else str(cell)


def _no_answer(where: str) -> CorpusError:
    return _bad_row("A question has no answer.", None, where)


def _bad_row(what: str, found: str | None, where: str) -> CorpusError:
    return CorpusError(
        what,
        expected="a question, a context, and an answer that occurs in it; or is_impossible",
        found=None if found is None else shown(found),
        where=where,
        fix="correct it, or pass on_bad_row='skip'",
        command_fix="correct it, or add --on-bad-row skip",
    )
