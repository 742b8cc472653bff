"""Fine-tuning: `finetune("classify", train="reviews.csv", out="run")` fills a run folder.

RUN/
  recipe.toml      the full recipe, defaults included
  start.json       the model that the run began with
  split.json       which lines are held out, if that was left to the program
  metrics.jsonl    losses and validations
  tensorboard/     the same for TensorBoard, by option (tensorboard.py)
  checkpoints/     training states, the newest few (resume.py)
  model/           the best model so far: a checkpoint folder for use anywhere
  report.html      figures, curves, classes and errors, needs no network
  .lock            held while a process trains (lock.py)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from albertkit import settings as recipes
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import RecipeError
from albertkit.files import translate_os_errors
from albertkit.model.loading import tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.progress import Bar, say
from albertkit.tasks.codecs import CODECS
from albertkit.tasks.early_exit import CONFIDENCE, TOLERANCE
from albertkit.train.finetune_card import task_card
from albertkit.train.finetune_health import Baseline
from albertkit.train.finetune_prepare import MAY_CHANGE, PreparedTask
from albertkit.train.finetune_recipe import FinetuneRecipe
from albertkit.train.finetune_report import write_task_report
from albertkit.train.finetune_task import FinetuneTask
from albertkit.train.health import DOES_NOT_LEARN, Verdict
from albertkit.train.lock import lock_run
from albertkit.train.loop import Trainer
from albertkit.train.metrics import open_metrics
from albertkit.train.resume import (
    RECIPE,
    require_new,
    require_run,
    resumable,
    resume_run,
    start_run,
    stopped,
)
from albertkit.train.run import Run
from albertkit.train.start import write_start
from albertkit.train.tensorboard import need_tensorboard

TASKS = tuple(CODECS)
TOLERANCE_SHARE = 0.1  # of the labels' deviation: numbers this near are the same, for early exit


@dataclass(frozen=True)
class FinetuneResult:
    """How a run ended. exit_code: 0 well, 3 it does not learn, 128 + signal when stopped by one."""

    task: str
    folder: Path
    model: Path
    steps: int
    finished: bool
    figures: dict[str, Any]  # of the model, on the held-out examples; empty before the first
    baseline: Baseline
    verdict: Verdict | None
    exit_code: int

    def to_json(self) -> dict[str, Any]:
        """What the command line prints for programs."""
        return {
            "task": self.task,
            "folder": str(self.folder),
            "model": str(self.model),
            "steps": self.steps,
            "finished": self.finished,
            "figures": self.figures,
            "baseline": asdict(self.baseline),
            "learns": None if self.verdict is None else self.verdict.learns,
            "verdict": None if self.verdict is None else self.verdict.kind,
            "cause": None if self.verdict is None else self.verdict.cause or None,
        }


def finetune(
    task: str,
    *,
    train: str | Path | None = None,
    dev: str | Path | None = None,
    model: str | Path | None = None,
    out: str | Path | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
    restarts: int = 0,
    resume: bool = False,
    console: Console | None = None,
    **options: Any,
) -> FinetuneResult:
    """Fine-tune a model for a task on examples, or go on from the newest state of a run.

    Args:
        task: "classify", "tag", "choose" or "span"; or the recipe.toml of a run.
        train: CSV, TSV, JSON lines or Parquet with a row for each example; or a folder with a
            folder of texts for each label, or with a data set as `datasets` saves it. For tag a
            word and its tag on each line, or JSON lines with words and tags. For choose a table
            with a question, its options and the right one in each row, or files of RACE, DREAM, C3.
            For span SQuAD's JSON, or rows with question, context and answer.
        dev: the same for measuring; if left out, a folder's own validation part, or a tenth of the
            training file, is held out.
        model: path or name of any model; if left out, one of this package for the script of the
            texts.
        out: folder of the run.
        set: settings by their dotted names, {"schedule.epochs": 2} or ["schedule.epochs=2"].
        restarts: when the run does not learn, begin again with the next seed, so often at most;
            the folder of a run that failed is kept as OUT.failed-1 and so on.
        resume: go on from the newest state of the run folder.
        options: settings by their short names, see OPTIONS: text_column, epochs, seed and so on.

    Raises CorpusError, RecipeError, TrainingError, OutputError, and what `Checkpoint.load` raises,
    for what can be seen before the first step; TrainingError for a loss that is not finite, a state
    that is damaged, or a folder in which another process trains.
    """
    given = {
        "data.train": train,
        "data.dev": dev,
        "model.checkpoint": model,
        "run.output": out,
        **_by_short_names(options),
    }
    recipe = open_recipe(task, given, set, resume=resume)
    folder = recipe.run.output
    _check_surroundings(recipe, resume)
    console = console or Console()
    with Bar("opening model and examples", console=console):
        prepared = PreparedTask.resolve(recipe, folder if resume else None)
    result = _run(prepared, resume, console)
    for _ in range(restarts):
        if result.exit_code != DOES_NOT_LEARN:
            break
        prepared = _another_seed(prepared, console)
        result = _run(prepared, False, console)
    return result


def _check_surroundings(recipe: FinetuneRecipe, resume: bool) -> None:
    """Refuse what can be seen before anything is read: the package of an option, the folder."""
    if recipe.run.tensorboard:
        need_tensorboard()
    if resume:
        require_run(recipe.run.output)
    else:
        require_new(recipe.run.output, "finetune")


# Short names of settings, as the command line and `finetune` take them.
OPTIONS = {
    "text_column": "data.text_column",
    "pair_column": "data.pair_column",
    "label_column": "data.label_column",
    "context_column": "data.context_column",
    "question_column": "data.question_column",
    "option_columns": "data.option_columns",
    "on_bad_row": "data.on_bad_row",
    "kind": "objective.kind",
    "max_tokens": "objective.max_tokens",
    "doc_stride": "objective.doc_stride",
    "label_smoothing": "objective.label_smoothing",
    "class_weights": "objective.class_weights",
    "epochs": "schedule.epochs",
    "batch_size": "schedule.batch_size",
    "learning_rate": "schedule.learning_rate",
    "seed": "run.seed",
    "device": "run.device",
    "patience": "run.patience",
    "metric": "run.metric",
    "tensorboard": "run.tensorboard",
}


def _by_short_names(options: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(options.keys() - OPTIONS.keys())
    if unknown:
        raise RecipeError(
            f"finetune has no option {unknown[0]!r}.",
            expected=f"one of {', '.join(OPTIONS)}",
            found=", ".join(unknown),
            fix="correct the name; other settings go into set={'section.key': value}",
            command_fix="see albertkit finetune --help for the names of options",
        )
    listed = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
    return {OPTIONS[name]: value for name, value in listed.items()}


def open_recipe(
    task: str,
    given: Mapping[str, Any],
    set: Mapping[str, Any] | Sequence[str],
    *,
    resume: bool,
) -> FinetuneRecipe:
    """The recipe of a new run for a task, or that of a run to resume, with settings changed.

    task: one of TASKS, or the path of a recipe. given: settings by their dotted names; None leaves
    the recipe's. They win over `set`.

    Raises:
        RecipeError: an unknown task or setting, or one that is missing.
    """
    stated = {key: value for key, value in given.items() if value is not None}
    if Path(task).suffix == ".toml":
        return recipes.load(task, FinetuneRecipe, set, stated)
    if task not in TASKS:
        raise RecipeError(
            "Unknown task.",
            expected=f"{', '.join(TASKS)}, or the {RECIPE} of a run",
            found=task,
            fix=f"finetune({TASKS[0]!r}, train='examples.csv', out='run')",
            command_fix=f"albertkit finetune {TASKS[0]} --train examples.csv --out run",
        )
    if "run.output" not in stated:
        raise RecipeError(
            "No folder for the run was named.",
            expected="a folder that is free",
            fix="pass out='run'",
            command_fix="add --out run",
        )
    begun = Path(stated["run.output"]) / RECIPE
    if resume and begun.is_file():
        return recipes.load(begun, FinetuneRecipe, set, stated)
    if "data.train" not in stated and not resume:
        raise RecipeError(
            "No training file was named.",
            expected="a file with a row for each example",
            fix="pass train='examples.csv'",
            command_fix="add --train examples.csv",
        )
    table: dict[str, Any] = {"task": task, "data": {"train": ""}}
    recipes.apply_overrides(table, set, stated)
    return recipes.from_table(table, FinetuneRecipe)


def _run(prepared: PreparedTask, resume: bool, console: Console) -> FinetuneResult:
    """Begin a run, or go on, and train to the end."""
    recipe, folder = prepared.recipe, prepared.recipe.run.output
    torch.set_num_threads(recipe.run.threads)
    with Bar("preparing model and examples", console=console) as bar:
        model, optimizer = prepared.build()
        task = FinetuneTask.of(prepared, model)
        for name, fact in prepared.describe():
            bar.log(f"{name}: {fact}")
    if not resume:
        start_run(folder, recipe, lambda made: _fill(prepared, made))
    with resumable("finetune", folder), lock_run(folder):
        saved: dict[str, Any] = {}
        if resume:
            saved = resume_run(
                folder,
                prepared.identity,
                model,
                optimizer,
                may_change=MAY_CHANGE,
                kept=task.kept,
            )
        step = saved.get("step", 0)
        run_settings = recipe.run
        with (
            closing(open_metrics(folder, saved, tensorboard=run_settings.tensorboard)) as metrics,
            Bar("step", task.steps, done=step, console=console, plain=True, keep=True) as progress,
        ):
            run = Run(
                trainer=Trainer(
                    model,
                    optimizer,
                    recipe.optim.max_gradient_norm,
                    run_settings.precision,
                    run_settings.seed,
                    recipe.objective.fgm_epsilon,
                ),
                task=task,
                cadence=run_settings,
                folder=folder,
                identity=prepared.identity,
                metrics=metrics,
                progress=progress,
                export=lambda: export(model, task, folder),
            )
            if saved:
                task.load_state(saved)
                run.load_state(saved)
                progress.log(f"resumed at step {step:,} of {task.steps:,}")
            if not run.metrics.size:
                run.metrics.write("baselines", asdict(task.baseline))
            step = run.train(step)
            result = _result(run, task, step)
        if run.validated:
            outputs = task.outputs_of_kept(model)
            write_task_report(folder, task, outputs, run.verdict, run.elapsed)
        return result


def _another_seed(prepared: PreparedTask, console: Console) -> PreparedTask:
    """The same run with the next seed; the folder of the one that failed gets another name."""
    recipe, folder = prepared.recipe, prepared.recipe.run.output
    number = 1
    while (failed := folder.with_name(f"{folder.name}.failed-{number}")).exists():
        number += 1
    with translate_os_errors(failed):
        folder.rename(failed)
    seed = recipe.run.seed + 1
    say(console, f"it begins again with seed {seed}; the run that failed is kept in {failed}")
    return replace(prepared, recipe=replace(recipe, run=replace(recipe.run, seed=seed)))


def _fill(prepared: PreparedTask, folder: Path) -> None:
    """What a run folder has before its first state."""
    write_start(folder, prepared.origin)
    prepared.examples.write_split(folder)


def export(model: AlbertForTask, task: FinetuneTask, folder: Path) -> None:
    """Write RUN/model: the best model so far, or the last, as a checkpoint folder."""
    prepared = task.prepared
    tensors = tensors_of(model)
    if task.best:
        tensors |= {name: kept.cpu().float().numpy() for name, kept in task.kept.items()}
    exits = {name: tensors.pop(name) for name in list(tensors) if name.startswith("exits.")}
    if exits and prepared.head.kind == "regression":
        exits[TOLERANCE] = TOLERANCE_SHARE * np.std(task.train.targets, keepdims=True)
    elif exits and task.exit_confidence is not None:
        exits[CONFIDENCE] = np.array([task.exit_confidence], dtype=np.float32)
    head = replace(prepared.head, no_answer_threshold=task.threshold)
    Checkpoint(prepared.config, tensors, prepared.tokenizer, head=head, exits=exits).save(
        folder / "model", task_card(prepared, task.best, task.baseline), replace=True
    )


def _result(run: Run, task: FinetuneTask, step: int) -> FinetuneResult:
    """Sum up a run, and say how it ended and what to do next."""
    finished = step == task.steps or run.reached_goal(step)
    figures = task.best if task.kept else run.validated
    model, exit_code = run.folder / "model", 0
    if not finished:
        exit_code = 128 + run.trainer.stopped_by
        run.progress.log(stopped("finetune", run.folder, step))
    elif run.verdict is not None:
        if step < task.steps:
            run.progress.log(f"no better for {task.waited} validations: the run ends early")
        run.progress.log(str(run.verdict))
        run.progress.log(f"model: {model}, as of step {figures['step']:,}")
        exit_code = 0 if run.verdict.learns else DOES_NOT_LEARN
    return FinetuneResult(
        task=task.prepared.recipe.task,
        folder=run.folder,
        model=model,
        steps=step,
        finished=finished,
        figures=figures,
        baseline=task.baseline,
        verdict=run.verdict,
        exit_code=exit_code,
    )
