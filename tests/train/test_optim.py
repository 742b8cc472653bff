"""The optimizers equal the original programs, step by step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from albertkit.train.optim import (
    Adam,
    OptimSettings,
    ScheduleSettings,
    clip_by_global_norm,
    learning_rate,
    set_learning_rate,
    slots_of,
)

GOOGLE = ["LayerNorm", "layer_norm", "bias"]
CASES = {
    "google_lamb": OptimSettings(no_weight_decay=GOOGLE, no_trust_ratio=GOOGLE),
    "google_lamb_separate_exclusions": OptimSettings(
        no_weight_decay=GOOGLE, no_trust_ratio=["word_embeddings"]
    ),
    "google_adamw": OptimSettings(name="adamw", no_weight_decay=GOOGLE),
    "brightmart_lamb": OptimSettings(no_weight_decay=GOOGLE, no_trust_ratio=[]),
    "brightmart_adamw": OptimSettings(name="adamw", no_weight_decay=GOOGLE),
}
FILES = [
    f"{name}_{way}"
    for name in CASES
    for way in ("raw", "scheduled_clipped")
    if (name, way) != ("google_lamb_separate_exclusions", "scheduled_clipped")
]


@pytest.mark.parametrize("file", FILES)
def test_twenty_steps_equal_the_original_optimizer(golden: Path, file: str) -> None:
    folder = golden / "lamb"
    meta = json.loads((folder / "meta.json").read_text())
    expected, gradients = np.load(folder / f"{file}.npz"), np.load(folder / "gradients.npz")
    start = np.load(folder / "initial_values.npz")
    parameters = {name: nn.Parameter(torch.tensor(start[name])) for name in meta["variables"]}
    name, clipped = file.removesuffix("_raw").removesuffix("_scheduled_clipped"), "clipped" in file
    optimizer = Adam(parameters.items(), CASES[name])
    moments = ("lamb_m", "lamb_v") if name == "brightmart_lamb" else ("adam_m", "adam_v")
    has_moments = any(key.endswith(f"/{moments[0]}") for key in expected)
    for step in range(meta["steps"]):
        for key, parameter in parameters.items():
            parameter.grad = torch.tensor(gradients[key][step])
        if clipped:
            clip_by_global_norm(parameters.values(), 1.0)
        set_learning_rate(optimizer, float(expected["learning_rate"][step]))
        optimizer.step()
        slots = slots_of(optimizer, parameters.items())
        for key, parameter in parameters.items():
            _close(parameter.detach(), expected[key][step], f"{key} after step {step}")
            if has_moments:
                _close(slots[f"mean.{key}"], expected[f"{key}/{moments[0]}"][step], key)
                _close(slots[f"mean_square.{key}"], expected[f"{key}/{moments[1]}"][step], key)
    assert has_moments or clipped


def _close(found: torch.Tensor, expected: np.ndarray, what: str) -> None:
    assert np.abs(found.numpy() - expected).max(initial=0) <= 1e-6, what


def test_the_learning_rate_equals_the_original_schedule(golden: Path) -> None:
    cases = json.loads((golden / "lamb" / "learning_rate_schedules.json").read_text())
    assert len(cases) == 6
    for case in cases:
        settings = ScheduleSettings(
            steps=case["num_train_steps"],
            peak_learning_rate=case["init_lr"],
            warmup_steps=case["num_warmup_steps"],
            decay_power=case["poly_power"],
            start_warmup_step=case["start_warmup_step"],
        )
        for step, expected in zip(case["steps"], case["lr"], strict=True):
            # Ours is never negative: docs/differences.md.
            expected = max(expected, 0.0)
            assert learning_rate(step, settings) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_the_rate_jumps_down_where_the_warm_up_ends() -> None:
    settings = ScheduleSettings(steps=100, peak_learning_rate=1.0, warmup_steps=10)
    assert [learning_rate(step, settings) for step in (0, 5, 9, 10, 50, 100, 200)] == [
        0.0, 0.5, 0.9, 0.9, 0.5, 0.0, 0.0,
    ]  # fmt: skip


def test_clipping_scales_all_gradients_by_one_number() -> None:
    a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    a.grad, b.grad = torch.tensor([3.0]), torch.tensor([4.0])
    assert clip_by_global_norm([a, b], 10.0) == pytest.approx(5.0)
    assert (float(a.grad), float(b.grad)) == (3.0, 4.0)
    assert clip_by_global_norm([a, b], 1.0) == pytest.approx(5.0)
    assert (float(a.grad), float(b.grad)) == pytest.approx((0.6, 0.8))
    a.grad = torch.tensor([float("nan")])
    assert np.isnan(clip_by_global_norm([a, b], 1.0))


def test_with_bias_correction_it_is_the_adamw_of_torch() -> None:
    torch.manual_seed(0)
    start = {"weight": torch.randn(7, 5), "bias": torch.randn(5), "unused.weight": torch.randn(3)}
    own, theirs = ({n: nn.Parameter(x.clone()) for n, x in start.items()} for _ in range(2))
    groups = [
        {"params": [theirs["weight"], theirs["unused.weight"]], "weight_decay": 0.01},
        {"params": [theirs["bias"]], "weight_decay": 0.0},
    ]
    peer = torch.optim.AdamW(groups, lr=0.0, eps=1e-6, foreach=False, fused=False)
    optimizer = Adam(own.items(), OptimSettings(name="adamw"), bias_correction=True)
    for step in range(20):
        for name in ("weight", "bias"):
            own[name].grad = torch.randn_like(start[name])
            theirs[name].grad = own[name].grad.clone()
        for group in peer.param_groups:
            group["lr"] = 0.01 / (1 + step)
        set_learning_rate(optimizer, 0.01 / (1 + step), step)
        optimizer.step()
        peer.step()
    for name, parameter in own.items():
        torch.testing.assert_close(parameter, theirs[name])
    assert torch.equal(own["unused.weight"], start["unused.weight"])
