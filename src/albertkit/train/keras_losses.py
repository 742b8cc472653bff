"""What `fit` makes smaller: the losses of `losses.py` and `task_losses.py` for models of Keras."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from albertkit.errors import TrainingError
from albertkit.model.keras_twin import real_tokens
from albertkit.model.outputs import PretrainingOutput, TaskOutput

Tensor = Any
IGNORED = -100  # the loss leaves these targets out, as in PyTorch: padding, later pieces of a word
_SOME = 1e-5  # as in losses.py


class HeadLossMixin(keras.Model):
    """`compile(optimizer)` and `fit` with the loss of the model's own heads.

    Targets of `fit`, y: classes (B,), for multi_label (B, C) of 0 and 1, numbers (B,) for
    regression, the right choice (B,), classes of tokens (B, T), start and end of an answer (B, 2).
    Pretraining: (words (B, M), swapped (B,)), or words alone, of the `target_positions` (B, M) in
    the batch; without these, words (B, T). Targets of -100 are ignored. A loss that is given to
    compile replaces this one, and gets the logits.
    """

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Loss of a batch, a scalar; each of several devices gives its share, as Keras' losses."""
        if self._compile_loss is not None:
            return super().compute_loss(x, y, main_logits(y_pred), sample_weight, training)
        strategy = getattr(self, "distribute_strategy", None)  # TensorFlow's
        devices = 1 if strategy is None else strategy.num_replicas_in_sync
        return self._own_loss(x, y, y_pred, sample_weight) / devices

    def _own_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> Tensor:
        if isinstance(y_pred, PretrainingOutput):
            return pretraining_loss(y_pred, y)
        if not isinstance(y_pred, TaskOutput):
            raise _no_loss("the body of a model", "pass a loss to compile")
        if y_pred.beam is not None:
            raise _no_loss("a head for beam_span", "train it with finetune('span', ...)")
        if y_pred.start is not None:
            return weighted_mean(span_losses(y_pred, y, real_of(x, y_pred.start)), sample_weight)
        return task_loss(self.head.traits.loss, y_pred, y, sample_weight)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Metrics of compile, on the logits."""
        result: dict[str, Any] = super().compute_metrics(x, y, main_logits(y_pred), sample_weight)
        return result


def _no_loss(found: str, fix: str) -> TrainingError:
    return TrainingError(
        "This model has no loss of its own in Keras.",
        expected="pretraining heads, or the head of a task",
        found=found,
        fix=fix,
    )


def main_logits(output: Any) -> Any:
    """What targets are compared with; (B, 2, T) for start and end of an answer."""
    if isinstance(output, PretrainingOutput):
        return output.mlm_logits
    if not isinstance(output, TaskOutput):
        return output.hidden
    if output.logits is not None:
        return output.logits
    if output.start is not None:
        return ops.stack([output.start, output.end], 1)
    return None if output.beam is None else output.beam.starts


def pretraining_loss(output: PretrainingOutput, y: Any) -> Tensor:
    """Masked-LM loss, plus that of sentence order where the model and the targets have it."""
    words, swapped = y if isinstance(y, tuple | list) else (y, None)
    each, counts = cross_entropy(output.mlm_logits, words)
    loss = ops.sum(each) / (ops.sum(counts) + _SOME)
    if output.sop_logits is None or swapped is None:
        return loss
    order, _ = cross_entropy(output.sop_logits, swapped)
    return loss + ops.mean(order)


def task_loss(name: str, output: TaskOutput, y: Tensor, weights: Tensor | None) -> Tensor:
    """Mean over the targets that there are. name: column `loss` of tasks.kinds."""
    logits = ops.cast(main_logits(output), "float32")
    if name == "binary_cross_entropy":
        soft = ops.cast(y, "float32")
        each = ops.mean(ops.binary_crossentropy(soft, logits, from_logits=True), -1)
        counts = ops.ones_like(each)
    elif name == "mean_squared_error":
        each = ops.square(ops.squeeze(logits, -1) - ops.cast(y, "float32"))
        counts = ops.ones_like(each)
    else:
        each, counts = cross_entropy(logits, y)
    if weights is not None:
        each, counts = each * weights, counts * weights
    return ops.sum(each) / ops.sum(counts)


def real_of(x: Any, logits: Tensor) -> Tensor | None:
    """Where tokens of logits (B, T) stand, by the mask or lengths of a batch; None: everywhere."""
    given = x if isinstance(x, dict) else {}
    if "lengths" in given:
        return real_tokens(logits, None, given["lengths"])
    mask = given.get("mask", given.get("attention_mask"))
    return None if mask is None else ops.not_equal(ops.cast(mask, "int32"), 0)


def span_losses(output: TaskOutput, y: Tensor, real: Tensor | None) -> Tensor:
    """Mean (B,) of -log p of start and of end among the tokens that stand in the row."""
    found = []
    for number, logits in enumerate((output.start, output.end)):
        logits = ops.cast(logits, "float32")
        logits = logits if real is None else ops.where(real, logits, -1e30)
        found.append(cross_entropy(logits, y[:, number])[0])
    return (found[0] + found[1]) / 2


def weighted_mean(each: Tensor, weights: Tensor | None) -> Tensor:
    """Mean over rows."""
    return ops.mean(each) if weights is None else ops.sum(each * weights) / ops.sum(weights)


def cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """-log p of each target (...,), logits (..., C), and 1 where there is one, else 0."""
    there = ops.not_equal(targets, IGNORED)
    logs = ops.log_softmax(ops.cast(logits, "float32"))
    index = ops.where(there, targets, 0)[..., None]
    each = -ops.squeeze(ops.take_along_axis(logs, ops.cast(index, "int32"), axis=-1), -1)
    counts = ops.cast(there, "float32")
    return each * counts, counts
