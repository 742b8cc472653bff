"""Pretraining: `pretrain("tiny-en", data=..., out=...)` fills a run folder, `resume=True` goes on.

RUN/
  recipe.toml      the full recipe, defaults included
  metrics.jsonl    losses, validations, baselines
  checkpoints/     training states, the newest few (resume.py)
  model/           the model as of the last state: a checkpoint folder for everybody's use
  report.html      curves and figures, needs no network
  .lock            held while a process trains (lock.py)
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from albertkit import settings as recipes
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.files import require_free
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import tensors_of
from albertkit.train.baselines import Baselines
from albertkit.train.card import run_card
from albertkit.train.console import RunProgress
from albertkit.train.figures import figures
from albertkit.train.health import Verdict, judge
from albertkit.train.lock import lock_run
from albertkit.train.loop import Trainer
from albertkit.train.losses import Loss, pretraining_loss
from albertkit.train.metrics import Metrics
from albertkit.train.prepare import MAY_CHANGE, PreparedRun
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.report import write_report
from albertkit.train.resume import require_run, resume_run, start_run
from albertkit.train.run import Run
from albertkit.train.stages import MicroBatch, Stages
from albertkit.train.validation import ValidationSet, validate

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
    recipe: PretrainingRecipe | str | Path,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
    resume: bool = False,
    console: Console | None = None,
) -> RunResult:
    """Run a recipe to its end, or from the newest training state of its folder to the end.

    `recipe`: the name of a shipped recipe, a TOML file, or an open recipe. `data`: folder made by
    make_data. `out`: folder of the run. `set`: other settings, {"stages.0.steps": 100} or
    ["stages.0.steps=100"]. Raises RecipeError, ConfigError, ShardError, VocabularyError,
    OutputError for what can be seen before the first step; TrainingError for a loss that is not
    finite, a state that is damaged, or a folder in which another process trains.
    """
    console = console or Console()
    recipe = open_recipe(recipe, data=data, out=out, set=set)
    folder = recipe.run.output
    (require_run if resume else require_free)(folder)
    prepared = PreparedRun.resolve(recipe)
    recipe = prepared.recipe
    torch.set_num_threads(recipe.run.threads)
    model, optimizer = prepared.build()
    validation_set = prepared.validation_set()
    facts = prepared.describe(validation_set)
    for name, fact in facts:
        console.print(f"{name}: {fact}", highlight=False, markup=False, soft_wrap=True)
    if not resume:
        start_run(folder, recipe)
    with lock_run(folder):
        identity = prepared.identity
        saved: dict[str, Any] = {}
        if resume:
            saved = resume_run(folder, identity, model, optimizer, may_change=MAY_CHANGE)
        baselines = (
            Baselines(**saved["baselines"]) if saved else prepared.measure_baselines(validation_set)
        )
        task = PretrainingTask(prepared, prepared.stages(), validation_set, baselines)
        with contextlib.ExitStack() as stack:
            step = saved.get("step", 0)
            run = Run(
                trainer=_trainer(model, optimizer, recipe),
                task=task,
                cadence=recipe.run,
                folder=folder,
                identity=identity,
                metrics=Metrics(folder / "metrics.jsonl", saved.get("metrics_bytes", 0)),
                progress=stack.enter_context(RunProgress(console, task.steps, step)),
                export=lambda: export(model, prepared, baselines),
            )
            if saved:
                run.load_state(saved)
                run.progress.log(f"resumed at step {step:,} of {task.steps:,}")
            else:
                run.metrics.write("baselines", vars(baselines))
            step = run.train(step)
        write_report(folder, recipe, facts, baselines, run.verdict)
    return _result(run, step, baselines)


def open_recipe(
    recipe: PretrainingRecipe | str | Path,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
) -> PretrainingRecipe:
    """A recipe by its name, file or itself, with settings changed. Raises RecipeError."""
    places = {"data.path": data, "run.output": out}
    places = {key: str(path) for key, path in places.items() if path is not None}
    if isinstance(recipe, PretrainingRecipe):
        return recipes.change(recipe, set, places)
    return recipes.load(recipe, PretrainingRecipe, set, places)


@dataclass
class PretrainingTask:
    """Masked-LM and sentence order: batches, losses, and what their held-out figures mean."""

    prepared: PreparedRun
    stages: Stages
    validation_set: ValidationSet
    baselines: Baselines

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return self.stages.steps

    def micro_batches(self, step: int, device: torch.device) -> Sequence[MicroBatch]:
        """Micro batches of a step."""
        return self.stages.micro_batches(step, device)

    def loss(self, model: nn.Module, micro_batch: MicroBatch) -> Loss:
        """Masked-LM and sentence-order loss of one micro batch."""
        output = model(
            micro_batch.ids,
            micro_batch.segment_ids,
            lengths=micro_batch.lengths,
            target_positions=micro_batch.target_positions,
        )
        return pretraining_loss(
            output.mlm_logits,
            output.sop_logits if self.prepared.sentence_order else None,
            micro_batch.targets,
            micro_batch.swapped,
            step_targets=micro_batch.step_targets,
            step_rows=micro_batch.step_rows,
        )

    def learning_rate(self, step: int) -> float:
        """Rate of a step by the schedule of its stage."""
        return self.stages.learning_rate(step)

    def step_facts(self, step: int, means: Mapping[str, float]) -> dict[str, Any]:
        """Stage and whole loss."""
        loss = means["mlm_loss"] + means.get("sop_loss", 0.0)
        return {"stage": self.stages.stage_of(step - 1), "loss": loss}

    def step_summary(self, means: Mapping[str, float]) -> str:
        """Whole loss, and masked-LM loss."""
        loss = means["mlm_loss"] + means.get("sop_loss", 0.0)
        return f"loss {loss:.3f} (mlm {means['mlm_loss']:.3f})"

    def validate(self, model: nn.Module, precision: str) -> dict[str, Any]:
        """Means over the held-out rows, and the counts they were taken over."""
        totals = validate(model, self, self.validation_set, precision)
        counts = {
            name.replace("_loss", "_count"): count
            for name, count in totals.counts.items()
            if name.endswith("_loss")
        }
        return {**totals.means(), **counts}

    def validation_summary(self, validated: Mapping[str, Any]) -> str:
        """Each figure beside its baseline."""
        return "; ".join(
            f"{figure.title} {figure.text} ({figure.baseline_name} {figure.baseline_text})"
            for figure in figures(validated, self.baselines)
            if figure.name != "sop_loss"
        )

    def judge(self, validated: Mapping[str, Any]) -> Verdict:
        """Whether the masked-LM loss is below what word frequencies alone would give."""
        vocab_size = self.prepared.config.vocab_size
        return judge(validated["mlm_loss"], self.baselines.unigram_entropy, vocab_size)

    def should_learn_by(self, step: int) -> bool:
        """Whether the warm-up is over, and a quarter of the first stage."""
        first = self.stages.settings[0]
        return step >= first.warmup_steps + first.steps // 4

    def reached_goal(self, validated: Mapping[str, Any]) -> bool:
        """Whether the masked-LM loss is as far below the unigram entropy as was asked for."""
        goal = self.prepared.recipe.run.stop_below
        gain: float = self.baselines.unigram_entropy - validated["mlm_loss"]
        return goal > 0 and gain >= goal

    def state(self) -> dict[str, Any]:
        """The baselines: measured once, for the held-out rows."""
        return {"baselines": vars(self.baselines)}


def export(model: AlbertForPretraining, prepared: PreparedRun, baselines: Baselines) -> None:
    """Write RUN/model, a checkpoint folder that transformers opens too."""
    recipe, config, data = prepared.recipe, prepared.config, prepared.data
    Checkpoint(config=config, tensors=tensors_of(model), tokenizer=data.tokenizer).save(
        recipe.run.output / "model", run_card(recipe, config, data, baselines), replace=True
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
        run.progress.log(
            f"stopped by a signal after step {step:,}; the state is saved: --resume goes on"
        )
    elif run.verdict is not None:
        if step < run.task.steps:
            run.progress.log(f"the goal of the recipe is reached after step {step:,}: the run ends")
        run.progress.log(str(run.verdict))
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
    )
