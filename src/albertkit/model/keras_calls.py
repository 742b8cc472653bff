"""How models of Keras are called: names of arguments, what they refuse, what they give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import optree

from albertkit.config import AlbertConfig
from albertkit.model import checks
from albertkit.model.outputs import (
    AlbertOutput,
    Output,
    PretrainingOutput,
    SpanBeam,
    TaskOutput,
    with_transformers_arguments,
)


class Block(keras.layers.Layer):
    """A layer that has all its parameters when it is made: Keras need not try it for them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.built = True


class AlbertKerasModel(keras.Model):
    """What all models share: how they are called, and what they refuse.

    A batch is named arguments, or one dict of them as tokenizers and `tf.data` give it; under our
    names or transformers' (input_ids, token_type_ids, attention_mask).
    """

    config: AlbertConfig
    row_axes = 1  # before the axis of tokens; multiple choice has 2

    def __init__(self) -> None:
        super().__init__()
        self.built = True  # as in Block
        # TensorFlow's XLA compiles again for every shape, and cannot leave padding out: `fit`
        # takes it only where compile(jit_compile=True) says so.
        self.supports_jit = keras.backend.backend() != "tensorflow"

    def __call__(self, ids: Any = None, segment_ids: Any = None, **others: Any) -> Any:
        """Check the batch as far as its values are known, and compute."""
        given = {"ids": ids, "segment_ids": segment_ids, **others}
        if isinstance(ids, Mapping):
            given = {**ids, **others}
        if "labels" in given:
            raise TypeError(
                "labels: a model computes no loss here; give its .logits and the labels to a loss "
                "of keras.losses"
            )
        return self._call_checked(**{name: x for name, x in given.items() if x is not None})

    @with_transformers_arguments
    def _call_checked(self, **given: Any) -> Any:
        batch = {name: as_array(x) if name in INTEGERS else x for name, x in given.items()}
        check_batch(self.config, self.row_axes, **{n: batch.get(n) for n in CHECKED})
        return super().__call__(batch.pop("ids", None), batch.pop("segment_ids", None), **batch)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """Outputs carry no mask of Keras'."""


INTEGERS = ("ids", "segment_ids", "lengths", "start_places")
CHECKED = ("ids", "segment_ids", "mask", "lengths")


def as_array(x: Any) -> Any:
    """Lists as an array of numpy; tensors as they are."""
    return np.asarray(x, np.int32) if isinstance(x, list | tuple) else x


def known_values(x: Any) -> np.ndarray | None:
    """The numbers of a tensor if it has any yet: not while a graph is recorded."""
    if isinstance(x, np.ndarray):
        return x
    numbers = x.numpy() if callable(getattr(x, "numpy", None)) else None
    return numbers if isinstance(numbers, np.ndarray) else None


def check_batch(
    config: AlbertConfig, row_axes: int, ids: Any, segment_ids: Any, mask: Any, lengths: Any
) -> None:
    """Refuse what the torch model refuses: shapes always, values where they are known.

    Raises:
        ConfigError: a batch that this model has no room for.
    """
    whole = () if ids is None else tuple(ids.shape)
    if len(whole) != row_axes + 1:
        raise checks.not_several_rows(whole) if row_axes == 2 else checks.not_padded(whole)
    shape = whole[row_axes - 1 :]
    checks.check_shapes(
        shape, None if segment_ids is None else tuple(segment_ids.shape)[row_axes - 1 :]
    )
    checks.check_one_of(mask, lengths)
    for name, values in (("id", ids), ("segment", segment_ids)):
        numbers = None if values is None else known_values(values)
        if numbers is not None:
            checks.check_values(config, name, int(numbers.min()), int(numbers.max()))
    if shape[1] is not None:
        checks.check_max_length(config, shape[1])
    if mask is not None:
        dtype = keras.backend.standardize_dtype(mask.dtype)
        checks.check_mask(tuple(ids.shape), tuple(mask.shape), dtype)
    if lengths is not None:
        checks.check_number_of_lengths(tuple(lengths.shape)[row_axes - 1 :], shape[0])
        numbers = known_values(lengths)
        if numbers is not None and shape[1] is not None:
            checks.check_lengths(int(numbers.min()), int(numbers.max()), shape[1])


def _flatten(output: Output) -> tuple[tuple[Any, ...], tuple[str, ...], tuple[str, ...]]:
    (names,), values = output.__tf_flatten__()
    return values, names, names


# So Keras looks into outputs: `predict`, and models made of layers (the functional API).
for kind in (AlbertOutput, PretrainingOutput, SpanBeam, TaskOutput):
    optree.register_pytree_node(
        kind,
        _flatten,
        lambda names, values, kind=kind: kind(**dict(zip(names, values, strict=True))),
        namespace="keras",
    )
