"""Tables for people, JSON for machines."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from albertkit.errors import OutputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]


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


class VectorTable:
    """Lines for people, one for each text as it comes: cosine to the first text's vector, length.

    Prints the head with the first vector.
    """

    def __init__(self) -> None:
        self._first: Floats | None = None

    def add(self, text: str, vector: Floats) -> None:
        """Print the line of one text and its vector (H,)."""
        import numpy as np

        if self._first is None:
            self._first = vector
            print_line(f"cosine to first  length  {f'first 3 of {len(vector)}':22}  text")
        length = float(np.linalg.norm(vector))
        first = float(np.linalg.norm(self._first))
        cosine = float(vector @ self._first) / max(length * first, 1e-12)
        numbers = " ".join(f"{x:+.2f}" for x in vector[:3])
        print_line(f"{cosine:15.3f}  {length:6.2f}  {numbers:22}  {text}")


@contextmanager
def array_file(path: Path) -> Iterator[Callable[[Floats], None]]:
    """A .npy file that grows row by row: call what this gives with vectors (N, H), float32.

    The number of rows goes into the header at the end, into the room that numpy leaves for it.
    """
    import numpy as np

    from albertkit.files import atomic_file

    with atomic_file(path) as file:
        shape = [0, 0]

        def write_header() -> None:
            header = {"descr": "<f4", "fortran_order": False, "shape": tuple(shape)}
            np.lib.format.write_array_header_1_0(file, header)

        def append(vectors: Floats) -> None:
            if shape[0] == 0:
                shape[1] = vectors.shape[1]
                write_header()
            shape[0] += len(vectors)
            file.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())

        yield append
        file.seek(0)
        write_header()
        file.seek(0, io.SEEK_END)


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
