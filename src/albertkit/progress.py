"""How far long work is: one line that moves on a terminal; elsewhere nothing, or a few plain lines.

    with Bar("step", 1000, console=console) as bar:
        bar.update(120, ["loss 7.123", "12,300 tokens/s"])

    step ━━━━━━━━━━━━━━━━━━━━━━━━  120/1,000  loss 7.123  12,300 tokens/s  0:48 left

Functions that take long have an argument `progress`, a function that is called with (what, done,
total): `Bar.report` is one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

import rich.progress
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.text import Text

# Called with what is done ("writing", a file's name), how much of it so far, and how much there is
# (None: not known); bytes, if nothing else is said.
Progress = Callable[[str, int, int | None], None]

_PLAIN_SECONDS = 10.0  # at most one plain line in this time, or a log would be mostly progress
_REPORT_SECONDS = 0.05  # between calls of `report` that are looked at: work may call it very often
_LOOK_SECONDS = 0.2  # between looks at how much is written
_GAP = "  "
_LONGEST, _SHORTEST = 24, 4  # columns of the bar itself
UNITS = ("B", "kB", "MB", "GB", "TB")


def format_bytes(count: float) -> str:
    """A size in decimal units: 999 B, 1.2 MB, 3.4 GB."""
    size, unit = float(count), 0
    while size >= 999.5 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {UNITS[unit]}" if unit == 0 or size >= 99.5 else f"{size:.1f} {UNITS[unit]}"


def format_count(count: float) -> str:
    """A number of things: 1,234; of few in a second one digit more: 1.2."""
    return f"{count:,.0f}" if count >= 10 or count == int(count) else f"{count:.1f}"


def format_time(seconds: float) -> str:
    """A duration in words: "48 s", "12 min", "3 h 20 min"."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 6000:
        return f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_clock(seconds: float) -> str:
    """A duration as a clock shows it: "0:48", "3:20:05"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Bar:
    """A line about work that takes long, while it takes: a context manager.

    what: the work in a word or two. total: how much there is, if that is known. done: how much of
    it was done before. format: of counts; `format_bytes` for bytes. console: where it is shown, by
    default standard error. plain: print a line every ten seconds where that is not a terminal.
    late: the same, but nothing in the first ten seconds, so that a short command says nothing.
    keep: the last state stays on the terminal. shown: False for no bar at all.
    """

    def __init__(
        self,
        what: str,
        total: int | None = None,
        *,
        done: int = 0,
        format: Callable[[float], str] = format_count,
        console: Console | None = None,
        plain: bool = False,
        late: bool = False,
        keep: bool = False,
        shown: bool = True,
    ) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._plain: _PlainLines | None = None
        self._lines: _Lines | None = None
        self._reported = 0.0
        if shown and not self.console.is_terminal and (plain or late):
            self._plain = _PlainLines(self, what, total, done, late=late)
        if shown and self.console.is_terminal:
            self._lines = _Lines(
                console=self.console,
                transient=not keep,
                # What is printed meanwhile appears above the line, unless it goes elsewhere.
                redirect_stdout=Console().is_terminal,
                redirect_stderr=Console(stderr=True).is_terminal,
            )
            self._task = self._lines.add_task(
                what, total=total, completed=done, format=format, facts=(), columns=_LONGEST
            )

    @property
    def is_shown(self) -> bool:
        """Whether anything can be seen, so that it is worth finding out how much there is to do."""
        return self.moves or self._plain is not None

    @property
    def moves(self) -> bool:
        """Whether it is a line that moves, so that work is worth cutting into parts for it."""
        return self._lines is not None

    def __enter__(self) -> Self:
        if self._lines is not None:
            self._lines.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lines is not None:
            self._lines.stop()

    def update(self, done: int, facts: Sequence[str] = (), total: int | None = None) -> None:
        """Show how much is done. facts: what else is worth knowing, most important first.

        Facts stand in the place of the speed. total: if it was not known before.
        """
        if self._lines is not None:
            self._lines.update(self._task, completed=done, total=total, facts=tuple(facts))
        elif self._plain is not None:
            self._plain.update(done, facts, total)

    def move(self, done: int) -> None:
        """Show how much is done, with the facts of the last update."""
        if self._lines is not None:
            self._lines.update(self._task, completed=done)

    def report(self, what: str, done: int, total: int | None) -> None:
        """Show how much of some work is done, as a `Progress`; other work begins a new line."""
        if self._plain is not None:
            self._plain.update(done, (), total, what)
        if self._lines is None:
            return
        task, now = self._lines.tasks[self._task], time.monotonic()
        same = task.description == what
        if same and done != total and now - self._reported < _REPORT_SECONDS:
            return
        self._reported = now
        if not same:
            fields = {**task.fields, "facts": (), "columns": _LONGEST}
            task.total = None
            self._lines.reset(self._task, description=what, **fields)
        self._lines.update(self._task, completed=done, total=total)

    def log(self, text: str) -> None:
        """Print a line that stays; a terminal gets it broken between words."""
        say(self.console, text)


def say(console: Console, text: str) -> None:
    """Print a line; a terminal gets it broken between words."""
    console.print(Text(text), soft_wrap=not console.is_terminal)


class _PlainLines:
    """Lines about a bar's work for a console that is not a terminal, such as the log of a job."""

    def __init__(
        self, bar: Bar, what: str, total: int | None, done: int, *, late: bool = False
    ) -> None:
        self._bar, self._what, self._total = bar, what, total
        self._began = time.monotonic()
        # What was done before this run is known from the first thing that is said to be done.
        self._first = None if late else done
        # The first line comes soon, or late; then the last one comes only if there were others.
        self._logged = self._began if late else self._began - _PLAIN_SECONDS + 1
        self._ends = not late

    def update(
        self, done: int, facts: Sequence[str], total: int | None = None, what: str = ""
    ) -> None:
        """Print a line if the last one is long ago, or this is the last one; see `Bar.update`."""
        now, self._total = time.monotonic(), total or self._total
        if self._first is None and done:
            self._first, self._began = done, now
        if now - self._logged < _PLAIN_SECONDS and not (self._ends and done == self._total):
            return
        self._logged, self._ends = now, True
        place = f"{what or self._what} {done:,}" + (f"/{self._total:,}" if self._total else "")
        seconds, count = now - self._began, done - (self._first or 0)
        if self._total:
            left = seconds / max(1, count) * (self._total - done)
            facts = [*facts, f"{format_time(left)} left"]
        elif count:
            facts = [*facts, f"{format_count(count / seconds)}/s"]
        self._bar.log(_GAP.join([place, *facts]))


