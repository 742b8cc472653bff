"""One fine-tuning run for each of several seeds: the median and how far seeds are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from albertkit.errors import RecipeError
from albertkit.progress import say
from albertkit.settings import apply_overrides
from albertkit.train.finetune import FinetuneResult, finetune
from albertkit.train.health import DOES_NOT_LEARN
from albertkit.train.resume import RECIPE


@dataclass(frozen=True)
class SeedsResult:
    """The runs of all seeds, in their order; exit_code: 0 if most of them learn, else 3.

    A run that was stopped by a signal ends the others, with its exit code.
    """

    runs: tuple[FinetuneResult, ...]
    seeds: tuple[int, ...]

    @property
    def metric(self) -> str:
        """Name of the figure that decides."""
        return str(self.runs[0].figures["metric"])

    @property
    def values(self) -> list[float]:
        """That figure of each run."""
        return [float(run.figures[self.metric]) for run in self.runs if run.figures]

    @property
    def median(self) -> float:
        """Median of the values."""
        return float(median(self.values))

    @property
    def best(self) -> FinetuneResult:
        """The run of the best value; of the smallest where the loss decides."""
        sign = -1 if self.metric == "loss" else 1
        return max(self.runs, key=lambda run: sign * run.figures[self.metric])

    @property
    def exit_code(self) -> int:
        """0 well, 3 most runs do not learn, 128 + signal when stopped by one."""
        if not self.runs[-1].finished:
            return self.runs[-1].exit_code
        failed = sum(run.exit_code == DOES_NOT_LEARN for run in self.runs)
        return DOES_NOT_LEARN if 2 * failed > len(self.runs) else 0

    def to_json(self) -> dict[str, Any]:
        """What the command line prints for programs."""
        return {
            "metric": self.metric,
            "values": self.values,
            "median": self.median,
            "lowest": min(self.values),
            "highest": max(self.values),
            "best": str(self.best.model),
            "runs": [run.to_json() for run in self.runs],
        }


def finetune_seeds(
    task: str,
    *,
    seeds: int,
    out: str | Path | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
    seed: int | None = None,
    resume: bool = False,
    console: Console | None = None,
    **options: Any,
) -> SeedsResult:
    """`finetune` with `seeds` seeds from `seed` on, each in a folder of `out`; one split for all.

    resume: runs that are complete are left as they are, one that was stopped goes on, the others
    begin. Other arguments and what is raised: see `finetune`.
    """
    if out is None:
        raise RecipeError(
            "No folder for the runs was named.",
            expected="a folder",
            fix="pass out='runs'",
            command_fix="add --out runs",
        )
    console = console or Console()
    first = _first_seed(set) if seed is None else seed
    runs: list[FinetuneResult] = []
    for number in range(first, first + seeds):
        folder = Path(out) / f"seed-{number}"
        say(console, f"seed {number}: {folder}")
        going_on = resume and (folder / RECIPE).is_file()
        runs.append(
            finetune(
                task, out=folder, set=set, seed=number, resume=going_on, console=console, **options
            )
        )
        if not runs[-1].finished:
            break
    found = SeedsResult(tuple(runs), tuple(range(first, first + len(runs))))
    if found.values:
        values = ", ".join(f"{value:.4f}" for value in found.values)
        say(
            console,
            f"{found.metric} of {len(runs)} seeds: {values}; median {found.median:.4f}, from "
            f"{min(found.values):.4f} to {max(found.values):.4f}; best: {found.best.model}",
        )
    return found


def _first_seed(changes: Mapping[str, Any] | Sequence[str]) -> int:
    """run.seed among changes of a recipe, 0 if it is not there."""
    table: dict[str, Any] = {}
    apply_overrides(table, changes)
    return int(table.get("run", {}).get("seed", 0))
