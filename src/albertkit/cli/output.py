"""Tables for people, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from albertkit.errors import OutputError


class Output(Console):
    """A console that leaves it to `main` what happens when the reader of a pipe goes away."""

    def on_broken_pipe(self) -> None:
        """Raise the BrokenPipeError that is being handled; rich would exit with code 1."""
        raise  # noqa: PLE0704


def print_line(text: str, *, stderr: bool = False) -> None:
    """A line for people, written out at once; a terminal gets it broken between words."""
    console = Output(stderr=stderr)
    if console.is_terminal:
        text = "\n".join(line.plain.rstrip() for line in Text(text).wrap(console, console.width))
    # Not by the console: while a bar moves, sys.stdout and sys.stderr print above it.
    print(text, file=sys.stderr if stderr else sys.stdout, flush=True)


def print_json(value: object) -> None:
    """One JSON value on one line, written out at once so that a reader of a pipe has it."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[int] = ()
) -> None:
    """A table whose cells are taken as they are; the columns of `right` hold numbers."""
    right = set(right)
    table = Table(
        title=title or None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        show_header=any(columns),
    )
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    Output(highlight=False).print(table)


def output_file(path: Path | None, input: Path | None = None) -> Path | None:
    """The path of --output, which is a file other than the --input: "-" is explained.

    Raises:
        OutputError: the path is "-", or the file that is read.
    """
    if path is None or str(path) != "-":
        if path is not None and input is not None and _is_same_file(path, input):
            raise OutputError(
                "The output would replace the input.",
                expected="another file than --input",
                found=input,
                where=path,
                fix="choose another name for --output",
            )
        return path
    raise OutputError(
        "--output takes the name of a file.",
        expected="a path such as vectors.npy",
        found="-",
        fix="leave --output out and take --json for lines on standard output, or write the bytes "
        "of the array there with --output /dev/stdout",
    )


def free_folder(wanted: Path) -> Path:
    """The path itself, or with -2, -3 ... behind it: the first that does not exist."""
    number, path = 1, wanted
    while path.exists():
        number += 1
        path = wanted.with_name(f"{wanted.name}-{number}")
    return path


def _is_same_file(path: Path, other: Path) -> bool:
    return path.is_file() and other.is_file() and path.samefile(other)
