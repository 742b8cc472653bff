"""Lines of text for a command: from files, or from standard input as they come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from albertkit.errors import CorpusError

MAX_LINE_BYTES = 8 * 2**20  # beyond it somebody gave the wrong file; memory stays bounded


def read_lines(path: Path | None, *, nul: bool = False) -> Iterator[str]:
    """Lines without their ends; `None` or "-" is standard input. Reads no further than asked.

    A byte order mark at the beginning is no part of the text. Raises CorpusError for a file that
    cannot be read, bytes that are no UTF-8, a line of more than 8 MiB, and, unless `nul` lets it
    pass, a NUL, which tells a binary file.
    """
    if path is None or str(path) == "-":
        yield from _lines(sys.stdin.buffer, "standard input", nul)
        return
    try:
        with path.open("rb") as file:
            yield from _lines(file, str(path), nul)
    except OSError as error:
        raise CorpusError(
            "Cannot read the input.",
            expected="a text file",
            found=error.strerror,
            where=path,
            fix="correct the path",
        ) from error


def _lines(file: BinaryIO, name: str, nul: bool) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        where = f"{name}, line {number}"
        if len(line) > MAX_LINE_BYTES:
            raise CorpusError(
                "A line is too long.",
                expected=f"lines of at most {MAX_LINE_BYTES // 2**20} MiB",
                found="a longer one",
                where=where,
                fix="put each text on a line of its own",
            )
        if not nul and b"\0" in line:
            raise CorpusError(
                "The input is not text.",
                expected="UTF-8 text",
                found=f"a NUL byte at byte {line.index(0)} of the line",
                where=where,
                fix="convert a UTF-16 file to UTF-8, or correct the path",
            )
        yield _decode(line, where).removeprefix("\ufeff" if number == 1 else "")


def _decode(line: bytes, where: str) -> str:
    try:
        return line.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise CorpusError(
            "The input is not UTF-8.",
            expected="UTF-8 text",
            found=f"byte 0x{line[error.start]:02x} at byte {error.start} of the line",
            where=where,
            fix="convert it, for example: iconv -f GB18030 -t UTF-8",
        ) from error


def require_lines(lines: Iterator[str]) -> Iterator[str]:
    """The same lines; a CorpusError if there is none."""
    empty = True
    for line in lines:
        empty = False
        yield line
    if empty:
        raise CorpusError(
            "There is no text.",
            expected="a text as an argument, or lines",
            found="an empty input",
            fix="give texts after the model, or --input FILE",
        )


def refuse_unknown_options(kind: object, value: object) -> None:
    """Let "-" pass as a name for standard input, and nothing else that begins with a hyphen."""
    for name in value if isinstance(value, tuple) else (value,):
        if str(name).startswith("-") and name != "-":
            raise ValueError(f"Unknown option: {name}.")
