"""A training run on its way, for any task: log, validate, save, resume, stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from albertkit.errors import TrainingError
from albertkit.progress import Bar
from albertkit.settings import setting
from albertkit.train.health import Verdict
from albertkit.train.loop import HasLoss, StepResult, Trainer
from albertkit.train.losses import Loss, Totals
from albertkit.train.metrics import Metrics
from albertkit.train.resume import save_state, saved_states


@dataclass(frozen=True, kw_only=True)
class CadenceSettings:
    """How often a run logs, validates and saves; 0 means at the end only."""

    log_every: int = setting(20, "steps between lines of metrics.jsonl", low=1)
    validate_every: int = setting(500, "steps between validations on held-out rows", low=0)
    validation_rows: int = setting(512, "most held-out rows used for it", low=1)
    save_every: int = setting(500, "steps between training states", low=0)
    keep: int = setting(2, "training states to keep", low=1)
    tensorboard: bool = setting(
        False, "also write losses and figures for TensorBoard; needs the extra tensorboard"
    )


class MicroBatch(Protocol):
    """What a run counts in the batches of its task."""

    @property
    def num_tokens(self) -> int:
        """Tokens without padding."""


class Task(HasLoss, Protocol):
    """What is trained: its batches and losses, and what its held-out figures mean."""

    @property
    def steps(self) -> int:
        """Steps of the whole run."""

    @property
    def goes_on(self) -> bool:
        """Whether the model has learned before: its held-out figures then count before step 0."""

    def micro_batches(self, step: int, device: torch.device) -> Sequence[MicroBatch]:
        """The micro-batches of a step, the first step being 0."""

    def learning_rate(self, step: int) -> float:
        """Rate of a step."""

    def step_facts(self, step: int, means: Mapping[str, float]) -> dict[str, Any]:
        """Facts for a line of metrics beside the means of the losses; "loss" is one of them."""

    def step_summary(self, means: Mapping[str, float]) -> str:
        """The losses of a step in a few words."""

    def validate(self, model: nn.Module, precision: str, step: int) -> dict[str, Any]:
        """Figures on held-out rows after so many steps."""

    def validation_summary(self, validated: Mapping[str, Any]) -> str:
        """The figures of a validation in one line."""

    def judge(self, validated: Mapping[str, Any], before: Mapping[str, Any]) -> Verdict:
        """Whether these figures show that the model learns; `before` step 0, where measured."""

    def should_learn_by(self, step: int) -> bool:
        """Whether a model that does not learn at this step deserves a warning."""

    def reached_goal(self, validated: Mapping[str, Any]) -> bool:
        """Whether the figures are good enough to end the run."""

    def state(self) -> dict[str, Any]:
        """What a resumed run has to know of the task."""

    @property
    def kept(self) -> Mapping[str, Tensor]:
        """Tensors besides weights and moments that a resumed run needs."""


@dataclass
class Run:
    """Does what is due after each step. Everything that has to survive a resume is in `state()`."""

    trainer: Trainer
    task: Task
    cadence: CadenceSettings
    folder: Path
    identity: dict[str, str]  # hashes of recipe and data, to be the same after a resume
    metrics: Metrics
    progress: Bar
    export: Callable[[], None]  # writes the model for use anywhere
    window: Totals = field(default_factory=Totals)  # since the last line of metrics
    tokens: int = 0  # trained on so far, padding not counted
    verdict: Verdict | None = None
    validated: dict[str, Any] = field(default_factory=dict)  # the last validation
    before: dict[str, Any] = field(
        default_factory=dict
    )  # that before step 0, of a run that goes on
    seconds: float = 0.0  # trained so far, by the processes before this one
    _began: float = field(default_factory=time.monotonic)
    _warned: str = ""  # kind of the last verdict that was warned of
    _saved: int = -1  # step of the last state of this process
    _since: tuple[float, int] = field(default_factory=lambda: (time.monotonic(), 0))

    def train(self, start: int) -> int:
        """Train to the end, the goal or a signal; returns the steps done.

        A TrainingError says which state is the last good one.
        """
        if start == 0:
            if self.task.goes_on and not self.before:
                self._validate(0)
                self.before = self.validated
            self.save(0)  # so that a kill at any later moment can be resumed
        elif start == self.task.steps or self.reached_goal(start):
            # A kill after the last state may have left the model of the state before it.
            self.export()
            self.progress.log("the run is complete already: its model is written once more")
            return start
        try:
            return self.trainer.train(self, start, self.task.steps)
        except TrainingError as error:
            states = saved_states(self.folder / "checkpoints")
            facts = error.facts
            raise TrainingError(
                error.what,
                expected=facts.get("expected"),
                found=facts.get("found"),
                where=f"the last good state is {states[-1]}",
                fix=facts.get("to do"),
                command_fix=error.command_fix,
            ) from error

    def micro_batches(self, step: int) -> Sequence[MicroBatch]:
        """Micro-batches of a step."""
        device = next(self.trainer.model.parameters()).device
        micro_batches = self.task.micro_batches(step, device)
        self.tokens += sum(micro_batch.num_tokens for micro_batch in micro_batches)
        return micro_batches

    def loss(self, model: nn.Module, micro_batch: Any) -> Loss:
        """Loss of one micro-batch."""
        return self.task.loss(model, micro_batch)

    def learning_rate(self, step: int) -> float:
        """Rate of a step."""
        return self.task.learning_rate(step)

    def after_step(self, result: StepResult) -> bool:
        """Log, validate and save where it is due, always at the end; True ends the run."""
        step, last = result.step, result.step == self.task.steps
        self.window.add(result.totals.sums, result.totals.counts)
        if last or step % self.cadence.log_every == 0:
            self._log(result)
        else:
            self.progress.move(step)
        if last or _due(step, self.cadence.validate_every):
            self._validate(step)
        reached = self.reached_goal(step)
        if last or reached or _due(step, self.cadence.save_every):
            self.save(step)
        return reached

    def reached_goal(self, step: int) -> bool:
        """Whether the validation after this step is as good as the recipe asked for."""
        return self.validated.get("step") == step and self.task.reached_goal(self.validated)

    def save(self, step: int) -> None:
        """Write a training state, and the model as a checkpoint folder; once for a step."""
        if self._saved == step:
            return
        self.metrics.flush()
        save_state(
            self.folder / "checkpoints",
            step,
            self.trainer.model,
            self.trainer.optimizer,
            self.state(),
            keep=self.cadence.keep,
            kept=self.task.kept,
        )
        self.export()
        self._saved = step

    def state(self) -> dict[str, Any]:
        """What a resumed run has to know besides weights, moments and step."""
        return {
            "identity": self.identity,
            "tokens": self.tokens,
            "metrics_bytes": self.metrics.size,
            "window": {"sums": self.window.sums, "counts": self.window.counts},
            **self.task.state(),
            "validated": self.validated,
            "before": self.before,
            "seconds": self.elapsed,
        }

    @property
    def elapsed(self) -> float:
        """Seconds that the run took so far, all its processes together."""
        return self.seconds + time.monotonic() - self._began

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state()` was."""
        self.tokens = state["tokens"]
        self.validated = state["validated"]
        self.before = state.get("before", {})  # release 0.1 has neither
        self.seconds = state.get("seconds", 0.0)
        if self.validated:
            self.verdict = self.task.judge(self.validated, self.before)
        self._since = (time.monotonic(), self.tokens)
        self.window = Totals(state["window"]["sums"], state["window"]["counts"])

    def _log(self, result: StepResult) -> None:
        means, now = self.window.means(), time.monotonic()
        speed = (self.tokens - self._since[1]) / max(1e-9, now - self._since[0])
        facts = {
            "step": result.step,
            **self.task.step_facts(result.step, means),
            **means,
            "learning_rate": result.learning_rate,
            "gradient_norm": result.gradient_norm,
            "tokens": self.tokens,
            "tokens_per_second": round(speed, 1),
        }
        self.metrics.write("train", facts)
        summary = [self.task.step_summary(means), f"{speed:,.0f} tokens/s"]
        self.progress.update(result.step, summary)
        self.window, self._since = Totals(), (now, self.tokens)

    def _validate(self, step: int) -> None:
        began = time.monotonic()
        figures = self.task.validate(self.trainer.model, self.trainer.precision, step)
        self.validated = {"step": step, **figures}
        self.metrics.write("validation", self.validated)
        summary = self.task.validation_summary(self.validated)
        self.progress.log(f"held out, step {step:,}: {summary}")
        self.verdict = self.task.judge(self.validated, self.before)
        # The verdict of the last step is what the run ends with.
        late = 0 < step < self.task.steps and self.task.should_learn_by(step)
        if late and not self.verdict.learns and self._warned != self.verdict.kind:
            self.progress.log(f"warning: {self.verdict}")
            self._warned = self.verdict.kind
        # Validation is not part of the training speed.
        self._since = (self._since[0] + time.monotonic() - began, self._since[1])


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
