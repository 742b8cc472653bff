"""A fine-tuned model that does not learn: what is seen, and the first cause that explains it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.train.finetune_health import Baseline, RunFacts, is_untrained, judge_task
from albertkit.train.finetune_prepare import height_below_head, usual_epochs, usual_rate

GOOD = RunFacts(
    untrained=False, new=(), dropout=0.0, learning_rate=2e-5, usual_rate=2e-5, steps=1000, seed=0
)
HALVES = Baseline(loss=0.693, metric=0.5)


def figures(loss: float, accuracy: float, distinct: int = 2) -> dict[str, Any]:
    return {
        "loss": loss,
        "accuracy": accuracy,
        "metric": "accuracy",
        "count": 100,
        "distinct_predictions": distinct,
    }


@pytest.mark.parametrize(
    ("loss", "accuracy", "distinct", "kind"),
    [
        (0.4, 0.8, 2, "learns"),
        (1.5, 0.8, 2, "learns"),  # too sure of itself, and right
        (0.6, 0.55, 2, "learns"),
        (0.693, 0.5, 1, "constant output"),
        (0.691, 0.55, 2, "label frequencies only"),  # 0.1 is two standard deviations of 100 cases
        (1.5, 0.5, 2, "diverges"),
    ],
)
def test_figures_beside_those_of_a_constant_answer(
    loss: float, accuracy: float, distinct: int, kind: str
) -> None:
    verdict = judge_task(figures(loss, accuracy, distinct), HALVES, GOOD)
    assert verdict.kind == kind
    assert bool(verdict.cause) == bool(verdict.fix) == (kind != "learns")


@pytest.mark.parametrize(
    ("change", "cause", "fix"),
    [
        ({"untrained": True, "dropout": 0.1}, "never trained", "right checkpoint"),
        ({"new": ("pooler",)}, "no pooler", "has it"),
        ({"dropout": 0.1, "learning_rate": 1e-3}, "v2 was trained without", "hidden_dropout"),
        ({"learning_rate": 1e-3}, "0.001 is high", "learning_rate to 2e-05"),
        ({"learning_rate": 1e-7}, "1e-07 is low", "learning_rate to 2e-05"),
        ({"steps": 20}, "20 steps are few", "more epochs"),
        ({}, "some seeds fail", "run.seed to 1"),
    ],
)
def test_the_likely_cause_is_the_first_that_the_run_shows(
    change: dict[str, Any], cause: str, fix: str
) -> None:
    verdict = judge_task(figures(0.693, 0.5, 1), HALVES, replace(GOOD, **change))
    assert cause in verdict.cause
    assert fix in verdict.fix


def test_weights_of_an_initialisation_are_recognised(tiny_model: Path) -> None:
    random = dict(Checkpoint.load(tiny_model / "model").tensors)
    assert is_untrained(random)
    name = "albert.embeddings.norm.bias"
    assert not is_untrained({**random, name: random[name] + np.float32(1e-3)})
    assert not is_untrained(Checkpoint.load("albertkit/tiny-en").tensors)


def test_few_examples_are_trained_on_for_more_epochs() -> None:
    assert [usual_epochs(steps) for steps in (1, 7, 33, 34, 5000)] == [20, 15, 4, 3, 3]


def test_rates_by_width_and_parts_below_the_head() -> None:
    assert [usual_rate(width) for width in (4096, 2048, 1024, 768, 312)] == [
        1e-5, 1e-5, 2e-5, 2e-5, 3e-4,
    ]  # fmt: skip
    config = AlbertConfig(vocab_size=30, num_hidden_layers=4, num_hidden_groups=2)
    heights = {
        name: height_below_head(name, config)
        for name in (
            "classifier.weight",
            "albert.pooler.bias",
            "albert.encoder.attention.1.0.query.weight",
            "albert.encoder.feed_forward.0.0.up.bias",
            "albert.embeddings.word.weight",
        )
    }
    assert list(heights.values()) == [0, 0, 1, 2, 3]
