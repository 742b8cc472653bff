"""LAMB and AdamW of `optim.py` for models of Keras: the same formulas, numbers and settings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from albertkit.model.keras_calls import AlbertKerasModel
from albertkit.model.keras_loading import parameters
from albertkit.train.optim import OptimSettings, ScheduleSettings

Tensor = Any


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """`optim.learning_rate` of a step, the first being 0."""

    def __init__(self, settings: ScheduleSettings) -> None:
        super().__init__()
        self.settings = settings

    def __call__(self, step: Tensor) -> Tensor:
        """The rate as a scalar."""
        chosen = self.settings
        step = ops.cast(step, "float32")
        since = step - chosen.start_warmup_step
        warm = chosen.peak_learning_rate * ops.maximum(since, 0.0) / max(chosen.warmup_steps, 1)
        left = 1 - ops.minimum(step, float(chosen.steps)) / chosen.steps
        decayed = chosen.peak_learning_rate * left**chosen.decay_power
        return ops.where(since < chosen.warmup_steps, warm, decayed)


class Adam(keras.optimizers.Optimizer):
    """The update of both optimizers, see `optim.Adam`.

    model: its parameters' names say which of them decay and have a trust ratio. learning_rate: a
    number, or a schedule such as `LearningRate`.
    """

    def __init__(
        self,
        model: AlbertKerasModel,
        settings: OptimSettings,
        learning_rate: float | LearningRate,
        *,
        bias_correction: bool = False,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=settings.name)
        self.settings = settings
        self.bias_correction = bias_correction
        self.layerwise = settings.name == "lamb"
        self._names = {id(variable): name for name, variable in parameters(model)}
        self._order: list[str] = []  # names of the variables in the order of their moments

    def build(self, variables: list[Any]) -> None:
        """Make both moments of each variable."""
        if self.built:
            return
        super().build(variables)
        self._order = [self._names.get(id(variable), variable.name) for variable in variables]
        self._mean, self._square = self.add_optimizer_variables(variables, ["mean", "mean_square"])

    def apply(self, grads: list[Tensor], trainable_variables: Iterable[Any] | None = None) -> None:
        """Clip to the norm of the whole batch, and update.

        Gradients of tables come as rows, one for each id of the batch: they are added up first,
        since neither norms nor squares can be taken of parts. Keras clips the gradients of each
        device by themselves; here the factor is that of their sum.
        """
        grads = [None if g is None else tf.convert_to_tensor(g) for g in grads]
        if self.settings.max_gradient_norm:
            factor = _clip_factor([g for g in grads if g is not None], self.settings)
            grads = [None if g is None else g * tf.cast(factor, g.dtype) for g in grads]
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """One update of one variable."""
        index = self._get_variable_index(variable)
        first, second = self._mean[index], self._square[index]
        dtype, chosen = variable.dtype, self.settings
        gradient, rate = ops.cast(gradient, dtype), ops.cast(learning_rate, dtype)
        self.assign_add(first, (gradient - first) * (1 - chosen.beta_1))
        self.assign_add(second, (ops.square(gradient) - second) * (1 - chosen.beta_2))
        mean, square = ops.convert_to_tensor(first), ops.convert_to_tensor(second)
        if self.bias_correction:
            updates = ops.cast(self.iterations + 1, dtype)
            mean = mean / _gathered(chosen.beta_1, updates)
            square = square / _gathered(chosen.beta_2, updates)
        update = mean / (ops.sqrt(square) + chosen.epsilon)
        name = self._order[index]
        weight = ops.convert_to_tensor(variable)
        if not _matches(chosen.no_weight_decay, name):
            update = update + chosen.weight_decay * weight
        if self.layerwise and not _matches(chosen.no_trust_ratio, name):
            update = update * _trust_ratio(weight, update)
        self.assign_sub(variable, rate * update)


def _gathered(beta: float, updates: Tensor) -> Tensor:
    """1 - beta ** updates, exact also where that is near 0 in float32."""
    return -ops.expm1(updates * math.log(beta)) if beta else ops.ones_like(updates)


def _clip_factor(grads: list[Tensor], settings: OptimSettings) -> Tensor:
    """What brings the norm of all gradients, of all devices together, to the largest allowed."""
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        grads = replica.all_reduce(tf.distribute.ReduceOp.SUM, grads)
    norm = tf.linalg.global_norm(grads)
    largest = settings.max_gradient_norm
    return tf.where((norm > largest) & tf.math.is_finite(norm), largest / norm, 1.0)


def _matches(patterns: list[str], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def _trust_ratio(weight: Tensor, update: Tensor) -> Tensor:
    weight_norm, update_norm = (ops.sqrt(ops.sum(ops.square(x))) for x in (weight, update))
    there = ops.logical_and(weight_norm > 0, update_norm > 0)
    return ops.where(there, weight_norm / ops.where(there, update_norm, 1.0), 1.0)
