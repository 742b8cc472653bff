"""Tables of a user's own data: CSV, TSV and JSON lines, row by row in bounded memory.

A file may be packed with gzip, xz, bzip2 or zstd. Tab-separated values have no quotes, as their
standard says and as GLUE's files need it; others are read as RFC 4180 has it. Whether the first
line is a header is decided by its cells: in data without one, a label of the first line comes
again below it.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Literal

from albertkit.data.archives import COMPRESSED, damage_named, decompressed, is_tar
from albertkit.data.example_files import LONE_SURROGATE, UTF16_MARKS, holds_surrogate
from albertkit.data.other_kinds import refuse_binary
from albertkit.errors import CorpusError, quoted, reason

OnBadRow = Literal["error", "skip"]
MAX_ROW_BYTES = 64 * 2**20  # beyond it a quote is not closed, or it is the wrong file
MAX_ROW_LINES = 10_000
PEEKED_ROWS = 100
_DELIMITERS = (",", ";", "\t", "|")
_FEW = 20  # different values of a column that may hold labels
csv.field_size_limit(MAX_ROW_BYTES)  # csv's own is 128 KiB, less than a long text; it is global


@dataclass(frozen=True)
class Row:
    """One row: the line on which it begins, from 1, and its cells by the names of their columns.

    Cells of CSV and TSV are texts; those of JSON lines are values of JSON, None where a key is
    missing.
    """

    line: int
    cells: dict[str, Any]


@dataclass
class BadRows:
    """What happens to a row that cannot be used: it is an error, or it is left out and counted."""

    on_bad_row: OnBadRow = "error"
    skipped: list[str] = field(default_factory=list)  # place and reason of each

    def refuse(self, error: CorpusError) -> None:
        """Raise the error of a row, or note it."""
        if self.on_bad_row == "error":
            raise error
        found = error.facts.get("found", "")
        self.skipped.append(f"{error.facts.get('where', '')}: {error.what} {found}".strip())


class Table:
    """A file of rows, opened again for each pass over it.

    Raises:
        CorpusError: it cannot be read, has no rows, or is not a table.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        refuse_pipe(self.path)
        with ExitStack() as stack:
            file = self._open(stack)
            first = _line_of(file, str(self.path), 1) or b""
        _refuse_nul(first, self.path)
        self.kind, self.delimiter = _kind_of(self.path, first)
        self.has_header = False
        self.columns: tuple[str, ...] = ()
        _decoded(first, 1, str(self.path))  # without its header a table would be misread
        left_out = BadRows("skip")
        peeked = list(itertools.islice(self._cells(left_out), PEEKED_ROWS))
        if left_out.skipped and not peeked:
            list(self._cells(BadRows()))  # raises the error of the first row
        if not peeked:
            raise CorpusError(
                "The table has no rows.",
                expected="CSV, TSV or JSON lines with a row for each example",
                found=f"{self.path.stat().st_size} bytes" if self.path.is_file() else "nothing",
                where=self.path,
                fix="check that it is the right file",
            )
        self._name_columns([cells for _, cells in peeked])

    def _name_columns(self, peeked: Sequence[Any]) -> None:
        if self.kind == "json lines":
            names = dict.fromkeys(key for cells in peeked for key in cells)
            self.columns = tuple(names)
            return
        self.has_header = self.kind != "lines" and _is_header(peeked[0], peeked[1:])
        if self.kind == "lines":
            self.columns = ("text",)
        elif self.has_header:
            self.columns = _distinct([cell.strip() for cell in peeked[0]])
        else:
            self.columns = tuple(str(n) for n in range(1, len(peeked[0]) + 1))

    def rows(self, bad: BadRows | None = None) -> Iterator[Row]:
        """Every row in order; bad: what to do with rows of another length, or that are not UTF-8.

        Raises:
            CorpusError: for a bad row, with its line.
        """
        bad = bad or BadRows()
        for number, (line, cells) in enumerate(self._cells(bad)):
            if number == 0 and self.has_header:
                continue
            if isinstance(cells, dict):
                yield Row(line, {name: cells.get(name) for name in self.columns} | cells)
            elif len(cells) == len(self.columns):
                yield Row(line, dict(zip(self.columns, cells, strict=True)))
            else:
                bad.refuse(self._wrong_length(line, cells))

    def place(self, line: int) -> str:
        """Where a row stands, for messages."""
        return f"{self.path}, line {line}"

    def _wrong_length(self, line: int, cells: Sequence[str]) -> CorpusError:
        lines = sum(cell.count("\n") for cell in cells) + 1
        quote = f" over {lines:,} lines: a quote may not be closed" if lines > 1 else ""
        return CorpusError(
            "A row has another number of cells than the first one.",
            expected=f"{len(self.columns)} cells: {', '.join(self.columns)}",
            found=f"{len(cells)} cells{quote}",
            where=self.place(line),
            fix="correct the row, or pass on_bad_row='skip'",
            command_fix="correct the row, or add --on-bad-row skip",
        )

    def _open(self, stack: ExitStack) -> BinaryIO:
        name = str(self.path)
        try:
            opened = stack.enter_context(self.path.open("rb"))
        except OSError as error:
            raise CorpusError(
                "The table cannot be read.",
                expected="a file with a row for each example",
                found=reason(error),
                where=name,
                fix="check the path and its permissions",
            ) from error
        stack.enter_context(damage_named(name))
        file = stack.enter_context(decompressed(opened, name))
        head = file.peek(512)
        refuse_binary(head, name)
        if is_tar(head):
            raise CorpusError(
                "This is an archive of several files.",
                expected="one table, which may be packed with gzip, xz, bzip2 or zstd",
                where=name,
                fix="unpack it, and give one of its files",
            )
        return file

    def _cells(self, bad: BadRows) -> Iterator[tuple[int, Any]]:
        """(line, cells) of every row, a header included."""
        with ExitStack() as stack:
            lines = _Lines(self._open(stack), str(self.path), bad)
            if self.kind == "json lines":
                yield from _json_rows(lines, bad)
            elif self.kind == "lines":
                yield from ((n, [text.rstrip("\r\n")]) for n, text in lines if text.strip())
            elif self.delimiter == "\t":
                pairs = ((n, text.rstrip("\r\n")) for n, text in lines)
                yield from ((n, text.split("\t")) for n, text in pairs if text.strip())
            else:
                yield from _quoted_rows(lines, self.delimiter, bad)


