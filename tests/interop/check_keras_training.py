"""`fit` of the Keras models beside the torch loop: the same losses and weights, step by step.

Run by the stage `keras` of run.py with its own Python; no part of the ordinary tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from random_models import BARE, POOLED, PRETRAINING, Plan, make
from torch.nn import functional as F

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.loader import PretrainingBatch
from albertkit.keras import AlbertForPreTraining, AlbertForTaskHead
from albertkit.model.loading import build, build_task, tensors_of
from albertkit.tasks.head import TaskHead
from albertkit.text.encoding import Encoding
from albertkit.train.keras_batches import example_batches, pretraining_batches
from albertkit.train.keras_optimizer import Adam, LearningRate
from albertkit.train.losses import pretraining_loss
from albertkit.train.optim import Adam as TorchAdam
from albertkit.train.optim import (
    OptimSettings,
    ScheduleSettings,
    clip_by_global_norm,
    learning_rate,
    set_learning_rate,
)

STEPS = 20
SCHEDULE = ScheduleSettings(steps=40, peak_learning_rate=1e-3, warmup_steps=5)
HEADS = {
    "classification": (TaskHead("classification", 3), lambda r: r.integers(0, 3)),
    "multi_label": (TaskHead("multi_label", 4), lambda r: r.integers(0, 2, 4)),
    "regression": (TaskHead("regression", 1), lambda r: r.normal()),
    "multiple_choice": (TaskHead("multiple_choice", 1), lambda r: r.integers(0, 2)),
    "token_classification": (TaskHead("token_classification", 5), None),
    "span": (TaskHead("span", 2), lambda r: np.sort(r.integers(0, 4, 2))),
}


def gentle(plan: Plan) -> Checkpoint:
    """Numbers as before training: so wide as those of `make`, rounding grows from step to step."""
    checkpoint = make("learn", plan)
    shrunk = {
        name: np.float32(0.2) * x if x.ndim > 1 else np.full_like(x, name.endswith("norm.weight"))
        for name, x in checkpoint.tensors.items()
    }
    return replace(checkpoint, tensors=shrunk)


def optimizers(name: str) -> tuple[OptimSettings, bool]:
    """lamb as google's, adamw with corrected moments as in fine-tuning."""
    return OptimSettings(name=name), name == "adamw"


class Losses(keras.callbacks.Callback):
    """The loss of every step, not the running mean that Keras shows."""

    def __init__(self) -> None:
        super().__init__()
        self.sums: list[float] = [0.0]
        self.counts: list[float] = [0.0]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        tracker = self.model._loss_tracker
        self.sums.append(float(tf.convert_to_tensor(tracker.total.value)))
        self.counts.append(float(tf.convert_to_tensor(tracker.count.value)))

    @property
    def values(self) -> np.ndarray:
        return np.diff(self.sums) / np.diff(self.counts)


def learn_in_torch(model: Any, optimizer: str, losses: list[Callable[[], Any]]) -> list[float]:
    """The steps of the torch loop."""
    settings, corrected = optimizers(optimizer)
    adam = TorchAdam(model.named_parameters(), settings, bias_correction=corrected)
    found = []
    for step, loss_of in enumerate(losses):
        set_learning_rate(adam, learning_rate(step, SCHEDULE), step)
        model.zero_grad()
        loss = loss_of()
        loss.backward()
        clip_by_global_norm(model.parameters(), settings.max_gradient_norm)
        adam.step()
        found.append(loss.item())
    return found


def learn_in_keras(model: Any, optimizer: str, dataset: Any, **settings: Any) -> np.ndarray:
    """The same with fit."""
    chosen, corrected = optimizers(optimizer)
    adam = Adam(model, chosen, LearningRate(SCHEDULE), bias_correction=corrected)
    model.compile(adam, jit_compile=False, **settings)
    losses = Losses()
    model.fit(dataset, verbose=0, callbacks=[losses])
    return losses.values


