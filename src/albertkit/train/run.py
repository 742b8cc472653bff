"""A pretraining run on its way: what is due after each step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from albertkit.settings import setting
from albertkit.train.baselines import Baselines
from albertkit.train.console import Ticker
from albertkit.train.health import Verdict, judge
from albertkit.train.loop import StepResult, Trainer
from albertkit.train.losses import Loss, Totals, pretraining_loss
from albertkit.train.metrics import Metrics
from albertkit.train.resume import save_state
from albertkit.train.stages import Micro, Stages
from albertkit.train.validation import HeldOut, validate


@dataclass(frozen=True, kw_only=True)
class CadenceSettings:
    """How often a run says, checks and saves something; 0 means at the end only."""

    log_every: int = setting(20, "steps between lines of metrics.jsonl", low=1)
    validate_every: int = setting(500, "steps between validations on held-out rows", low=0)
    validation_rows: int = setting(512, "most held-out rows used for it", low=1)
    save_every: int = setting(500, "steps between training states", low=0)
    keep: int = setting(2, "training states to keep", low=1)
    stop_below: float = setting(
        0.0,
        "end the run once the held-out masked-LM loss is this many nats below the unigram "
        "entropy; 0 trains to the last step",
        low=0,
    )


@dataclass
class PretrainingRun:
    """The pretraining job: losses, and the log, validation and state that follow a step.

    Everything that has to survive a resume is in `state()`.
    """

    trainer: Trainer
    stages: Stages
    cadence: CadenceSettings
    folder: Path
    held_out: HeldOut
    baselines: Baselines
    vocab_size: int
    identity: dict[str, str]  # hashes of recipe and data, to be the same after a resume
    metrics: Metrics
    ticker: Ticker
    export: Callable[[], None]
    window: Totals = field(default_factory=Totals)  # since the last line of metrics
    tokens: int = 0  # trained on so far, padding not counted
    verdict: Verdict | None = None
    validated: dict[str, Any] = field(default_factory=dict)  # the last validation
    _warned: str = ""  # kind of the last verdict that was told
    _since: tuple[float, int] = field(default_factory=lambda: (time.monotonic(), 0))

    def micros(self, step: int) -> Sequence[Micro]:
        """Micro batches of a step."""
        micros = self.stages.micros(step, next(self.trainer.model.parameters()).device)
        self.tokens += sum(len(micro.ids) for micro in micros)
        return micros

    def loss(self, model: nn.Module, micro: Micro) -> Loss:
        """Masked-LM and sentence-order loss of one micro batch."""
        output = model(
            micro.ids,
            micro.types,
            lengths=micro.lengths,
            target_positions=micro.target_positions,
        )
        return pretraining_loss(
            output.mlm_logits,
            output.order_logits,
            micro.targets,
            micro.swapped,
            step_targets=micro.step_targets,
            step_rows=micro.step_rows,
        )

    def learning_rate(self, step: int) -> float:
        """Rate of a step by the schedule of its stage."""
        return self.stages.learning_rate(step)

    def after_step(self, result: StepResult, *, stopping: bool) -> bool:
        """Log, validate and save where it is due, always at the end; True ends the run."""
        step, last = result.step, result.step == self.stages.steps
        self.window.add(result.totals.sums, result.totals.counts)
        if last or step % self.cadence.log_every == 0:
            self._log(result)
        if last or _due(step, self.cadence.validate_every):
            self._validate(step)
        reached = self.reached_goal(step)
        if last or stopping or reached or _due(step, self.cadence.save_every):
            self.save(step)
        return reached

    def reached_goal(self, step: int) -> bool:
        """Whether the validation after this step is as good as the recipe asked for."""
        goal = self.cadence.stop_below
        if not goal or self.validated.get("step") != step:
            return False
        return bool(self.baselines.unigram_entropy - self.validated["mlm_loss"] >= goal)

    def save(self, step: int) -> None:
        """Write a training state, and the model as a checkpoint folder."""
        self.metrics.flush()
        save_state(
            self.folder / "checkpoints",
            step,
            self.trainer.model,
            self.trainer.optimizer,
            self.state(),
            keep=self.cadence.keep,
        )
        self.export()

    def state(self) -> dict[str, Any]:
        """What a resumed run has to know besides weights, moments and step."""
        return {
            "identity": self.identity,
            "tokens": self.tokens,
            "metrics_bytes": self.metrics.size,
            "window": {"sums": self.window.sums, "counts": self.window.counts},
            "baselines": vars(self.baselines),
            "validated": self.validated,
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on where `state()` was."""
        self.tokens = state["tokens"]
        self.validated = state["validated"]
        if self.validated:
            self.verdict = self._judge()
        self._since = (time.monotonic(), self.tokens)
        self.window = Totals(state["window"]["sums"], state["window"]["counts"])

    def _log(self, result: StepResult) -> None:
        means, now = self.window.means(), time.monotonic()
        speed = (self.tokens - self._since[1]) / max(1e-9, now - self._since[0])
        stage = self.stages.stage_of(result.step - 1)
        facts = {
            "step": result.step,
            "stage": stage,
            "loss": means["mlm_loss"] + means["sop_loss"],
            **means,
            "learning_rate": result.learning_rate,
            "gradient_norm": result.gradient_norm,
            "tokens": self.tokens,
            "tokens_per_second": round(speed, 1),
        }
        self.metrics.write("train", facts)
        self.ticker.tick(
            result.step,
            f"loss {facts['loss']:.3f} (mlm {means['mlm_loss']:.3f})  {speed:,.0f} tokens/s",
        )
        self.window, self._since = Totals(), (now, self.tokens)

    def _validate(self, step: int) -> None:
        began = time.monotonic()
        totals = validate(self.trainer.model, self, self.held_out, self.trainer.precision)
        means = totals.means()
        self.validated = {
            "step": step,
            **means,
            "mlm_count": totals.counts["mlm_loss"],
            "sop_count": totals.counts["sop_loss"],
        }
        self.metrics.write("validation", self.validated)
        self.ticker.say(
            f"held out, step {step:,}: mlm loss {means['mlm_loss']:.3f} "
            f"(unigram entropy {self.baselines.unigram_entropy:.3f}), "
            f"accuracy {means['mlm_accuracy']:.1%}; order {means['sop_accuracy']:.1%} "
            f"(bag of words {self.baselines.order_accuracy:.1%})"
        )
        self.verdict = self._judge()
        first = self.stages.settings[0]
        late = step >= first.warmup_steps + first.steps // 4
        if late and not self.verdict.learns and self._warned != self.verdict.kind:
            self.ticker.say(f"warning: {self.verdict}")
            self._warned = self.verdict.kind
        # Validation is not part of the training speed.
        self._since = (self._since[0] + time.monotonic() - began, self._since[1])

    def _judge(self) -> Verdict:
        loss, entropy = self.validated["mlm_loss"], self.baselines.unigram_entropy
        return judge(loss, entropy, self.vocab_size)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
