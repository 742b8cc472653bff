"""Moving lines on standard error while data are written or files arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from albertkit.cli.output import format_bytes

if TYPE_CHECKING:
    from albertkit.data.writing import Progress as Written


@contextmanager
def data_progress() -> Iterator[Callable[[Written], None] | None]:
    """A function to show how far the writing is; None without a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = [BarColumn(bar_width=24), TextColumn("{task.description}")]
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", total=None)

        def show(written: Written) -> None:
            shown.update(
                task,
                total=written.input_total,
                completed=written.input_bytes,
                description=_describe(written),
            )

        yield show


@contextmanager
def download_progress() -> Iterator[Callable[[str, int, int | None], None] | None]:
    """A function to show how much has arrived; None without a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = shown.add_task(name, total=total)
            shown.update(tasks[name], completed=done, total=total)

        yield show


def _describe(written: Written) -> str:
    left = written.seconds_left
    facts = [
        f"{format_bytes(written.text_bytes)} of text",
        f"{written.tokens:,} tokens",
        f"{written.megabytes_per_second:.1f} MB/s",
    ]
    return "  ".join([*facts, *([] if left is None else [f"{_clock(left)} left"])])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
        if minutes >= 60
        else f"{minutes}:{rest:02d}"
    )
