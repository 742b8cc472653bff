"""The task of a pretraining run: masked words and sentence order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from albertkit.train.baselines import Baselines
from albertkit.train.figures import figures
from albertkit.train.health import Verdict, judge
from albertkit.train.losses import Loss, pretraining_loss
from albertkit.train.prepare import PreparedRun
from albertkit.train.stages import MicroBatch, Stages
from albertkit.train.validation import ValidationSet, validate


@dataclass
class PretrainingTask:
    """Masked-LM and sentence order: batches, losses, and what their held-out figures mean."""

    prepared: PreparedRun
    stages: Stages
    validation_set: ValidationSet
    baselines: Baselines
    replay_set: ValidationSet | None = None  # held-out rows of the text that is replayed

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return self.stages.steps

    @property
    def goes_on(self) -> bool:
        """Whether the run goes on from a model."""
        return self.prepared.origin is not None

    def micro_batches(self, step: int, device: torch.device) -> Sequence[MicroBatch]:
        """Micro-batches of a step."""
        return self.stages.micro_batches(step, device)

    def loss(self, model: nn.Module, micro_batch: MicroBatch) -> Loss:
        """Masked-LM and sentence-order loss of one micro-batch."""
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

    def validate(self, model: nn.Module, precision: str, step: int) -> dict[str, Any]:
        """Means over the held-out rows, and the counts they were taken over.

        Those of the replayed text have "replay_" in front.
        """
        found = _figures_on(self.validation_set, self, model, precision)
        if self.replay_set is not None:
            other = _figures_on(self.replay_set, self, model, precision)
            found |= {f"replay_{name}": value for name, value in other.items()}
        return found

    def validation_summary(self, validated: Mapping[str, Any]) -> str:
        """Each figure beside its baseline."""
        parts = [
            f"{figure.title} {figure.text} ({figure.baseline_name} {figure.baseline_text})"
            for figure in figures(validated, self.baselines)
            if figure.name != "sop_loss"
        ]
        if "replay_mlm_loss" in validated:
            parts.append(f"replayed text: masked-LM loss {validated['replay_mlm_loss']:.3f}")
        return "; ".join(parts)

    def judge(self, validated: Mapping[str, Any], before: Mapping[str, Any]) -> Verdict:
        """Whether the masked-LM loss is below what word frequencies alone would give.

        And, where the run goes on from a model, not above what it was before.
        """
        config = self.prepared.config
        return judge(
            validated["mlm_loss"],
            self.baselines.unigram_entropy,
            config.vocab_size,
            before=before.get("mlm_loss"),
            num_layers=config.num_hidden_layers,
        )

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

    @property
    def kept(self) -> Mapping[str, Tensor]:
        """Nothing: the model is that of the last step."""
        return {}


def _figures_on(
    rows: ValidationSet, task: PretrainingTask, model: nn.Module, precision: str
) -> dict[str, Any]:
    totals = validate(model, task, rows, precision)
    counts = {
        name.replace("_loss", "_count"): count
        for name, count in totals.counts.items()
        if name.endswith("_loss")
    }
    return {**totals.means(), **counts}
