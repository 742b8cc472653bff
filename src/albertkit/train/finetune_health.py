"""Does a fine-tuned model learn? Constant answers, a loss that knows the labels' frequencies only.

The most frequent complaint about ALBERT is a run that does not move. What can be seen is a fact;
the likely cause is the first of some known ones that the run shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from albertkit.checkpoint.formats.memory_map import Array
from albertkit.train.health import Verdict

# A constant answer has the loss of the label frequencies; this much better is not constant.
CLEARLY_BETTER = 0.01
_TOO_HIGH, _TOO_LOW = 3.0, 0.1  # times the usual rate for a model of this size
_FEW_STEPS = 60


@dataclass(frozen=True)
class RunFacts:
    """What a run was begun with, as far as it explains that it does not learn."""

    untrained: bool  # the model's numbers are those of an initialisation
    new: tuple[str, ...]  # parts of the model that were made new, besides the head
    dropout: float  # in the layers
    learning_rate: float
    usual_rate: float
    steps: int
    seed: int
    answers: bool = False  # it learns answers to questions, not labels


@dataclass(frozen=True)
class Baseline:
    """What the best constant answer reaches on the held-out examples."""

    loss: float  # entropy of the labels (nats), or their variance; of answers any place alike
    metric: float  # of the figure that decides


def is_untrained(tensors: Mapping[str, Array]) -> bool:
    """Whether every normalisation is exactly 1 and 0, as no training leaves it."""
    norms = [name for name in tensors if ".norm." in name or "_norm." in name]
    return bool(norms) and all(
        bool(np.all(tensors[name] == (1.0 if name.endswith("weight") else 0.0))) for name in norms
    )


def judge_task(validated: Mapping[str, Any], baseline: Baseline, facts: RunFacts) -> Verdict:
    """Compare held-out figures with those of a constant answer.

    validated: loss, metric (the name of the figure that decides), that figure, its count, and
    distinct_predictions: how many different answers were given. A figure is beaten by more than
    chance gives: one over the root of the count, about two standard deviations of a share.
    """
    loss, name = validated["loss"], validated["metric"]
    said = f"held-out loss {loss:.3f}, of the best constant answer {baseline.loss:.3f}"
    beaten = False
    if name != "loss":
        said += f"; {name} {validated[name]:.3f}, of a constant answer {baseline.metric:.3f}"
        beaten = validated[name] > baseline.metric + 1 / math.sqrt(validated["count"])
    if validated["distinct_predictions"] <= 1:
        kind, what = "constant output", "The model gives every text the same answer"
    elif loss > 2 * baseline.loss and not beaten:
        kind, what = "diverges", "The model is far worse than a constant answer"
    elif loss > baseline.loss * (1 - CLEARLY_BETTER) and not beaten:
        kind, what = "label frequencies only", "The model knows the frequencies of the labels only"
        if facts.answers:
            what = "The model answers no better than who does not read the question"
    else:
        return Verdict("learns", f"The model learns: {said}.")
    cause, fix = likely_cause(facts)
    return Verdict(kind, f"{what}: {said}.", cause, fix)


def likely_cause(facts: RunFacts) -> tuple[str, str]:
    """The first known cause that a run shows, and what to do about it."""
    if facts.untrained:
        return (
            "the weights were never trained: every normalisation is exactly 1 and 0, as a new "
            "model has it",
            "check that the right checkpoint was loaded; albertkit/tiny-en and albertkit/tiny-zh "
            "are trained",
        )
    if facts.new:
        return (
            f"the checkpoint has no {', '.join(facts.new)}, so that begins with random numbers",
            "take a checkpoint that has it, or train for more epochs",
        )
    if facts.dropout > 0:
        return (
            f"dropout is {facts.dropout:g} in the layers; ALBERT v2 was trained without",
            "set model.hidden_dropout and model.attention_dropout to 0",
        )
    rate = f"the learning rate {facts.learning_rate:g}"
    if facts.learning_rate > _TOO_HIGH * facts.usual_rate:
        return (
            f"{rate} is high for a model of this size (usual: {facts.usual_rate:g})",
            f"set schedule.learning_rate to {facts.usual_rate:g}",
        )
    if facts.learning_rate < _TOO_LOW * facts.usual_rate:
        return (
            f"{rate} is low for a model of this size (usual: {facts.usual_rate:g})",
            f"set schedule.learning_rate to {facts.usual_rate:g}",
        )
    if facts.steps < _FEW_STEPS:
        return (
            f"{facts.steps:,} steps are few",
            "train for more epochs, or give more examples",
        )
    if facts.answers:
        return (
            "some seeds fail, small data most of all: some thousand questions make a reader",
            f"set run.seed to {facts.seed + 1}, or give more questions",
        )
    return (
        "some seeds fail, small data most of all; or the texts do not show the label",
        f"set run.seed to {facts.seed + 1}, or check the label column",
    )
