"""From rows of a table to questions: which columns hold options, and how answers are given."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from albertkit.data.tables import BadRows, Row, Table
from albertkit.errors import CorpusError, listed, shown
from albertkit.tasks.columns import SEPARATORS, described_cells
from albertkit.tasks.examples import ChoiceExample

# Names that columns have in public data sets; the first that is there counts.
CONTEXTS = (
    *("context", "article", "passage", "paragraph", "dialogue", "document", "documents", "story"),
    *("text", "premise", "sent1", "ctx_a", "ctx", "support", "background", "文章", "原文", "段落"),
)
QUESTIONS = (
    *("question", "question_stem", "query", "sent2", "ctx_b", "goal", "stem", "prompt"),
    *("问题", "题目"),
)
OPTIONS = (
    "options",
    "choices",
    "choice",
    "endings",
    "candidates",
    "answers",
    "option",
    "选项",
    "候选",
)
ANSWERS = (
    *("answer", "label", "answerkey", "answer_key", "correct_answer", "correct", "correct_option"),
    *("correct_answer_id", "answer_index", "answer_idx", "gold", "target", "答案", "正确答案"),
)
# option_0, choice1, endingA, 选项B; A, B, C by themselves count too.
_NUMBERED = re.compile(
    r"(?:option|choice|ending|answer|candidate|alternative|opt?|选项|sol(?=\d))[_ -]?(\d+|[a-j])"
)


@dataclass(frozen=True)
class GivenColumns:
    """Names of columns as the user gives them; None and () are found by their usual names."""

    context: str | None = None
    question: str | None = None
    options: tuple[str, ...] = ()
    answer: str | None = None


@dataclass(frozen=True)
class QuestionColumns:
    """Columns that are used: options are one with a list, or one for each option with its key."""

    context: str | None
    question: str | None
    options: tuple[str, ...]
    keys: tuple[str, ...]  # "0" of option_0, "A" of option_a; none for one column with a list
    answer: str | None

    def describe(self, form: str) -> str:
        """One line for people; form: how answers are given."""
        parts = [f"context from column {self.context!r}"] if self.context is not None else []
        parts += [f"question from {self.question!r}"] if self.question is not None else []
        parts += [f"options from {', '.join(map(repr, self.options))}"]
        parts += [f"answer from {self.answer!r} ({form})"] if self.answer is not None else []
        return ", ".join(parts)


def find_columns(
    table: Table, given: GivenColumns, *, needs_answer: bool = True
) -> QuestionColumns:
    """The columns of questions: as the user names them, else by their usual names.

    Raises:
        CorpusError: a named column is not there, or none is recognised.
    """
    named = (given.context, given.question, *given.options, given.answer)
    for name in named:
        if name is not None and name not in table.columns:
            raise _unclear(table, f"The table has no column {name!r}.")
    free = {x.casefold(): x for x in reversed(table.columns) if x not in named}
    options = given.options or _options(free)
    for name in options:
        free.pop(name.casefold(), None)

    def first(names: Sequence[str]) -> str | None:
        found = next((free[name] for name in names if name in free), None)
        return None if found is None else free.pop(found.casefold())

    answer = given.answer or (first(ANSWERS) if needs_answer else None)
    question, context = given.question or first(QUESTIONS), given.context or first(CONTEXTS)
    lacks = [
        *(["options"] if not options else []),
        *(["question"] if question is None and context is None else []),
        *(["right option"] if answer is None and needs_answer else []),
    ]
    if lacks:
        raise _unclear(table, f"It is not clear which columns hold the {' and the '.join(lacks)}.")
    keys = tuple(_key(name, number) for number, name in enumerate(options))
    return QuestionColumns(context, question, options, keys if len(options) > 1 else (), answer)


def _options(free: dict[str, str]) -> tuple[str, ...]:
    """Columns for each option by their names, at least two; or the one with lists."""
    numbered = {name: found[1] for name in free if (found := _NUMBERED.fullmatch(name))}
    if len(numbered) > 1:
        order = sorted(numbered, key=lambda name: (len(numbered[name]), numbered[name]))
        return tuple(free[name] for name in order)
    letters = [letter for letter in ascii_uppercase.lower() if letter in free]
    if letters[:2] == ["a", "b"]:
        return tuple(free[letter] for letter in letters)
    return tuple(free[name] for name in OPTIONS if name in free)[:1]


def _key(column: str, number: int) -> str:
    found = _NUMBERED.fullmatch(column.casefold())
    return (found[1] if found else column).upper() if found or len(column) == 1 else str(number)


def _unclear(table: Table, what: str) -> CorpusError:
    return CorpusError(
        what,
        expected="columns named as in question, context, option_0, option_1, answer; or options "
        "with a list",
        found="columns " + described_cells(table),
        where=table.path,
        fix="name them: question_column=..., context_column=..., option_columns=[...], "
        "label_column=...",
        command_fix="name them: --question-column NAME --context-column NAME --option-columns A "
        "--option-columns B --label-column NAME",
    )


def questions_of(
    table: Table, columns: QuestionColumns, bad: BadRows
) -> tuple[Iterator[ChoiceExample], str]:
    """Questions of a table, and one line about its columns; their ids are the lines.

    A row is bad without a question, with fewer than two options, or with an answer that is none
    of them. How answers are given (the option's text, its letter, its number from 0 or 1) is what
    fits most rows; with answers all rows are read at once, else one by one.

    Raises:
        CorpusError: for a bad row, with its line.
    """
    if columns.answer is None:
        return _questions(table, columns, bad), columns.describe("")
    rows = list(_rows(table, columns, bad))
    form = max(FORMS, key=lambda name: sum(row.index(name) is not None for row in rows))
    if form == FROM_0 and rows:
        _refuse_unclear(table, rows)
    return _with_answers(table, rows, form, bad), columns.describe(form)


def _refuse_unclear(table: Table, rows: Sequence[_Asked]) -> None:
    """Refuse numbers that may count from 0 as well as from 1."""
    fits = [sum(row.index(form) is not None for row in rows) for form in (FROM_0, FROM_1)]
    if fits[0] == fits[1] > 0:
        raise CorpusError(
            "It is not clear whether answers are counted from 0 or from 1.",
            expected="an answer 0, or one that is the number of options",
            found="answers " + listed(sorted({_plain(row.answer) for row in rows}), 5),
            where=table.path,
            fix="write the right options by their letters or texts",
        )


@dataclass(frozen=True)
class _Asked:
    """A row: its question without an answer, the keys of its options, and its answer as given."""

    line: int
    question: ChoiceExample
    keys: tuple[str, ...]
    answer: Any

    def index(self, form: str) -> int | None:
        """The right option if answers are given in this form."""
        found = FORMS[form](_plain(self.answer), self.keys, self.question.options)
        return found if found is not None and 0 <= found < len(self.question.options) else None


def _place_in(values: Sequence[str], value: str) -> int | None:
    return values.index(value) if value in values else None


def _letter(value: str) -> int | None:
    name = value.strip("().:、． ").upper()
    return _place_in(ascii_uppercase, name) if len(name) == 1 else None


def _number(value: str) -> int | None:
    return int(value) if re.fullmatch("[0-9]{1,4}", value) else None


def _before(number: int | None) -> int | None:
    return None if number is None else number - 1


FROM_0, FROM_1 = "a number, from 0", "a number, from 1"
# How answers may be given: (answer, keys of the options, options) -> index; the first that fits
# as many rows as any other is taken.
FORMS: dict[str, Callable[[str, tuple[str, ...], tuple[str, ...]], int | None]] = {
    "the text of an option": lambda answer, keys, options: _place_in(options, answer),
    "the key of an option": lambda answer, keys, options: _place_in(keys, answer.upper()),
    "a letter": lambda answer, keys, options: _letter(answer),
    FROM_0: lambda answer, keys, options: _number(answer),
    FROM_1: lambda answer, keys, options: _before(_number(answer)),
}


def _plain(answer: Any) -> str:
    """An answer as text; 1.0 is 1, a list of one answer is that one."""
    if isinstance(answer, (list, tuple)) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    return "" if answer is None else str(answer).strip()


def _with_answers(
    table: Table, rows: Sequence[_Asked], form: str, bad: BadRows
) -> Iterator[ChoiceExample]:
    for row in rows:
        index = row.index(form)
        if index is None:
            bad.refuse(
                CorpusError(
                    "The answer of a row is not among its options.",
                    expected=f"{form}, as in most rows: {listed(list(row.question.options), 5)}",
                    found=shown(row.answer),
                    where=table.place(row.line),
                    fix="correct the row, or pass on_bad_row='skip'",
                    command_fix="correct the row, or add --on-bad-row skip",
                )
            )
            continue
        q = row.question
        yield ChoiceExample(q.id, q.context, q.question, q.options, index)


def _questions(table: Table, columns: QuestionColumns, bad: BadRows) -> Iterator[ChoiceExample]:
    return (row.question for row in _rows(table, columns, bad))


def _rows(table: Table, columns: QuestionColumns, bad: BadRows) -> Iterator[_Asked]:
    """Rows of two options or more."""
    for row in table.rows(bad):
        keys, options = _options_of(row, columns)
        context, question = _text(row, columns.context), _text(row, columns.question)
        if len(options) > 1 and (context or question):
            answer = None if columns.answer is None else row.cells[columns.answer]
            asked = ChoiceExample(str(row.line), context, question, options)
            yield _Asked(row.line, asked, keys, answer)
            continue
        bad.refuse(
            CorpusError(
                "A row does not hold a question with options.",
                expected="a question or a context, and two options or more",
                found=f"options: {listed(list(options), 5)}"
                if context or question
                else "no question",
                where=table.place(row.line),
                fix="correct the row, or pass on_bad_row='skip'",
                command_fix="correct the row, or add --on-bad-row skip",
            )
        )


def _options_of(row: Row, columns: QuestionColumns) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Keys and texts of the options of a row; cells without a text are no options."""
    if len(columns.options) > 1:
        texts = [_text(row, name) for name in columns.options]
        pairs = [(key, text) for key, text in zip(columns.keys, texts, strict=True) if text]
        return tuple(key for key, _ in pairs), tuple(text for _, text in pairs)
    value: Any = row.cells[columns.options[0]]
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        value = _decoded(value)
    keys: Sequence[Any] = ()
    if isinstance(value, dict):  # {"label": ["A", "B"], "text": [...]}, or {"A": ..., "B": ...}
        listed_apart = "text" in value
        keys = value.get("label", ()) if listed_apart else list(value)
        value = value["text"] if listed_apart else list(value.values())
    if isinstance(value, str):
        value = value.split(SEPARATORS)
    if isinstance(value, list) and value and all(isinstance(x, dict) for x in value):
        keys, value = [x.get("label", "") for x in value], [x.get("text", "") for x in value]
    texts = [str(x).strip() for x in value] if isinstance(value, (list, tuple)) else []
    return tuple(str(key).strip().upper() for key in keys), tuple(texts)


def _decoded(cell: str) -> Any:
    """JSON in a cell of CSV; what is none stays a text."""
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _text(row: Row, name: str | None) -> str:
    """A cell as text; several, as the turns of a dialogue, are joined by line ends."""
    cell = None if name is None else row.cells[name]
    if isinstance(cell, (list, tuple)):
        return "\n".join(map(str, cell)).strip()
    return "" if cell is None else str(cell).strip()
