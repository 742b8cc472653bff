"""The command benchmark: data sets by name, scores of a model beside those that were published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albertkit.cli.finetune import NO_SCHEDULE, ScheduleOptions
from albertkit.cli.options import Flag, Json, Settings
from albertkit.cli.output import print_json
from albertkit.errors import AlbertkitError

if TYPE_CHECKING:
    from albertkit.benchmarks._protocol import DataSet
    from albertkit.benchmarks._run import Outcome

PLAN = ("model", "split", "published", "server_files", "set")


def benchmark(
    name: str,
    /,
    *,
    data: Path | None = None,
    out: Path | None = None,
    model: str | None = None,
    split: str = "dev",
    published_settings: Flag = False,
    server_files: Flag = False,
    schedule: ScheduleOptions = NO_SCHEDULE,
    set: Settings = (),
    json: Json = False,
) -> int:
    """Fine-tune a model on known data sets, and print its scores beside the published ones.

    Parameters
    ----------
    name
        A suite (glue, clue, reading, tagging, chineseglue, fewclue, similarity) or one data set,
        such as sst-2.
    data
        Folder with the official files, or a folder of them for each set; without it nothing is run.
    out
        Folder of the runs. What is there already is not run again; what was stopped goes on.
    model
        Path or name of any model; if left out, albertkit/tiny-en or albertkit/tiny-zh.
    split
        Which part is scored; of a data set without such a part its test set.
    published_settings
        Train with the hyper-parameters of the paper, which are those of large models.
    server_files
        Also write the files that the GLUE server takes, where the test sets are in the folder.
    set
        Change any setting of the recipe, as in optim.layer_decay=0.8; may be given several times.
    json
        One JSON object: the rows of the table, the scores (medians of several seeds, which stand
        in seeds), and why data sets have no scores.
    """
    from albertkit.benchmarks import find_sets

    sets, code = find_sets(name), 0
    runs: dict[str, dict[str, dict[str, float]]] = {}
    seeds: dict[str, dict[str, list[dict[str, float]]]] = {}
    notes: dict[str, str] = {}
    if data is not None:
        options = dict(
            zip(PLAN, (model, split, published_settings, server_files, set), strict=True)
        )
        for outcome in _run(sets, data, out, options, schedule):
            if outcome.scores:
                runs.setdefault(outcome.model, {})[outcome.data_set.name] = outcome.scores
                if len(outcome.runs) > 1:
                    of_model = seeds.setdefault(outcome.model, {})
                    of_model[outcome.data_set.name] = [dict(run) for run in outcome.runs]
            else:
                notes[outcome.data_set.title] = outcome.note
            code = outcome.exit_code if outcome.exit_code > 128 else code
    _show(sets, runs, seeds, notes, json)
    return code


def _show(
    sets: Sequence[DataSet],
    runs: dict[str, Any],
    seeds: dict[str, Any],
    notes: dict[str, str],
    json: bool,
) -> None:
    """Print the table, and why data sets have no scores."""
    from albertkit.benchmarks._table import markdown, table

    rows = table(sets, runs, seeds)
    if json:
        several = {"seeds": seeds} if seeds else {}
        cells = [asdict(row) for row in rows]
        print_json({"rows": cells, "scores": runs, **several, "not_run": notes})
        return
    print(markdown(sets, rows), end="")
    for title, note in notes.items():
        print(f"{title} was not run: {note}")


def _run(
    sets: Sequence[DataSet],
    data: Path,
    out: Path | None,
    options: dict[str, Any],
    schedule: ScheduleOptions,
) -> Iterator[Outcome]:
    """Run every data set; options: fields of `Plan`."""
    from rich.console import Console

    from albertkit.benchmarks._run import Plan, run_sets

    if out is None:
        raise AlbertkitError(
            "No folder for the runs was named.",
            expected="a folder for the runs and their scores",
            fix="pass out='runs'",
            command_fix="add --out runs",
        )
    given = asdict(schedule)
    plan = Plan(data, out, seeds=given.pop("seeds"), options=given, **options)
    return run_sets(sets, plan, Console(stderr=True, highlight=False))
