"""Pretraining from a recipe: `pretrain(recipe)` fills a run folder, `resume=True` goes on in it.

RUN/
  recipe.toml      the full recipe, defaults included
  metrics.jsonl    losses, validations, baselines
  checkpoints/     training states, the newest few (resume.py)
  model/           the model as of the last state: a checkpoint folder for everybody's use
  report.html      curves and figures, needs no network
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from albertkit import settings as recipes
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.errors import TrainingError
from albertkit.files import atomic_folder, clear_leftovers, require_free
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import tensors_of
from albertkit.train import prepare
from albertkit.train.baselines import Baselines
from albertkit.train.card import run_card
from albertkit.train.console import Ticker
from albertkit.train.health import Verdict
from albertkit.train.loop import Trainer
from albertkit.train.metrics import Metrics
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.report import write_report
from albertkit.train.resume import newest_state, read_state, restore, saved_states
from albertkit.train.run import PretrainingRun
from albertkit.train.stages import Stages

DOES_NOT_LEARN = 3  # exit code of a run that ended without learning


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


def pretrain(
    recipe: PretrainingRecipe, *, resume: bool = False, console: Console | None = None
) -> RunResult:
    """Run a recipe to its end, or from the newest training state of its folder to the end.

    Raises RecipeError, ConfigError, ShardError, VocabularyError, OutputError for what can be seen
    before the first step; TrainingError for a loss that is not finite or a state that is damaged.
    """
    console = console or Console()
    folder = recipe.run.output
    if not resume:
        require_free(folder)
    data = prepare.Data.open(recipe.data.path)
    recipe, config = prepare.settle(recipe, data)
    torch.set_num_threads(recipe.run.threads)
    model, optimizer = prepare.build(config, recipe)
    stages = Stages(recipe.stages, data.train, recipe.run.seed)
    held_out = prepare.hold_out(recipe, stages, data)
    identity = {"recipe": prepare.hash_of(recipe), "data": data.fingerprint}
    facts = prepare.describe(recipe, config, data, held_out)
    for name, fact in facts:
        console.print(f"{name}: {fact}", highlight=False, markup=False, soft_wrap=True)
    saved: dict[str, Any] = {}
    if resume:
        saved = _take_up(folder, identity, model, optimizer)
    else:
        _begin(folder, recipe)
    baselines = (
        Baselines(**saved["baselines"])
        if saved
        else prepare.measure_baselines(recipe, stages, data, held_out)
    )
    step = saved.get("step", 0)
    with Ticker(console, stages.steps, step) as ticker:
        run = PretrainingRun(
            trainer=_trainer(model, optimizer, recipe),
            stages=stages,
            cadence=recipe.run,
            folder=folder,
            held_out=held_out,
            baselines=baselines,
            vocab_size=config.vocab_size,
            identity=identity,
            metrics=Metrics(folder / "metrics.jsonl", saved.get("metrics_bytes", 0)),
            ticker=ticker,
            export=lambda: export(
                model, config, data, folder / "model", run_card(recipe, config, data, baselines)
            ),
        )
        if saved:
            run.take_over(saved)
            ticker.say(f"resumed at step {step:,} of {stages.steps:,}")
        else:
            run.metrics.write("baselines", vars(baselines))
        step = _train(run, step)
    write_report(folder, recipe, facts, baselines, run.verdict)
    return _result(run, step)


def export(
    model: AlbertForPretraining,
    config: AlbertConfig,
    data: prepare.Data,
    folder: Path,
    model_card: str | None = None,
) -> None:
    """Write the model as a checkpoint folder that transformers opens too."""
    Checkpoint(config=config, tensors=tensors_of(model), tokenizer=data.tokenizer).save(
        folder, model_card, replace=True
    )


def _take_up(
    folder: Path,
    identity: dict[str, str],
    model: AlbertForPretraining,
    optimizer: torch.optim.Optimizer,
) -> dict[str, Any]:
    """Fill model and optimizer from the newest state; returns what it remembers.

    Empty when the run was killed before its first state: then it begins again.
    """
    if not (folder / "recipe.toml").is_file():
        raise TrainingError(
            "There is no run to resume.",
            expected="the folder of a run, with recipe.toml",
            found="no recipe.toml in it" if folder.is_dir() else "no such folder",
            where=folder,
            fix="start the run without --resume",
        )
    clear_leftovers(folder)
    newest = newest_state(folder / "checkpoints")
    if newest is None:
        return {}
    state = read_state(newest)
    prepare.check_same(state["identity"], identity, folder)
    restore(newest, model, optimizer)
    return state


def _trainer(
    model: AlbertForPretraining, optimizer: torch.optim.Optimizer, recipe: PretrainingRecipe
) -> Trainer:
    norm, run = recipe.optim.max_gradient_norm, recipe.run
    return Trainer(model, optimizer, norm, run.precision, run.seed)


def _begin(folder: Path, recipe: PretrainingRecipe) -> None:
    """Make the run folder, so that whoever finds one finds its recipe in it."""
    with atomic_folder(folder) as temporary:
        (temporary / "checkpoints").mkdir()
        recipes.save(recipe, temporary / "recipe.toml")


def _train(run: PretrainingRun, start: int) -> int:
    """Train to the end or to a signal; an error says which state is the last good one."""
    if start == 0:
        run.save(0)  # so that a kill at any later moment can be resumed
    elif start == run.stages.steps or run.reached_goal(start):
        run.ticker.say("the run is complete already: nothing to do")
        run.metrics.close()
        return start
    try:
        return run.trainer.train(run, start, run.stages.steps)
    except TrainingError as error:
        states = saved_states(run.folder / "checkpoints")
        facts = error.facts
        raise TrainingError(
            error.what,
            expected=facts.get("expected"),
            found=facts.get("found"),
            where=f"the last good state is {states[-1]}",
            fix=facts.get("to do"),
        ) from error
    finally:
        run.metrics.close()


def _result(run: PretrainingRun, step: int) -> RunResult:
    """Sum up a run and say its last words."""
    finished = step == run.stages.steps or run.reached_goal(step)
    exit_code = 0
    if not finished:
        exit_code = 128 + run.trainer.stopped_by
        run.ticker.say(
            f"stopped by a signal after step {step:,}; the state is saved: --resume goes on"
        )
    elif run.verdict is not None:
        if step < run.stages.steps:
            run.ticker.say(f"the goal of the recipe is reached after step {step:,}: the run ends")
        run.ticker.say(str(run.verdict))
        exit_code = 0 if run.verdict.learns else DOES_NOT_LEARN
    return RunResult(
        folder=run.folder,
        model=run.folder / "model",
        steps=step,
        finished=finished,
        validation=run.validated,
        baselines=run.baselines,
        verdict=run.verdict,
        exit_code=exit_code,
    )
