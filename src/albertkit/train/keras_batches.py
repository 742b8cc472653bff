"""The package's own batches as a `tf.data.Dataset`, padded, for `fit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from albertkit.data.batch import Batch
from albertkit.data.loader import PretrainingBatch, PretrainingLoader
from albertkit.data.padded import Padded
from albertkit.data.row_batches import RowBatches
from albertkit.text.encoding import Encoding
from albertkit.train.keras_losses import IGNORED


def pretraining_batches(loader: PretrainingLoader, steps: int, *, start: int = 0) -> Any:
    """Steps `start` to `steps` of a loader: inputs, and (words (B, M), swapped (B,)).

    M is the most predicted tokens of a row of the batch; shorter rows are filled up with -100.
    """
    integers = tf.TensorSpec([None, None], tf.int32)
    inputs = {**_specs(2), "target_positions": integers}
    targets = (integers, tf.TensorSpec([None], tf.int32))
    return _dataset(
        lambda: (pretraining_arrays(loader.batch(step)) for step in range(start, steps)),
        (inputs, targets),
    )


def pretraining_arrays(batch: PretrainingBatch) -> tuple[dict[str, Any], tuple[Any, Any]]:
    """One batch of a loader as arrays, see `pretraining_batches`."""
    row = np.searchsorted(np.cumsum(batch.lengths), batch.target_positions, side="right")
    counts = np.bincount(row, minlength=len(batch))
    column = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    shape = (len(batch), max(1, int(counts.max(initial=0))))
    places, words = np.zeros(shape, np.int32), np.full(shape, IGNORED, np.int32)
    places[row, column] = batch.target_positions - batch.starts[row]
    words[row, column] = batch.targets
    inputs = {**_inputs(batch), "target_positions": places}
    return inputs, (words, batch.swapped.astype(np.int32))


def example_batches(
    encodings: Sequence[Encoding],
    targets: Sequence[Any] | np.ndarray,
    *,
    batch_size: int = 32,
    epochs: int = 1,
    seed: int = 0,
    choices: int | None = None,
    per_token: bool = False,
) -> Any:
    """Examples of a task in an order that seed and epoch decide: inputs and targets.

    Args:
        encodings: what a tokenizer's `encode` gave for each text, or for each choice.
        targets: one for each example, as `fit` wants them.
        batch_size: examples of a step; the last step of an epoch may be smaller.
        epochs: how often all are gone through; so `fit` needs no epochs of its own.
        seed: where the order begins.
        choices: options of each question; their encodings follow one another.
        per_token: each target is a row, one for each token, filled up with -100.
    """
    group = choices or 1
    lengths = np.array([len(e.ids) for e in encodings], np.int64).reshape(-1, group)
    rows = RowBatches(lengths.sum(1), batch_size, seed)
    first = np.asarray(targets[0])

    def batches() -> Iterator[tuple[dict[str, Any], Any]]:
        for epoch in range(epochs):
            for indices in rows.epoch(epoch):
                chosen = (indices[:, None] * group + np.arange(group)).reshape(-1).tolist()
                inputs = _inputs(Batch.of([encodings[i] for i in chosen]))
                if choices is not None:
                    inputs = {n: x.reshape(-1, group, *x.shape[1:]) for n, x in inputs.items()}
                some = [np.asarray(targets[i]) for i in indices]
                width = inputs["ids"].shape[-1]
                yield inputs, _filled(some, width) if per_token else np.stack(some)

    kind = tf.float32 if first.dtype.kind == "f" else tf.int32
    spec = tf.TensorSpec([None] * (first.ndim + 1), kind)
    return _dataset(batches, (_specs(2 if choices is None else 3), spec))


def _filled(rows: list[Any], width: int) -> Any:
    """Rows of several lengths as one array, -100 at their ends."""
    whole = np.full((len(rows), width), IGNORED, np.int32)
    for number, row in enumerate(rows):
        whole[number, : len(row)] = row
    return whole


def _inputs(batch: Batch) -> dict[str, Any]:
    padded = Padded.of(batch)
    ids, segments = (x.astype(np.int32) for x in (padded.ids, padded.segment_ids))
    return {"ids": ids, "segment_ids": segments, "lengths": batch.lengths.astype(np.int32)}


def _specs(axes: int) -> dict[str, Any]:
    shapes = {"ids": axes, "segment_ids": axes, "lengths": axes - 1}
    return {name: tf.TensorSpec([None] * each, tf.int32) for name, each in shapes.items()}


def _dataset(make: Callable[[], Iterator[Any]], specs: Any) -> Any:
    dataset = tf.data.Dataset.from_generator(make, output_signature=specs)
    return dataset.prefetch(2)
