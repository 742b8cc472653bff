"""Pretraining: `pretrain("tiny-en", data=..., out=...)` fills a run folder, `resume=True` goes on.

RUN/
  recipe.toml      the full recipe, defaults included
  start.json       what a run that goes on from a model began with (start.py)
  metrics.jsonl    losses, validations, baselines
  tensorboard/     the same for TensorBoard, by option (tensorboard.py)
  checkpoints/     training states, the newest few (resume.py)
  model/           the model as of the last state: a checkpoint folder for use anywhere
  report.html      curves and figures, needs no network
  .lock            held while a process trains (lock.py)
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from albertkit import settings as recipes
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.masked_examples import masked_examples
from albertkit.errors import RecipeError, TrainingError, quoted
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import tensors_of
from albertkit.progress import Bar
from albertkit.train.baselines import Baselines
from albertkit.train.card import run_card
from albertkit.train.expected import cpu_warning
from albertkit.train.figures import Lesson, lessons
from albertkit.train.fillings import Filling, fill
from albertkit.train.health import DOES_NOT_LEARN, Verdict
from albertkit.train.lock import lock_run
from albertkit.train.loop import Trainer
from albertkit.train.metrics import open_metrics
from albertkit.train.prepare import MAY_CHANGE, PreparedRun
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.report import write_report
from albertkit.train.resume import (
    RECIPE,
    require_new,
    require_run,
    resumable,
    resume_run,
    save_state,
    start_run,
    stopped,
)
from albertkit.train.run import Run
from albertkit.train.task import PretrainingTask
from albertkit.train.tensorboard import need_tensorboard
from albertkit.train.validation import ValidationSet

_EXAMPLES = 8  # held-out sentences whose masked words the report shows


@dataclass(frozen=True)
class RunResult:
    """How a run ended. exit_code: 0 well, 3 it does not learn, 128 + signal when stopped by one."""

    folder: Path
    model: Path
    steps: int
    finished: bool
    validation: dict[str, Any]  # means and counts of the last validation; empty before the first
    baselines: Baselines
    verdict: Verdict | None
    exit_code: int
    before: dict[str, Any] = field(default_factory=dict)  # held out before step 0, if it goes on

    @property
    def lessons(self) -> list[Lesson]:
        """Masked words and sentence order, each learned or not learned; empty before the first."""
        return lessons(self.validation, self.baselines, self.before)

    def to_json(self) -> dict[str, Any]:
        """What the command line prints for programs."""
        return {
            "folder": str(self.folder),
            "model": str(self.model),
            "steps": self.steps,
            "finished": self.finished,
            "validation": self.validation,
            "before": self.before or None,
            "baselines": vars(self.baselines),
            "learns": None if self.verdict is None else self.verdict.learns,
            "verdict": None if self.verdict is None else self.verdict.kind,
            "lessons": {lesson.name: lesson.to_json() for lesson in self.lessons},
        }


def pretrain(
    recipe: PretrainingRecipe | str | Path | None = None,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    start_from: str | Path | None = None,
    max_positions: int | None = None,
    replay: str | Path | None = None,
    replay_share: float | None = None,
    tensorboard: bool | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
    resume: bool = False,
    console: Console | None = None,
) -> RunResult:
    """Run a recipe to its end, or from the newest training state of its folder to the end.

    Args:
        recipe: name of a shipped recipe, TOML file, or open recipe; "continue" if left out and the
            run goes on from a model.
        data: folder made by make_data.
        out: folder of the run.
        start_from: path or name of a model to go on from, see `Checkpoint.load`; its sizes and
            its tokenizer hold, what it lacks is made new.
        max_positions: longest row the model can take; new positions begin as copies.
        replay: second data folder, of which rows are mixed in.
        replay_share: their share of the rows, 0.2 if left out; 0 only measures its held-out text.
        tensorboard: also write losses and figures to the folder tensorboard of the run.
        set: other settings, {"stages.0.steps": 100} or ["stages.0.steps=100"].
        resume: go on from the newest state of the run folder.

    Raises RecipeError, ConfigError, ShardError, VocabularyError, OutputError, and what
    `Checkpoint.load` raises, for what can be seen before the first step; TrainingError for a loss
    that is not finite, a state that is damaged, or a folder in which another process trains.
    """
    console = console or Console()
    given = {
        "data.path": data,
        "run.output": out,
        "start.checkpoint": start_from,
        "model.max_position_embeddings": max_positions,
        "data.replay": replay,
        "data.replay_share": replay_share,
        "run.tensorboard": tensorboard,
    }
    recipe = open_recipe(recipe, given, set, resume=resume)
    if recipe.run.tensorboard:
        need_tensorboard()
    folder = recipe.run.output
    (require_run if resume else require_new)(folder)
    with Bar("opening model and data", console=console):
        prepared = PreparedRun.resolve(recipe, folder if resume else None)
    return _run(prepared, resume, console)


def _run(prepared: PreparedRun, resume: bool, console: Console) -> RunResult:
    """Begin the run of a recipe, or go on, and train to the end."""
    recipe, folder = prepared.recipe, prepared.recipe.run.output
    torch.set_num_threads(recipe.run.threads)
    with Bar("preparing model and data", console=console) as bar:
        model, optimizer = prepared.build()
        validation_set = prepared.validation_set()
        facts = prepared.describe(validation_set)
        for name, fact in facts:
            bar.log(f"{name}: {fact}")
        warning = None if resume else cpu_warning(recipe, prepared.config)
        if warning is not None:
            bar.log(f"warning: {warning}")
    saved: dict[str, Any] = {}
    if not resume:
        baselines = _measure_baselines(prepared, validation_set, console)
        start_run(folder, recipe, partial(_keep_start, prepared, model, optimizer, baselines))
    with resumable("pretrain", folder), lock_run(folder):
        identity = prepared.identity
        if resume:
            saved = resume_run(folder, identity, model, optimizer, may_change=MAY_CHANGE)
            if saved:
                baselines = Baselines(**saved["baselines"])
            elif prepared.origin is None:
                baselines = _measure_baselines(prepared, validation_set, console)
            else:
                raise _no_state(folder)
        task = PretrainingTask(
            prepared, prepared.stages(), validation_set, baselines, prepared.replay_set()
        )
        with contextlib.ExitStack() as stack:
            stack.callback(task.stages.close)
            step = saved.get("step", 0)
            metrics = open_metrics(folder, saved, tensorboard=recipe.run.tensorboard)
            stack.callback(metrics.close)
            run = Run(
                trainer=_trainer(model, optimizer, recipe),
                task=task,
                cadence=recipe.run,
                folder=folder,
                identity=identity,
                metrics=metrics,
                progress=stack.enter_context(
                    Bar("step", task.steps, done=step, console=console, plain=True, keep=True)
                ),
                export=lambda: export(model, prepared, baselines),
            )
            if saved:
                run.load_state(saved)
                run.progress.log(f"resumed at step {step:,} of {task.steps:,}")
            if not run.metrics.size:
                run.metrics.write("baselines", vars(baselines))
            step = run.train(step)
        fillings = _examples(model, prepared)
        write_report(folder, recipe, facts, baselines, run.verdict, run.elapsed, fillings)
    return _result(run, step, baselines)


def _measure_baselines(
    prepared: PreparedRun, validation_set: ValidationSet, console: Console
) -> Baselines:
    with Bar("measuring baselines", console=console):
        return prepared.measure_baselines(validation_set)


def open_recipe(
    recipe: PretrainingRecipe | str | Path | None,
    given: Mapping[str, Any],
    set: Mapping[str, Any] | Sequence[str] = (),
    *,
    resume: bool = False,
) -> PretrainingRecipe:
    """A recipe by its name, file or itself, with settings changed. Raises RecipeError.

    given: settings by their dotted names; None leaves the recipe's. They win over `set`.
    """
    stated = {key: value for key, value in given.items() if value is not None}
    if recipe is None:
        recipe = _usual_recipe(stated, resume)
    if isinstance(recipe, PretrainingRecipe):
        return recipes.change(recipe, set, stated)
    return recipes.load(recipe, PretrainingRecipe, set, stated)


def _usual_recipe(stated: Mapping[str, Any], resume: bool) -> str:
    """The recipe of a run for which none was named."""
    if resume:
        recipe = Path(stated.get("run.output", "RUN")) / RECIPE
        raise RecipeError(
            "No run was named.",
            expected=f"{RECIPE} of its folder",
            found="resume without a recipe",
            fix=f"pretrain({str(recipe)!r}, resume=True)",
            command_fix=f"albertkit pretrain {quoted(recipe)} --resume",
        )
    if "start.checkpoint" not in stated:
        raise RecipeError(
            "No recipe and no model were named.",
            expected="a recipe, or a model to go on from",
            found="neither",
            fix="pass a recipe such as 'tiny-en', or start_from='albertkit/tiny-en'",
            command_fix="name a recipe such as tiny-en, or add --from albertkit/tiny-en",
        )
    return "continue"


def _keep_start(
    prepared: PreparedRun,
    model: AlbertForPretraining,
    optimizer: torch.optim.Optimizer,
    baselines: Baselines,
    folder: Path,
) -> None:
    """Put the state before step 0 into a new run folder: its checkpoint may be gone tomorrow.

    What begins from random numbers begins again from its seed instead.
    """
    if prepared.origin is None:
        return
    prepared.origin.write(folder)
    save_start(prepared, model, optimizer, baselines, folder)


def save_start(
    prepared: PreparedRun,
    model: AlbertForPretraining,
    optimizer: torch.optim.Optimizer,
    baselines: Baselines,
    folder: Path,
) -> None:
    """Write a model as the state before step 0 of a run folder: `resume` begins with it."""
    state = {
        "identity": prepared.identity,
        "tokens": 0,
        "metrics_bytes": 0,
        "window": {"sums": {}, "counts": {}},
        "baselines": vars(baselines),
        "validated": {},
    }
    save_state(folder / "checkpoints", 0, model, optimizer, state, keep=1)


def _examples(model: AlbertForPretraining, prepared: PreparedRun) -> list[Filling]:
    """Words of the held-out text that the model fills, for the report."""
    data, config = prepared.data, prepared.config
    examples = masked_examples(data, _EXAMPLES)
    precision = prepared.recipe.run.precision
    return fill(model, examples, data.tokenizer, precision, config.max_position_embeddings)


def _no_state(folder: Path) -> TrainingError:
    return TrainingError(
        "The training states of this run are gone.",
        expected="at least the state before step 0, which holds the numbers it went on from",
        found="none",
        where=folder / "checkpoints",
        fix="put them back, or start the run again in another folder",
    )


def export(model: AlbertForPretraining, prepared: PreparedRun, baselines: Baselines) -> None:
    """Write RUN/model, a checkpoint folder that transformers opens too."""
    recipe, config, data = prepared.recipe, prepared.config, prepared.data
    Checkpoint(config=config, tensors=tensors_of(model), tokenizer=data.tokenizer).save(
        recipe.run.output / "model",
        run_card(recipe, config, data, baselines, prepared.origin),
        replace=True,
    )


def _trainer(
    model: AlbertForPretraining, optimizer: torch.optim.Optimizer, recipe: PretrainingRecipe
) -> Trainer:
    norm, run = recipe.optim.max_gradient_norm, recipe.run
    return Trainer(model, optimizer, norm, run.precision, run.seed)


def _result(run: Run, step: int, baselines: Baselines) -> RunResult:
    """Sum up a run, and say how it ended."""
    finished = step == run.task.steps or run.reached_goal(step)
    exit_code = 0
    if not finished:
        exit_code = 128 + run.trainer.stopped_by
        run.progress.log(stopped("pretrain", run.folder, step))
    elif run.verdict is not None:
        if step < run.task.steps:
            run.progress.log(f"the goal of the recipe is reached after step {step:,}: the run ends")
        run.progress.log(str(run.verdict))
        for line in last_words(run, baselines):
            run.progress.log(line)
        exit_code = 0 if run.verdict.learns else DOES_NOT_LEARN
    return RunResult(
        folder=run.folder,
        model=run.folder / "model",
        steps=step,
        finished=finished,
        validation=run.validated,
        baselines=baselines,
        verdict=run.verdict,
        exit_code=exit_code,
        before=run.before,
    )


def last_words(run: Run, baselines: Baselines) -> list[str]:
    """What the model learned, thing by thing, and what it may have forgotten."""
    lines = [str(lesson) for lesson in lessons(run.validated, baselines, run.before)]
    if "replay_mlm_loss" in run.validated and "replay_mlm_loss" in run.before:
        before, after = (x["replay_mlm_loss"] for x in (run.before, run.validated))
        lines.append(f"replayed text: held-out loss {after:.3f}, before the run {before:.3f}")
    return lines
