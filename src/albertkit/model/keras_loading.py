"""Between a checkpoint (numbers in memory) and models of Keras."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.model.checks import require_masked_lm, require_task_head
from albertkit.model.keras_calls import AlbertKerasModel
from albertkit.model.keras_heads import AlbertForPretraining, AlbertForTask
from albertkit.model.keras_twin import Albert

# What Keras' layers call the parameters that a checkpoint calls weight and bias.
PARAMETERS: dict[type, dict[str, str]] = {
    layers.Dense: {"weight": "kernel", "bias": "bias"},
    layers.LayerNormalization: {"weight": "gamma", "bias": "beta"},
    layers.Embedding: {"weight": "embeddings"},
}
ATTRIBUTES = {"output_map": "output"}  # every layer of Keras has an `output` already


def parameters(part: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Names as in a checkpoint, which are paths of attributes, and the variables.

    A Dense has its weight the other way round, see `is_transposed`.
    """
    names = PARAMETERS.get(type(part))
    if names is not None:
        found = {name: getattr(part, attribute) for name, attribute in names.items()}
    elif isinstance(part, dict):
        found = dict(part)
    elif isinstance(part, list):
        found = {str(number): inner for number, inner in enumerate(part)}
    elif isinstance(part, layers.Layer):
        found = {
            ATTRIBUTES.get(name, name): inner
            for name, inner in vars(part).items()
            if not name.startswith("_") and isinstance(inner, HOLDERS)
        }
    else:
        found = {}
    for name, inner in found.items():
        if isinstance(inner, keras.Variable):
            yield place + name, inner
        else:
            yield from parameters(inner, f"{place}{name}.")


HOLDERS = (layers.Layer, keras.Variable, dict, list)


def is_transposed(variable: Any) -> bool:
    """Whether a checkpoint has this matrix as (out, in): the kernel of a Dense."""
    return bool(variable.name == "kernel")


def fill(model: AlbertKerasModel, tensors: dict[str, np.ndarray], place: str = "") -> None:
    """Give every parameter its numbers; tensors of other heads are left out.

    place: name of the model inside the whole, with a dot.
    """
    for name, variable in parameters(model, place):
        numbers = tensors[name]
        variable.assign(numbers.T if is_transposed(variable) else numbers)


def tensors_of(model: AlbertKerasModel) -> dict[str, np.ndarray]:
    """Copies of a model's parameters under the names of a checkpoint, in float32."""
    prefix = "albert." if isinstance(model, Albert) else ""
    found = {}
    for name, variable in parameters(model, prefix):
        numbers = np.array(keras.ops.convert_to_numpy(variable), np.float32)
        found[name] = np.ascontiguousarray(numbers.T) if is_transposed(variable) else numbers
    return found


def build(checkpoint: Checkpoint, kind: type[AlbertForPretraining] = AlbertForPretraining) -> Any:
    """Body and pretraining heads with the checkpoint's numbers. kind: class of the model.

    Raises:
        CheckpointError: the checkpoint has no masked-LM head.
    """
    require_masked_lm(checkpoint)
    model = kind(
        checkpoint.config,
        sentence_order=checkpoint.has_sentence_order,
        pooler=checkpoint.has_pooler,
    )
    fill(model, checkpoint.tensors)
    return model


def build_body(checkpoint: Checkpoint, kind: type[Albert] = Albert) -> Albert:
    """The body alone with the checkpoint's numbers; heads are left out."""
    model = kind(checkpoint.config, pooler=checkpoint.has_pooler)
    fill(model, checkpoint.tensors, "albert.")
    return model


def build_task(
    checkpoint: Checkpoint, body: Albert | None = None, kind: type[AlbertForTask] = AlbertForTask
) -> AlbertForTask:
    """Body and head of a task with the checkpoint's numbers.

    Args:
        checkpoint: a fine-tuned one.
        body: already built from this checkpoint, to be shared instead of built again.
        kind: class of the model.

    Raises:
        CheckpointError: the checkpoint has no head of a task.
    """
    head = require_task_head(checkpoint)
    model = kind(checkpoint.config, head, pooler=checkpoint.has_pooler, body=body)
    fill(model, checkpoint.tensors)
    return model


@dataclass(frozen=True)
class Models:
    """Every model of one checkpoint, over one body.

    pretrained: AlbertForPretraining. task: AlbertForTask. None where the checkpoint has no head.
    """

    body: Albert
    pretrained: Any
    task: Any


def build_models(checkpoint: Checkpoint) -> Models:
    """All that a checkpoint has."""
    pretrained = build(checkpoint) if checkpoint.has_masked_lm else None
    body = build_body(checkpoint) if pretrained is None else pretrained.albert
    task = build_task(checkpoint, body) if checkpoint.head is not None else None
    return Models(body, pretrained, task)


@contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Models that are made meanwhile compute in this dtype, or under this policy of Keras."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
