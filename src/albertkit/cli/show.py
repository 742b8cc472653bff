"""Tables for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

UNITS = ("B", "kB", "MB", "GB", "TB")


def print_json(value: object) -> None:
    """One JSON value on one line, written out at once so that a reader of a pipe has it."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[int] = ()
) -> None:
    """A table whose cells are taken as they are; the columns of `right` hold numbers."""
    right = set(right)
    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    Console(highlight=False).print(table)


def spell_bytes(count: int) -> str:
    """A size in decimal units: 999 B, 1.2 MB, 3.4 GB."""
    size, unit = float(count), 0
    while size >= 999.5 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {UNITS[unit]}" if unit == 0 or size >= 99.5 else f"{size:.1f} {UNITS[unit]}"
