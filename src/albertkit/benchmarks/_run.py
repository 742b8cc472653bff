"""Fine-tune a model on data sets and score it; what is done is kept, and not done again.

OUT/
  examples/NAME/   the examples as JSON lines
  NAME/            the run of a data set: `finetune` has its layout
  NAME.json        its scores
  NAME/seed-0/, NAME/seed-0.json, ...   the same for each of several seeds
  server/          files for the GLUE server
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from albertkit.benchmarks import find_sets, glue
from albertkit.benchmarks._protocol import DataSet, Example, FilesMissing
from albertkit.benchmarks._scores import is_known, scores
from albertkit.benchmarks._tasks import predict, trained
from albertkit.errors import OutputError
from albertkit.files import atomic_file, glimpse_json, write_atomic
from albertkit.tasks.kinds import KINDS
from albertkit.train.finetune import finetune
from albertkit.train.resume import RECIPE

DEFAULT_MODELS = {"en": "albertkit/tiny-en", "zh": "albertkit/tiny-zh"}


@dataclass(frozen=True)
class Outcome:
    """What became of a data set: the scores of each seed, or a note that says why it has none.

    runs: scores from -1 or 0 to 1. exit_code: of the run, 0 if it was not stopped and learned.
    """

    data_set: DataSet
    model: str
    runs: tuple[Mapping[str, float], ...] = ()
    note: str = ""
    exit_code: int = 0

    @property
    def scores(self) -> dict[str, float]:
        """The median of each score; none without a run."""
        names = self.runs[0] if self.runs else ()
        return {name: float(median(run[name] for run in self.runs)) for name in names}


@dataclass(frozen=True)
class Plan:
    """How data sets are run: data and out are folders; the rest is as in `finetune`.

    model: None takes the one of this package for the language. split: which is scored; of a data
    set that has no such split its test set. published: with the first published hyper-parameters
    of a data set instead of our defaults. server_files: also write what the GLUE server takes, by
    the model of the first seed. seeds: so many runs of each data set, from the seed of options on.
    """

    data: Path
    out: Path
    model: str | None = None
    split: str = "dev"
    published: bool = False
    server_files: bool = False
    set: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 1

    @property
    def first_seed(self) -> int:
        """The seed of the first run."""
        return self.options.get("seed") or 0

    def model_for(self, data_set: DataSet) -> str:
        """The model that is fine-tuned for a data set."""
        return self.model or DEFAULT_MODELS[data_set.language]

    def run_of(self, data_set: DataSet, seed: int) -> Path:
        """The run folder of a data set; its scores stand beside it."""
        folder = self.out / data_set.name
        return folder if self.seeds == 1 else folder / f"seed-{seed}"

    def scored_split(self, data_set: DataSet) -> str:
        """The split of a data set that is scored."""
        without = self.split == "dev" and "dev" not in data_set.splits
        return "test" if without else self.split


def run_sets(sets: Sequence[DataSet], plan: Plan, console: Console) -> Iterator[Outcome]:
    """Every data set in turn; ends after one that a signal stopped.

    Raises what `finetune` raises; CorpusError for files that are not of their format; OutputError
    for scores of another model or split in the folder.
    """
    for data_set in sets:
        outcome = _run(data_set, plan, console)
        yield outcome
        if outcome.exit_code > 128:  # 128 + signal
            return


def _run(data_set: DataSet, plan: Plan, console: Console) -> Outcome:
    """One data set, with each seed."""
    model, runs, code = plan.model_for(data_set), list[Mapping[str, float]](), 0
    for seed in range(plan.first_seed, plan.first_seed + plan.seeds):
        kept = _kept(data_set, plan, seed)
        if kept is not None:
            runs.append(kept)
            continue
        outcome = _once(data_set, plan, seed, console)
        if not outcome.runs:
            return outcome
        runs += outcome.runs
        code = max(code, outcome.exit_code)
    return Outcome(data_set, model, tuple(runs), exit_code=code)


def _kept(data_set: DataSet, plan: Plan, seed: int) -> dict[str, float] | None:
    """The scores of a run that is done."""
    kept = _scores_of(plan.run_of(data_set, seed))
    if not kept.is_file():
        return None
    read = glimpse_json(kept)
    found = read if isinstance(read, dict) and isinstance(read.get("scores"), dict) else {}
    model, split = plan.model_for(data_set), plan.scored_split(data_set)
    if (found.get("model"), found.get("split")) != (model, split):
        raise OutputError(
            "The folder has the scores of another run.",
            expected=f"none, or those of {model} on {split}",
            found=f"those of {found.get('model')} on {found.get('split')}"
            if found
            else "a file that cannot be read",
            where=kept,
            fix="pass another folder as out",
            command_fix="give another folder: --out NEW",
        )
    return dict(found["scores"])


def _scores_of(run: Path) -> Path:
    return run.with_name(run.name + ".json")


def _once(data_set: DataSet, plan: Plan, seed: int, console: Console) -> Outcome:
    """One run of a data set, or of the one whose model answers it; and its scores."""
    model, split = plan.model_for(data_set), plan.scored_split(data_set)
    learned = find_sets(data_set.model_of)[0] if data_set.model_of else data_set
    try:
        learned.files(plan.data, "train")
        examples = list(data_set.examples(plan.data, split))
    except FilesMissing as error:
        return Outcome(data_set, model, note=error.what)
    if not any(map(is_known, examples)):
        return Outcome(data_set, model, note=f"the answers of its {split} set are not public")
    run, code = plan.run_of(learned, seed), 0
    if not (_scores_of(run).is_file() and (run / "model").is_dir()):
        seeds = f", seed {seed}" if plan.seeds > 1 else ""
        console.print(f"{learned.title}{seeds}:", markup=False)
        result = finetune(
            KINDS[learned.kind].task,
            model=model,
            out=run,
            resume=(run / RECIPE).is_file(),
            console=console,
            **_inputs(learned, plan, seed),
        )
        code = result.exit_code
        if not result.finished:
            return Outcome(data_set, model, note="stopped", exit_code=code)
    made = _scored(data_set, plan, run / "model", examples, split)
    kept = _scores_of(plan.run_of(data_set, seed))
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(
        kept, json.dumps({"model": model, "split": split, "scores": made}, indent=1) + "\n"
    )
    if plan.server_files and seed == plan.first_seed:
        _write_server_files(data_set, plan, run / "model")
    return Outcome(data_set, model, (made,), exit_code=code)


def _scored(
    data_set: DataSet, plan: Plan, model: Path, examples: Sequence[Example], split: str
) -> dict[str, float]:
    """The scores of a split, and of the one that goes with it, where it is there."""
    made = scores(data_set, examples, predict(model, examples))
    other = data_set.beside.get(split)
    if other is not None and _has_files(data_set, plan.data, other):
        more = list(data_set.examples(plan.data, other))
        if any(map(is_known, more)):
            name = other.removeprefix(f"{split}_")
            found = scores(data_set, more, predict(model, more))
            made |= {f"{score}_{name}": value for score, value in found.items()}
    return made


def _has_files(data_set: DataSet, data: Path, split: str) -> bool:
    try:
        data_set.files(data, split)
    except FilesMissing:
        return False
    return True


def _inputs(data_set: DataSet, plan: Plan, seed: int) -> dict[str, Any]:
    """Arguments of `finetune`: files of examples, written now, and settings.

    Without a dev split a part of the training set is held out: the best validation is not to be
    chosen by what is scored.
    """
    how, folder = trained(data_set), plan.out / "examples" / data_set.name
    files: dict[str, Path] = {}
    pairs = False
    for split in ("train", *(["dev"] if "dev" in data_set.splits else [])):
        files[split] = folder / f"{split}.jsonl"
        rows = [how.row(x) for x in data_set.examples(plan.data, split) if is_known(x)]
        pairs = pairs or any("pair" in row for row in rows)
        _write(files[split], rows)
    settings: dict[str, Any] = {}
    if plan.published and data_set.settings:
        settings = data_set.settings[0].recipe()
    given = [f"{key}={value!r}" for key, value in settings.items()]
    return {
        **files,
        "kind": data_set.kind,
        "set": [*given, *plan.set],
        **{key: value for key, value in how.options.items() if key != "pair_column" or pairs},
        **{key: value for key, value in plan.options.items() if value is not None},
        "seed": seed,
    }


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Examples as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        for row in rows:
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


def _write_server_files(data_set: DataSet, plan: Plan, model: Path) -> None:
    """Files of the test sets that are there; the model of MNLI answers the diagnostics too."""
    sets = [data_set, *(x for x in glue.SETS if x.name == "ax" and data_set.name == "mnli")]
    for one in sets:
        for split in ("test", "test_mismatched"):
            if split not in one.splits or not _has_files(one, plan.data, split):
                continue
            examples = list(one.examples(plan.data, split))
            name, text = glue.server_file(one, examples, predict(model, examples), split)
            folder = plan.out / "server"
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(folder / name, text)