class _Lines(rich.progress.Progress):
    """The library's display of tasks, each as a `_Line`."""

    def get_renderables(self) -> list[RenderableType]:
        """What is drawn."""
        return [_Line(task) for task in self.tasks]


class _Line:
    """One task in one line: what, bar, count, facts or speed, time. No word of it is ever cut."""

    def __init__(self, task: rich.progress.Task) -> None:
        self._task = task

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        task, width = self._task, options.max_width - 1  # a full line would wrap on some terminals
        known = bool(task.total)
        what, facts, bar = fit(task.description, self._facts(), width, bar=known)
        yield Text(what + _GAP * bool(bar), end="")
        if bar:  # it only becomes shorter: no jumping back and forth
            bar = task.fields["columns"] = min(bar, task.fields["columns"])
            yield ProgressBar(total=task.total, completed=task.completed, width=bar)
        yield Text("".join(_GAP + fact for fact in facts))

    def _facts(self) -> list[str]:
        """Count and time, then what is given up first where the line is short."""
        task = self._task
        format: Callable[[float], str] = task.fields["format"]
        count = format(task.completed) if task.completed or task.total else ""
        if task.total:
            count += f"/{format(task.total)}"
        facts = list(task.fields["facts"])
        if not facts and task.speed:
            facts = [f"{format(task.speed)}/s"]
        left = task.time_remaining if task.total and not task.finished else None
        clock = format_clock(task.elapsed or 0) if left is None else f"{format_clock(left)} left"
        return [x for x in (count, *facts, clock) if x]


def fit(
    what: str, facts: Sequence[str], width: int, *, bar: bool = True
) -> tuple[str, list[str], int]:
    """What fits into a line of so many columns: what, facts, and the columns for the bar.

    The last fact is the time and the first the count; between them the last is given up first. A
    bar becomes shorter before that. Last of all `what` itself is shortened, between its words.
    """
    facts = list(facts)

    def room() -> int:
        return width - cell_len(what) - sum(len(_GAP) + cell_len(fact) for fact in facts)

    needed = len(_GAP) + _SHORTEST if bar else 0
    while room() < needed and len(facts) > 2:
        del facts[-2]
    while room() < 0 and facts:
        del facts[-1]
    words = what.split()
    while room() < 0 and len(words) > 1:
        words.pop()
        what = " ".join([*words, "..."])
    columns = min(_LONGEST, room() - len(_GAP))
    return what, facts, columns if bar and columns >= _SHORTEST else 0


@contextmanager
def reporting(progress: Progress | bool | None, what: str, total: int) -> Iterator[Progress | None]:
    """What to call about `total` things: the given function, that of a bar for True, or nothing."""
    if progress is True:
        with Bar(what, total) as bar:
            yield bar.report
    else:
        yield progress or None


@contextmanager
def growth_of(folder: Path, total: int, progress: Progress | None) -> Iterator[None]:
    """Report how many bytes a folder has, of so many, while something writes into it."""
    if progress is None:
        yield
        return
    written = Event()

    def watch() -> None:
        while not written.wait(_LOOK_SECONDS):
            with suppress(OSError):  # a file that has just got another name
                progress("writing", min(size_of(folder), total), total)

    with ThreadPoolExecutor(1) as watcher:
        watched = watcher.submit(watch)
        try:
            yield
        finally:
            written.set()
            watched.result()


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(
        os.path.getsize(os.path.join(place, name))
        for place, _, names in os.walk(folder)
        for name in names
    )
