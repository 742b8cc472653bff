"""What a training run says while it works: a moving bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_PLAIN_SECONDS = 10.0  # at most one plain line in this time, or a log would be mostly progress


class RunProgress:
    """Shows steps done, losses, speed and time left."""

    def __init__(self, console: Console, steps: int, done: int) -> None:
        self.console = console
        self._steps = steps
        self._first = done
        self._began = time.monotonic()
        self._logged = self._began - _PLAIN_SECONDS + 1  # the first line comes soon
        self._progress: Progress | None = None
        if console.is_terminal:
            self._progress = Progress(
                TextColumn("step {task.completed:,.0f}/{task.total:,.0f}"),
                BarColumn(bar_width=10),
                TextColumn("{task.description}"),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=console,
            )
            self._task = self._progress.add_task("", total=steps, completed=done)

    def __enter__(self) -> RunProgress:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress:
            self._progress.stop()

    def update(self, step: int, facts: str) -> None:
        """Show the state after a step; `facts` such as "loss 3.21, 12,300 tokens/s"."""
        if self._progress:
            self._progress.update(self._task, completed=step, description=facts)
            return
        now = time.monotonic()
        if now - self._logged >= _PLAIN_SECONDS or step == self._steps:
            self._logged = now
            left = (now - self._began) / max(1, step - self._first) * (self._steps - step)
            self.log(f"step {step:,}/{self._steps:,}  {facts}  {format_time(left)} left")

    def log(self, text: str) -> None:
        """Print a line that stays."""
        say(self.console, text)


def say(console: Console, text: str) -> None:
    """Print a line; a terminal gets it broken between words."""
    console.print(text, highlight=False, markup=False, soft_wrap=not console.is_terminal)


def format_time(seconds: float) -> str:
    """A duration in words: "48 s", "12 min", "3 h 20 min"."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 6000:
        return f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