class _Lines:
    """Lines of a file as text, with their numbers; one that is not UTF-8 is a bad row."""

    def __init__(self, file: BinaryIO, name: str, bad: BadRows) -> None:
        self._file, self.name, self._bad = file, name, bad
        self.number = 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        while raw := _line_of(self._file, self.name, self.number + 1):
            self.number += 1
            try:
                text = _decoded(raw, self.number, self.name)
            except CorpusError as error:
                self._bad.refuse(error)
                continue
            yield self.number, text


def _decoded(raw: bytes, number: int, name: str) -> str:
    """A line as text, without a byte order mark."""
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        encoding = "UTF-16" if number == 1 and raw[:2] in UTF16_MARKS else "GB18030"
        raise CorpusError(
            "The table is not UTF-8.",
            expected="UTF-8 text",
            found=f"byte 0x{raw[error.start]:02x} at byte {error.start} of the line",
            where=f"{name}, line {number}",
            fix=f"convert it, as in: iconv -f {encoding} -t UTF-8 {name} > new.csv",
        ) from error


def refuse_pipe(path: Path) -> None:
    """Refuse what can be read only once, which a second look at it would wait for without end.

    Raises:
        CorpusError: it is a pipe or a device.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise CorpusError(
            "Examples are read more than once.",
            expected="a file on a disk",
            found="a pipe or a device",
            where=path,
            fix="write it into a file first, and name that",
        )


def _refuse_nul(first: bytes, path: Path) -> None:
    if b"\0" in first and first[:2] not in UTF16_MARKS:
        raise CorpusError(
            "This is not a text file.",
            expected="CSV, TSV or JSON lines in UTF-8",
            found="a NUL byte in the first line",
            where=path,
            fix="save it as CSV in UTF-8",
        )


def _line_of(file: BinaryIO, name: str, number: int) -> bytes:
    """The next line of a file, b"" at its end."""
    raw = file.readline(MAX_ROW_BYTES + 1)
    if len(raw) > MAX_ROW_BYTES:
        raise CorpusError(
            "A line is too long.",
            expected=f"lines of at most {MAX_ROW_BYTES // 2**20} MiB",
            found="a longer one",
            where=f"{name}, line {number}",
            fix="put each row on a line of its own",
        )
    return raw


def _kind_of(path: Path, first: bytes) -> tuple[str, str]:
    """What kind of table a file is, by its first line and its name, and its delimiter."""
    text = first.decode("utf-8-sig", "replace")
    suffixes = [s for s in PurePath(path).suffixes if s not in COMPRESSED]
    suffix = suffixes[-1].lower() if suffixes else ""
    if text.lstrip().startswith("{") and suffix != ".csv":
        return "json lines", ""
    if text.lstrip().startswith("[") and suffix in (".json", ".jsonl"):
        raise CorpusError(
            "This is one JSON document, not a row on each line.",
            expected="one JSON object a line",
            where=path,
            fix="write JSON lines, as in: jq -c '.[]' file.json > file.jsonl",
        )
    if suffix == ".tsv":
        return "tsv", "\t"
    if suffix == ".csv":
        found = max(_DELIMITERS, key=text.count)
        return ("tsv", found) if found == "\t" else ("csv", found)
    return ("tsv", "\t") if "\t" in text else ("lines", "")


def _json_rows(lines: _Lines, bad: BadRows) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, text in lines:
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            value, found = None, reason(error)
        else:
            is_row = isinstance(value, dict)
            found = LONE_SURROGATE if is_row else f"a JSON {type(value).__name__}"
        if isinstance(value, dict) and not holds_surrogate(text, value):
            yield number, value
        else:
            bad.refuse(
                CorpusError(
                    "A line is not a JSON object.",
                    expected='a line such as {"text": "...", "label": "..."}',
                    found=found,
                    where=f"{lines.name}, line {number}",
                    fix="correct the line, or pass on_bad_row='skip'",
                    command_fix="correct the line, or add --on-bad-row skip",
                )
            )


def _quoted_rows(lines: _Lines, delimiter: str, bad: BadRows) -> Iterator[tuple[int, list[str]]]:
    """Rows of CSV; a quoted cell may hold line ends."""
    begin = 0

    def watched() -> Iterator[str]:
        for number, text in lines:
            if number - begin > MAX_ROW_LINES:
                raise CorpusError(
                    "A quote is not closed.",
                    expected='a cell that ends with "',
                    found=f"a row of more than {MAX_ROW_LINES:,} lines",
                    where=f"{lines.name}, line {begin + 1}",
                    fix='close the quote, or write "" for a quote inside a quoted cell',
                )
            yield text

    rows = csv.reader(watched(), delimiter=delimiter)
    while True:
        try:
            cells = next(rows, None)
        except csv.Error as error:
            bad.refuse(_no_row(lines.name, begin + 1, error))
            cells = []
        if cells is None:
            return
        if cells:  # not a blank line
            yield begin + 1, cells
        begin = lines.number


def _no_row(name: str, line: int, error: csv.Error) -> CorpusError:
    """The error for a line that cannot be parsed as CSV: a carriage return outside of quotes."""
    return CorpusError(
        "A line of the table cannot be read.",
        expected="cells in quotes where they hold line ends",
        found="a carriage return within the line" if "new-line" in str(error) else str(error),
        where=f"{name}, line {line}",
        fix="put the cell in quotes; where carriage returns end the lines of the file, convert it: "
        f"tr '\\r' '\\n' < {quoted(name)} > new.csv",
    )


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns.

    It does not if one of its cells is a value that comes again below it, in a column of few values.
    """
    if not rest:
        return True
    for number, cell in enumerate(first):
        below = [row[number] for row in rest if number < len(row)]
        if cell in below and len(set(below)) <= min(_FEW, max(2, len(below) // 2)):
            return False
    return True


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names of columns; an empty one, and one that occurs before, is named by its number."""
    made: list[str] = []
    for number, name in enumerate(names, 1):
        made.append(name if name and name not in made else str(number))
    return tuple(made)
