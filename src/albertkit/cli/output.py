"""Tables for people, JSON for machines."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

UNITS = ("B", "kB", "MB", "GB", "TB")


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
    Console(highlight=False).print(table)


def print_vectors(texts: Sequence[str], vectors: Floats) -> None:
    """Texts with their vector's length, first numbers, and cosine to the first text's vector."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1)
    cosines = vectors @ vectors[0] / np.maximum(lengths * lengths[0], 1e-12)
    rows = [
        (text, f"{cosine:.3f}", f"{length:.2f}", " ".join(f"{x:+.2f}" for x in vector[:3]))
        for text, cosine, length, vector in zip(texts, cosines, lengths, vectors, strict=True)
    ]
    columns = ["text", "cosine to first", "length", f"first 3 of {vectors.shape[1]}"]
    print_table("", columns, rows, right=[1, 2])


def write_array(path: Path, vectors: Floats) -> None:
    """Write a .npy file whole or not at all."""
    import numpy as np

    from albertkit.files import write_atomic

    buffer = io.BytesIO()
    np.save(buffer, vectors)
    write_atomic(path, buffer.getvalue())


def spell_bytes(count: int) -> str:
    """A size in decimal units: 999 B, 1.2 MB, 3.4 GB."""
    size, unit = float(count), 0
    while size >= 999.5 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {UNITS[unit]}" if unit == 0 or size >= 99.5 else f"{size:.1f} {UNITS[unit]}"