def assert_same(model: Any, torch_model: Any, found: np.ndarray, expected: list[float]) -> None:
    assert len(found) == len(expected)
    assert np.mean(expected[-4:]) < np.mean(expected[:4])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    weights = model.to_checkpoint().tensors
    for name, tensor in tensors_of(torch_model).items():
        bound = 2e-4
        if name == "classifier.bias" and model.head.kind == "multiple_choice":
            # The softmax of the choices cancels it: its gradient is rounding, enlarged by Adam.
            bound = STEPS * SCHEDULE.peak_learning_rate
        np.testing.assert_allclose(weights[name], tensor, atol=bound, err_msg=name)


def pretraining_batch(seed: int) -> PretrainingBatch:
    draws = np.random.default_rng(seed)
    lengths = np.array([12, 7, 10, 12])
    starts = np.cumsum(lengths) - lengths
    positions = [
        s + draws.choice(n, n // 4, replace=False) for s, n in zip(starts, lengths, strict=True)
    ]
    places = np.sort(np.concatenate(positions))
    segments = [np.arange(n) >= n // 2 for n in lengths]
    return PretrainingBatch(
        ids=draws.integers(1, 97, lengths.sum()),
        segment_ids=np.concatenate(segments).astype(np.int64),
        lengths=lengths,
        target_positions=places,
        targets=draws.integers(0, 97, len(places)),
        swapped=draws.integers(0, 2, 4),
    )


@pytest.mark.parametrize("optimizer", ["lamb", "adamw"])
def test_pretraining(optimizer: str) -> None:
    checkpoint = gentle(Plan("pretraining", {}, PRETRAINING))
    batches = [pretraining_batch(step % 3) for step in range(STEPS)]
    loader = SimpleNamespace(batch=batches.__getitem__)
    dataset = pretraining_batches(loader, STEPS)
    model = AlbertForPreTraining._of(checkpoint, "float32")
    found = learn_in_keras(model, optimizer, dataset)
    twin = build(checkpoint).train()

    def loss_of(batch: PretrainingBatch) -> Callable[[], Any]:
        ids, segments, places, words, swapped, lengths = (
            torch.from_numpy(x)
            for x in (batch.ids, batch.segment_ids, batch.target_positions, batch.targets)
            + (batch.swapped, batch.lengths)
        )

        def loss() -> Any:
            output = twin(ids, segments, lengths=lengths, target_positions=places)
            sizes = {"step_targets": len(words), "step_rows": len(swapped)}
            logits = output.mlm_logits, output.sop_logits
            return pretraining_loss(*logits, words, swapped, **sizes).value

        return loss

    expected = learn_in_torch(twin, optimizer, [loss_of(batch) for batch in batches])
    assert_same(model, twin, found, expected)


def task_data(kind: str) -> tuple[list[Encoding], list[Any], dict[str, Any]]:
    """Eight examples of several lengths, their targets, and settings of example_batches."""
    draws = np.random.default_rng(1)
    group = 2 if kind == "multiple_choice" else 1
    lengths = draws.integers(5, 12, 8 * group)
    encodings = [
        Encoding(
            ids=draws.integers(1, 97, n).tolist(),
            segment_ids=[0] * int(n),
            offsets=[],
            word_starts=[],
        )
        for n in lengths
    ]
    if kind == "token_classification":
        tags = [draws.integers(0, 5, n) for n in lengths]
        for row in tags:
            row[0] = -100
        return encodings, tags, {"per_token": True}
    targets = [HEADS[kind][1](draws) for _ in range(8)]
    return encodings, targets, {"choices": 2} if group == 2 else {}


def torch_loss(kind: str, output: Any, y: torch.Tensor, real: torch.Tensor) -> Any:
    """The loss by torch's own functions."""
    if kind == "span":
        rows = [x.masked_fill(~real, -torch.inf) for x in (output.start, output.end)]
        pairs = zip(rows, y.T, strict=True)
        return sum(F.cross_entropy(logits, place) for logits, place in pairs) / 2
    if kind == "multi_label":
        return F.binary_cross_entropy_with_logits(output.logits, y.float())
    if kind == "regression":
        return F.mse_loss(output.logits.squeeze(-1), y)
    logits = output.logits.flatten(0, -2)
    return F.cross_entropy(logits, y.flatten())


@pytest.mark.parametrize("kind", HEADS)
def test_every_task(kind: str) -> None:
    head = HEADS[kind][0]
    values = {"classifier_dropout_prob": 0.0}
    checkpoint = gentle(Plan(kind, values, POOLED if head.needs_pooler else BARE, head))
    encodings, targets, settings = task_data(kind)
    dataset = example_batches(encodings, targets, batch_size=4, epochs=10, **settings)
    model = AlbertForTaskHead._of(checkpoint, "float32")
    found = learn_in_keras(model, "adamw", dataset)
    twin = build_task(checkpoint).train()

    def loss_of(inputs: Any, y: Any) -> Callable[[], Any]:
        batch = {name: torch.from_numpy(x.numpy()).long() for name, x in inputs.items()}
        y = torch.from_numpy(y.numpy())
        y = y if y.is_floating_point() else y.long()
        real = torch.arange(batch["ids"].shape[-1]) < batch["lengths"][..., None]
        batch = {name: x for name, x in batch.items() if name != "lengths"}
        return lambda: torch_loss(kind, twin(**batch, mask=real), y, real)

    expected = learn_in_torch(twin, "adamw", [loss_of(x, y) for x, y in dataset])
    assert len(expected) == STEPS
    assert_same(model, twin, found, expected)


def test_a_loss_and_metrics_of_ones_own() -> None:
    head = HEADS["classification"][0]
    checkpoint = gentle(Plan("classification", {}, POOLED, head))
    model = AlbertForTaskHead._of(checkpoint, "float32")
    encodings, targets, _ = task_data("classification")
    dataset = example_batches(encodings, targets, batch_size=8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss, metrics=["accuracy"])
    theirs = model.evaluate(dataset, verbose=0, return_dict=True)
    model.compile("sgd", metrics=["accuracy"])
    ours = model.evaluate(dataset, verbose=0, return_dict=True)
    assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
    assert ours["accuracy"] == theirs["accuracy"]


def test_half_precision_learns_and_keeps_weights_in_float32() -> None:
    head = HEADS["classification"][0]
    checkpoint = gentle(Plan("classification", {}, POOLED, head))
    encodings, targets, _ = task_data("classification")
    dataset = example_batches(encodings, targets, batch_size=4, epochs=6)
    model = AlbertForTaskHead._of(checkpoint, "mixed_bfloat16")
    losses = learn_in_keras(model, "adamw", dataset)
    assert np.isfinite(losses).all()
    assert losses[-4:].mean() < losses[:4].mean()
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}


TWO_DEVICES = """
import numpy as np, tensorflow as tf, sys
cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import check_keras_training as check
from albertkit.train.keras_batches import example_batches
checkpoint = check.gentle(check.Plan("classification", {"classifier_dropout_prob": 0.0},
    check.POOLED, check.HEADS["classification"][0]))
encodings, targets, _ = check.task_data("classification")
data = lambda: example_batches(encodings, targets, batch_size=4, epochs=5)
one = check.AlbertForTaskHead._of(checkpoint, "float32")
alone = check.learn_in_keras(one, "lamb", data())
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    two = check.AlbertForTaskHead._of(checkpoint, "float32")
    together = check.learn_in_keras(two, "lamb", data())
np.testing.assert_allclose(together, alone, atol=1e-4)
for name, tensor in one.to_checkpoint().tensors.items():
    np.testing.assert_allclose(two.to_checkpoint().tensors[name], tensor, atol=2e-4, err_msg=name)
"""


def test_two_devices_learn_as_one() -> None:
    done = subprocess.run([sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
