"""Files of examples in known formats: lines, tables, JSON; packed or not, in UTF-8.

Every reader yields or returns plain values and names file and line where the format is broken.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from albertkit.data.archives import damage_named, decompressed
from albertkit.data.other_kinds import refuse_binary
from albertkit.errors import CorpusError, reason

T = TypeVar("T")
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
LONE_SURROGATE = "a lone surrogate, which is not a character"


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every line with its number, from 1, without its end; a byte order mark is dropped."""
    with _opened(path) as file:
        try:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip("\r\n")
        except UnicodeDecodeError as error:
            encoding = "UTF-16" if error.object[:2] in UTF16_MARKS else "GB18030"
            made = broken(path, None, f"bytes that are not UTF-8: {error.reason}", "UTF-8 text")
            made.facts["to do"] = f"convert it, as in: iconv -f {encoding} -t UTF-8 {path} > new"
            raise made from error


@contextmanager
def _opened(path: Path) -> Iterator[io.TextIOWrapper]:
    try:
        raw = path.open("rb")
    except OSError as error:
        raise CorpusError(
            "A file of examples cannot be read.",
            expected="a file",
            found=reason(error),
            where=path,
            fix="check the path and its permissions",
        ) from error
    name = str(path)
    with raw, damage_named(name), decompressed(raw, name) as content:
        refuse_binary(content.peek(512), name)
        yield io.TextIOWrapper(content, encoding="utf-8-sig", newline="\n")


def broken(path: Path, line: int | None, found: str, expected: str | None = None) -> CorpusError:
    """The error of a file that is not of its format."""
    return CorpusError(
        "A file of examples cannot be read.",
        expected=expected or "the format that its kind of data has",
        found=found,
        where=str(path) if line is None else f"{path}, line {line}",
        fix="correct the line, or download the file again",
    )


def skippable(error: CorpusError) -> CorpusError:
    """The same error of a row that the reader may leave out instead."""
    error.facts["to do"] = "correct it, or pass on_bad_row='skip'"
    error.command_fix = "correct it, or add --on-bad-row skip"
    return error


def table(
    path: Path, columns: Sequence[str] | None = None, *, separator: str = "\t"
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table without quotes, as GLUE's files are, with their line numbers.

    columns: their names, where the file has no header; rows may have further cells. A row with
    fewer cells than the columns named here, or than the header, is an error; blank lines are not.
    """
    names = columns
    for number, line in lines_of(path):
        if not line.strip():
            continue
        cells = line.split(separator)
        if names is None:
            names = cells
            continue
        if len(cells) < len(names):
            raise broken(path, number, f"{len(cells)} cells", f"{len(names)}: {', '.join(names)}")
        yield number, dict(zip(names, cells, strict=False))


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with one on each line, with their line numbers."""
    for number, line in lines_of(path):
        if line.strip():
            yield number, _object(path, number, line)


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise broken(path, number, reason(error), "a JSON object on each line") from error
    if not isinstance(value, dict):
        raise broken(path, number, f"a JSON {type(value).__name__}", "a JSON object on each line")
    return value


def json_document(path: Path) -> Any:
    """The value of a JSON file."""
    with _opened(path) as file:
        try:
            text = file.read()
            value = json.loads(text)
            if holds_surrogate(text, value):
                raise broken(path, None, LONE_SURROGATE, "valid Unicode text")
            return value
        except CorpusError:
            raise
        except (ValueError, RecursionError) as error:
            raise broken(path, None, reason(error), "a JSON document") from error


def holds_surrogate(text: str, value: object) -> bool:
    """Whether JSON, its text and its value, has a lone surrogate: no file of text can hold it."""
    if "\\ud" not in text and "\\uD" not in text:
        return False
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def is_json(path: Path) -> bool:
    """Whether a file begins like JSON."""
    return next((line for _, line in lines_of(path) if line.strip()), "").lstrip()[:1] in ("{", "[")


@contextmanager
def expecting(path: Path, line: int | None = None) -> Iterator[None]:
    """Turn a missing key, or a value of another kind, into an error with file and line."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if isinstance(error, CorpusError):
            raise
        what = f"no {error}" if isinstance(error, KeyError) else reason(error)
        raise broken(path, line, what) from error


def made(
    path: Path, rows: Iterator[tuple[int, Mapping[str, Any]]], make: Callable[[int, Any], T]
) -> Iterator[T]:
    """`make(number, row)` of every row, counted from 0; errors name the line."""
    for number, (line, row) in enumerate(rows):
        with expecting(path, line):
            example = make(number, row)
        yield example
