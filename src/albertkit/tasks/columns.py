"""From rows of a user's table to examples: which column is what, and what kind of label it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from albertkit.data.tables import BadRows, Row, Table
from albertkit.errors import CorpusError, listed, shown
from albertkit.tasks.examples import TextExample

# Names that columns have in public data sets and in spreadsheets; the first that is there counts.
PAIRS = (
    *(("sentence1", "sentence2"), ("sentence_a", "sentence_b"), ("text_a", "text_b")),
    *(("text1", "text2"), ("texta", "textb"), ("premise", "hypothesis")),
    *(("question1", "question2"), ("question", "sentence"), ("query", "title"), ("s1", "s2")),
    *(("#1 string", "#2 string"), ("query1", "query2"), ("query", "passage"), ("text", "pair")),
)
TEXTS = (
    *("text", "sentence", "review", "content", "comment", "document", "body", "tweet", "title"),
    *("message", "description", "question", "query", "text_a", "sentence1", "utterance"),
    *("文本", "内容", "评论", "标题", "句子"),
)
LABELS = (
    *("label", "labels", "class", "category", "target", "sentiment", "gold_label", "label_desc"),
    *("intent", "topic", "score", "rating", "stars", "polarity", "quality", "tag"),
    *("label_des", "标签", "类别", "情感", "分类"),
)
_PEEKED = 100  # rows that show what a column holds
_REPEATED = 4  # rows for each value of a column of labels, at least
_MANY = 20  # different numbers with a point in them are numbers to predict, not classes
SEPARATORS = "|"  # between the labels of a cell, for multi_label in CSV and TSV
MAX_NUMBER = 1e18  # the square of a larger one may not fit into 32 bits


@dataclass(frozen=True)
class Columns:
    """Names of the columns that are used; pair and label where there are such."""

    text: str
    pair: str | None
    label: str | None

    def describe(self) -> str:
        """One line for people."""
        parts = [f"text from column {self.text!r}"]
        parts += [f"pair from {self.pair!r}"] if self.pair is not None else []
        parts += [f"label from {self.label!r}"] if self.label is not None else []
        return ", ".join(parts)


def find_columns(
    table: Table,
    *,
    text: str | None = None,
    pair: str | None = None,
    label: str | None = None,
    needs_label: bool = True,
) -> Columns:
    """The columns of texts and labels: as named by the user, else by their usual names.

    A table of two columns needs no names: the longer cells are the texts. Three columns without a
    header line are two texts and a label if the last one has few different values and the others
    have many, as LCQMC's and AFQMC's files do.

    Raises:
        CorpusError: a named column is not there, or none is recognised.
    """
    for name in (text, pair, label):
        if name is not None and name not in table.columns:
            raise _no_column(table, f"The table has no column {name!r}.")
    lower = {name.casefold(): name for name in reversed(table.columns)}
    if label is None:
        free = [name for name in LABELS if lower.get(name) not in (text, pair, None)]
        label = lower[free[0]] if free else None
    if text is None and pair is None:
        both = [(a, b) for a, b in PAIRS if a in lower and b in lower and lower[b] != label]
        if both:
            text, pair = (lower[name] for name in both[0])
    if text is None:
        free = [name for name in TEXTS if lower.get(name) not in (pair, label, None)]
        text = lower[free[0]] if free else None
    if (text, pair, label) == (None, None, None) and _is_pairs_with_labels(table):
        text, pair, label = table.columns
    if text is None or (label is None and needs_label):
        text, label = _by_content(table, text, label, needs_label)
    return Columns(text, pair, label)


def _is_pairs_with_labels(table: Table) -> bool:
    """Whether a table without a header line has two texts and a label in each row."""
    if table.has_header or len(table.columns) != 3:
        return False
    rows = [list(row.cells.values()) for row in islice(table.rows(BadRows("skip")), _PEEKED)]
    first, second, last = (len(set(map(repr, cells))) for cells in zip(*rows, strict=True))
    few = last <= min(_MANY, len(rows) // _REPEATED)
    return few and min(first, second) * _REPEATED > len(rows)  # a premise has three hypotheses


def _by_content(
    table: Table, text: str | None, label: str | None, needs_label: bool
) -> tuple[str, str | None]:
    """Text and label of a table in which only one or two columns are left to be them."""
    left = [name for name in table.columns if name not in (text, label)]
    if text is None and len(left) == 1 and (label is not None or not needs_label):
        return left[0], label
    if text is not None and len(left) == 1 and label is None:
        return text, left[0]
    if text is None and label is None and len(left) == 2:
        rows = list(islice(table.rows(BadRows("skip")), _PEEKED))
        size = {name: sum(len(str(row.cells[name])) for row in rows) for name in left}
        longer, shorter = sorted(left, key=lambda name: -size[name])
        # Two texts alike in length may be a pair, of which none is to be left out.
        if needs_label or 2 * size[shorter] < size[longer]:
            return longer, shorter
    lacks = [*(["texts"] if text is None else []), *(["labels"] if label is None else [])]
    raise _no_column(table, f"It is not clear which columns hold the {' and the '.join(lacks)}.")


def described_cells(table: Table) -> str:
    """The columns of a table with the cells of its first row, for messages."""
    row = next(table.rows(BadRows("skip")), None)
    cells = {} if row is None else row.cells
    return listed([f"{name} ({_short(cells.get(name))})" for name in table.columns], 8)


def _no_column(table: Table, what: str) -> CorpusError:
    return CorpusError(
        what,
        expected=f"columns named as in {TEXTS[0]}, {TEXTS[1]}; {LABELS[0]}, {LABELS[2]}",
        found="columns " + described_cells(table),
        where=table.path,
        fix="name them: text_column=..., label_column=... and, for two texts, pair_column=...",
        command_fix="name them: --text-column NAME --label-column NAME and, for two texts, "
        "--pair-column NAME",
    )


def _short(cell: object) -> str:
    text = str(cell)
    return text if len(text) <= 20 else text[:17] + "..."


def text_examples(
    table: Table, columns: Columns, bad: BadRows, *, needs_label: bool = True
) -> Iterator[TextExample]:
    """Examples of a table, their labels as they stand in it: see `with_labels`.

    A row without a text is bad, and one without a label if labels are needed. The id is the line.

    Raises:
        CorpusError: for a bad row, with its line.
    """
    for row in table.rows(bad):
        if (error := _no_text(table, row, columns)) is not None:
            bad.refuse(error)
            continue
        text = _text(row, columns.text)
        pair = None if columns.pair is None else _text(row, columns.pair)
        label = None if columns.label is None else row.cells[columns.label]
        label = label.strip() if isinstance(label, str) else label
        lacks = columns.text if not text else columns.pair if pair == "" else None
        if needs_label and label in (None, ""):
            lacks = columns.label
        if lacks is not None:
            bad.refuse(
                CorpusError(
                    f"A row has nothing in its column {lacks!r}.",
                    expected="a text and a label in each row" if needs_label else "a text",
                    where=table.place(row.line),
                    fix="correct the row, or pass on_bad_row='skip'",
                    command_fix="correct the row, or add --on-bad-row skip",
                )
            )
            continue
        yield TextExample(str(row.line), text, pair, label)


def _no_text(table: Table, row: Row, columns: Columns) -> CorpusError | None:
    """The error of a row of JSON in which a list or an object stands for a text or a label."""
    for name in (columns.text, columns.pair, columns.label):
        cell = None if name is None else row.cells[name]
        if isinstance(cell, dict) or (isinstance(cell, list) and name != columns.label):
            return CorpusError(
                f"A row has no text in its column {name!r}.",
                expected="a text, or a number",
                found=shown(cell),
                where=table.place(row.line),
                fix="correct the row, or pass on_bad_row='skip'",
                command_fix="correct the row, or add --on-bad-row skip",
            )
    return None


def _text(row: Row, name: str) -> str:
    cell = row.cells[name]
    return "" if cell is None else str(cell).strip()


def kind_of_labels(labels: Sequence[Any]) -> Literal["classification", "multi_label", "regression"]:
    """What labels of a table are: lists are several classes, measured numbers are numbers.

    Numbers count as measured if they have decimals and more than 20 different values.
    """
    if any(isinstance(label, (list, tuple)) for label in labels):
        return "multi_label"
    numbers = [_number(label) for label in labels]
    if all(number is not None for number in numbers):
        distinct = set(numbers)
        if len(distinct) > _MANY and any(n != int(n) for n in distinct if n is not None):
            return "regression"
    return "classification"


def with_labels(
    examples: Sequence[TextExample],
    kind: str,
    where: object,
    *,
    separator: str = SEPARATORS,
    bad: BadRows | None = None,
) -> list[TextExample]:
    """The same examples with labels as their kind has them: a name, several names, a number.

    bad: whether a label that is not a number, for regression, is an error or left out.

    Raises:
        CorpusError: for such a label.
    """
    bad, made = bad or BadRows(), []
    for example in examples:
        try:
            made.append(_labelled(example, kind, where, separator))
        except CorpusError as error:
            bad.refuse(error)
    return made


def _labelled(example: TextExample, kind: str, where: object, separator: str) -> TextExample:
    label: Any = example.label
    made: str | tuple[str, ...] | float | None
    if label is None:
        made = None
    elif kind == "multi_label":
        names = label if isinstance(label, (list, tuple)) else str(label).split(separator)
        made = tuple(dict.fromkeys(name for x in names if (name := _name(x))))
    elif kind == "regression":
        made = _number(label)
        if made is None:
            raise CorpusError(
                "A label is not a number.",
                expected=f"a number from -{MAX_NUMBER:g} to {MAX_NUMBER:g} in each row",
                found=shown(label),
                where=f"{where}, line {example.id}",
                fix="correct the row, or train classes: kind='classification'",
                command_fix="correct the row, or train classes: --kind classification",
            )
    else:
        made = _name(label)
    return TextExample(example.id, example.text, example.pair, made)


def _name(label: Any) -> str:
    """A class as a name; 1, 1.0 and "1" are the same one, true and false are words."""
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label).strip()


def _number(label: Any) -> float | None:
    """A label as a finite number, or None."""
    if isinstance(label, bool) or not isinstance(label, (str, int, float)):
        return None
    try:
        number = float(label)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) <= MAX_NUMBER else None  # NaN is not
