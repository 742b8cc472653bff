"""The task of a fine-tuning run: its batches, the loss of its head, what held-out figures say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from albertkit.data.row_batches import within_budget
from albertkit.model.early_exit import logits_by_depth
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.codecs import CODECS
from albertkit.tasks.early_exit import exit_confidence
from albertkit.tasks.figures import deciding_figure, is_better
from albertkit.tasks.head import TaskHead
from albertkit.tasks.rows import Labelled
from albertkit.tasks.span_rows import SpanRows
from albertkit.train.exit_loss import joint_loss
from albertkit.train.finetune_health import Baseline, judge_task
from albertkit.train.finetune_outputs import (
    TaskRows,
    logits_of,
    logits_of_layers,
    run_head,
    span_outputs,
)
from albertkit.train.finetune_prepare import PreparedTask
from albertkit.train.health import Verdict
from albertkit.train.losses import Loss
from albertkit.train.optim import ScheduleSettings, learning_rate
from albertkit.train.rdrop import DIVERGENCES, rdrop_loss
from albertkit.train.task_losses import Choices, loss_of_windows, share_of_step, task_loss

Floats = npt.NDArray[np.float32]


@dataclass
class FinetuneTask:
    """Examples of a prepared run as steps; keeps the best model so far if the recipe says so."""

    prepared: PreparedTask
    train: Labelled
    dev: Labelled
    baseline: Baseline
    kept: dict[str, Tensor]  # weights of the best validation; empty if none is kept
    best: dict[str, Any] = field(default_factory=dict)  # its figures
    waited: int = 0  # validations since
    threshold: float | None = None  # for no answer, of the model that is exported
    exit_confidence: float | None = None  # see tasks/early_exit.py; of that model too
    _weights: npt.NDArray[np.float32] = field(init=False)
    _epoch: tuple[int, list[npt.NDArray[np.int64]]] | None = None

    def __post_init__(self) -> None:
        self._weights = self.prepared.output_weights(self.train.targets)
        self._batches = self.prepared.batches
        schedule = self.prepared.recipe.schedule
        self._schedule = ScheduleSettings(
            steps=self.steps,
            peak_learning_rate=schedule.learning_rate,
            warmup_steps=self.prepared.warmup_steps,
            decay_power=schedule.decay_power,
        )

    @classmethod
    def of(cls, prepared: PreparedTask, model: nn.Module) -> FinetuneTask:
        """The task before its first step.

        Raises:
            TrainingError: a held-out label that no training example has.
            RecipeError: there is no figure of the name that is to decide.
        """
        train, dev = prepared.labelled()
        head, metric = prepared.head, deciding_figure(prepared.head, prepared.recipe.run.metric)
        figures = CODECS[head.traits.task].constant_figures(head, train, dev)
        keeps = prepared.recipe.run.keep_best
        kept = {n: p.detach().clone() for n, p in model.named_parameters()} if keeps else {}
        baseline = Baseline(figures["loss"], figures[metric])
        return cls(prepared, train, dev, baseline, kept)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.prepared.steps

    @property
    def goes_on(self) -> bool:
        """False: a new head knows nothing, so nothing is measured before step 0."""
        return False

    @property
    def metric(self) -> str:
        """Name of the figure that decides what is best."""
        return deciding_figure(self.prepared.head, self.prepared.recipe.run.metric)

    def micro_batches(self, step: int, device: torch.device) -> list[TaskRows]:
        """The rows of a step, in micro-batches within the budget of tokens."""
        epoch, number = divmod(step, self._batches.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._batches.epoch(epoch))
        groups, every = self._epoch[1][number], self.prepared.train
        budget = self.prepared.recipe.schedule.micro_batch_tokens
        weight = float(self._weights[every.outputs_of(every.rows_of(groups))].sum())
        counts = np.diff(every.group_bounds)[groups]
        return [
            self._on_device(every.rows_of(groups[indices]), weight, device)
            for indices in within_budget(every.group_lengths[groups], budget, counts)
        ]

    def _on_device(
        self, rows: npt.NDArray[np.int64], step_weight: float, device: torch.device
    ) -> TaskRows:
        every = self.prepared.train
        batch, outputs = every.batch.take(rows), every.outputs_of(rows)
        owners, weights, choices = every.owners[outputs], self._weights[outputs], None
        if every.options is not None:
            owners, choices = Choices.of(owners, every.options[outputs], device)
            weights = np.ones(len(owners), dtype=np.float32)  # what the weights of each add up to

        def tensor(array: npt.NDArray[Any]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        return TaskRows(
            ids=tensor(batch.ids),
            segment_ids=tensor(batch.segment_ids),
            lengths=torch.from_numpy(batch.lengths),
            positions=None if isinstance(every, SpanRows) else tensor(every.places(rows, batch)),
            targets=tensor(self.train.targets[owners]),
            weights=tensor(weights),
            step_weight=step_weight,
            choices=choices,
        )

    def loss(self, model: nn.Module, micro_batch: TaskRows) -> Loss:
        """Loss of one micro-batch; with R-Drop of two passes, with early exit at every depth."""
        head, alpha = self.prepared.head, self.prepared.recipe.objective.rdrop_alpha
        weights, step_weight = micro_batch.weights, micro_batch.step_weight
        if head.traits.task == "span":
            output = run_head(model, head, micro_batch)
            each = loss_of_windows(output, micro_batch.lengths, micro_batch.targets)
            return share_of_step(each, weights, step_weight)
        first = _logits(model, head, micro_batch)
        losses = [self._of_logits(logits, micro_batch) for logits in first]
        if alpha:
            passes = zip(losses, first, _logits(model, head, micro_batch), strict=True)
            losses = [
                rdrop_loss(
                    loss,
                    self._of_logits(other, micro_batch),
                    DIVERGENCES[head.traits.loss](logits, other),
                    weights,
                    step_weight=step_weight,
                    alpha=alpha,
                )
                for loss, logits, other in passes
            ]
        return joint_loss(losses)

    def _of_logits(self, logits: Tensor, rows: TaskRows) -> Loss:
        return task_loss(
            self.prepared.head.traits.loss,
            logits,
            rows.targets,
            rows.weights,
            step_weight=rows.step_weight,
            smoothing=self.prepared.recipe.objective.label_smoothing,
        )

    def learning_rate(self, step: int) -> float:
        """Rate of a step."""
        return learning_rate(step, self._schedule)

    def step_facts(self, step: int, means: Mapping[str, float]) -> dict[str, Any]:
        """The epoch, in which so many rows were seen."""
        return {"epoch": round(step / self._batches.steps_per_epoch, 4)}

    def step_summary(self, means: Mapping[str, float]) -> str:
        """The loss."""
        return f"loss {means['loss']:.3f}"

    def validate(self, model: nn.Module, precision: str, step: int) -> dict[str, Any]:
        """Figures on the held-out examples; the best model so far is kept."""
        head = self.prepared.head
        outputs = self._outputs(model, precision)
        figures = CODECS[head.traits.task].figures_of(head, outputs, self.dev)
        figures["metric"] = self.metric
        if not self.best or is_better(self.metric, figures, self.best):
            self.best, self.waited = {"step": step, **figures}, 0
            self._find_thresholds(model, precision, figures)
            for name, parameter in model.named_parameters():
                if name in self.kept:
                    self.kept[name].copy_(parameter.detach())
        else:
            self.waited += 1
        if not self.kept:
            self._find_thresholds(model, precision, figures)
        return figures

    def _find_thresholds(
        self, model: nn.Module, precision: str, figures: Mapping[str, Any]
    ) -> None:
        """Those of the model that is exported, by the held-out examples."""
        head, budget = self.prepared.head, self.prepared.recipe.schedule.micro_batch_tokens
        self.threshold = figures.get("threshold")
        if (
            isinstance(model, AlbertForTask)
            and model.exits is not None
            and head.kind != "regression"
        ):
            every = logits_of_layers(model, self.prepared.dev.batch, precision, budget)
            self.exit_confidence = exit_confidence(head, every)

    def outputs_of_kept(self, model: nn.Module) -> Any:
        """Outputs on the held-out examples; `model` becomes the one that is kept."""
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if self.best and name in self.kept:
                    parameter.copy_(self.kept[name])
        return self._outputs(model, self.prepared.recipe.run.precision)

    def _outputs(self, model: nn.Module, precision: str) -> Any:
        head, budget = self.prepared.head, self.prepared.recipe.schedule.micro_batch_tokens
        if head.traits.task == "span":
            return span_outputs(model, head, self.dev, precision, budget)
        return logits_of(model, self.prepared.dev, precision, budget)

    def validation_summary(self, validated: Mapping[str, Any]) -> str:
        """The loss and the figure that decides."""
        best = "" if validated["step"] == self.best.get("step") else " (not better)"
        return f"loss {validated['loss']:.3f}, {self.metric} {validated[self.metric]:.3f}{best}"

    def judge(self, validated: Mapping[str, Any], before: Mapping[str, Any]) -> Verdict:
        """Whether the model that is kept is better than a constant answer."""
        shown = self.best if self.kept else validated
        return judge_task(shown, self.baseline, self.prepared.run_facts())

    def should_learn_by(self, step: int) -> bool:
        """Whether half of the run is over."""
        return 2 * step >= self.steps

    def reached_goal(self, validated: Mapping[str, Any]) -> bool:
        """Whether validations have not become better for as long as the recipe waits."""
        patience = self.prepared.recipe.run.patience
        return 0 < patience <= self.waited

    def state(self) -> dict[str, Any]:
        """What was best so far, and how long ago."""
        names = ("best", "waited", "threshold", "exit_confidence")
        return {name: getattr(self, name) for name in names}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state()` was."""
        self.best, self.waited = state["best"], state["waited"]
        self.threshold = state.get("threshold")
        self.exit_confidence = state.get("exit_confidence")


def _logits(model: nn.Module, head: TaskHead, rows: TaskRows) -> list[Tensor]:
    """Logits (M, C) of the outputs of some rows; with early exit those of every depth."""
    if isinstance(model, AlbertForTask) and model.exits is not None:
        return logits_by_depth(model, rows.ids, rows.segment_ids, lengths=rows.lengths)
    logits = run_head(model, head, rows).logits
    assert logits is not None  # every head has them but those of places
    return [logits if rows.choices is None else rows.choices.scores(logits)]
