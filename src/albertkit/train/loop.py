"""The training loop, for pretraining and fine-tuning alike: it knows steps, not tasks."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any, Literal, Protocol

import torch
from torch import nn

from albertkit.errors import TrainingError
from albertkit.train.fgm import perturbed
from albertkit.train.health import refuse_what_is_not_finite
from albertkit.train.losses import Loss, Totals
from albertkit.train.optim import clip_by_global_norm, set_learning_rate


@dataclass(frozen=True)
class StepResult:
    """What one optimizer step did: totals of its losses, gradient norm before clipping, rate."""

    step: int  # number of steps done, this one included
    totals: Totals
    gradient_norm: float
    learning_rate: float


class HasLoss(Protocol):
    """What has the loss of a task."""

    def loss(self, model: nn.Module, micro_batch: Any) -> Loss:
        """Share of a micro-batch in the loss of its step."""


class Job(HasLoss, Protocol):
    """What the loop asks for: batches, their loss, the rate, and what follows a step."""

    def micro_batches(self, step: int) -> Sequence[Any]:
        """The micro-batches of a step, the first step being 0."""

    def learning_rate(self, step: int) -> float:
        """Rate of a step."""

    def after_step(self, result: StepResult) -> bool:
        """Log, validate, save: whatever is due after this step. True ends the training here."""

    def save(self, step: int) -> None:
        """Write a state after `step` steps, if there is none: a signal ends the training here."""


@dataclass
class Trainer:
    """A model and its optimizer on the way.

    `precision` "bf16" computes matrix products in bfloat16 (autocast); weights, moments and losses
    stay float32. The random numbers of dropout depend on (seed, step) alone.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    max_gradient_norm: float
    precision: str
    seed: int
    fgm_epsilon: float = 0.0  # above 0: with a second pass on moved word embeddings (fgm.py)
    stopped_by: int = 0  # number of the signal that ended the training early

    def train(self, job: Job, start: int, stop: int) -> int:
        """Do the steps from `start` up to `stop`; returns the number of steps done by then.

        SIGTERM or Ctrl-C ends it after the step at hand, with a state saved; a second signal acts
        at once.
        """
        with stop_on_signal() as asked:
            for step in range(start, stop):
                result = self.train_step(job, step)
                reached = job.after_step(result)
                if asked:  # during the step, or during what followed it
                    job.save(step + 1)
                    self.stopped_by = asked[0]
                if asked or reached:
                    return step + 1
        return stop

    def train_step(self, job: Job, step: int) -> StepResult:
        """Add up the gradients of the micro-batches, clip them, and move the weights once."""
        self.model.train()
        torch.manual_seed(seed_of(self.seed, step))
        self.optimizer.zero_grad(set_to_none=True)
        micro_batches = job.micro_batches(step)
        totals = Totals.of(self._backward(job, micro_batches))
        if self.fgm_epsilon:
            with perturbed(self.model, self.fgm_epsilon):
                self._backward(job, micro_batches)
        norm = clip_by_global_norm(self.model.parameters(), self.max_gradient_norm)
        refuse_what_is_not_finite(step + 1, totals.means(), norm)
        rate = job.learning_rate(step)
        set_learning_rate(self.optimizer, rate, step)
        self.optimizer.step()
        return StepResult(step + 1, totals, norm, rate)

    def _backward(self, job: HasLoss, micro_batches: Sequence[Any]) -> list[Loss]:
        """Add the gradients of the micro batches to those that are there."""
        losses = []
        for micro_batch in micro_batches:
            with autocast(self.model, self.precision):
                loss = job.loss(self.model, micro_batch)
            loss.value.backward()
            losses.append(replace(loss, value=loss.value.detach()))
        return losses


def autocast(model: nn.Module, precision: str) -> torch.autocast:
    """Context in which matrix products run in bfloat16, or (for "fp32") nothing changes."""
    device = next(model.parameters()).device.type
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")


def device_of(wanted: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    """The device that a recipe asks for: cpu or cuda; auto takes cuda when it is there.

    Raises:
        TrainingError: cuda, and torch has none.
    """
    there = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda" if there else "cpu"
    if wanted == "cuda" and not there:
        raise TrainingError(
            "There is no CUDA device for this run.",
            expected="a GPU that torch can use",
            found=f"torch {torch.__version__} without one",
            fix="set run.device to cpu or auto, or install a torch build with CUDA",
        )
    return wanted


def seed_of(seed: int, step: int) -> int:
    """Seed of torch's generators for one step; neighbours differ in many bits."""
    return (seed * 0x9E3779B97F4A7C15 + (step + 1) * 0xBF58476D1CE4E5B9) % (1 << 63)


@contextmanager
def stop_on_signal() -> Iterator[list[int]]:
    """Collect the first SIGTERM or SIGINT in a list instead of dying of it."""
    asked: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)  # the second signal acts as it always did

    try:
        for watched in (signal.SIGTERM, signal.SIGINT):
            before[watched] = signal.signal(watched, note)
    except ValueError:
        before.clear()  # not in the main thread: there signals are handled by others
    try:
        yield asked
    finally:
        for watched, handler in before.items():
            signal.signal(watched, handler)
