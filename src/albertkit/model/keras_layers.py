"""Layers of Keras as ALBERT needs them, each made with its parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import layers, ops

from albertkit.config import AlbertConfig
from albertkit.model.keras_calls import Block

Tensor = Any  # of Keras' backend
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_tanh": partial(ops.gelu, approximate=True),
    "gelu_erf": partial(ops.gelu, approximate=False),
    "relu": ops.relu,
    "tanh": ops.tanh,
    "linear": lambda x: x,
    "silu": ops.silu,
}


class UerLayerNorm(Block):
    """UER's normalisation: deviation of n - 1, epsilon added to the deviation.

    Source: dbiir/UER-py, uer/layers/layer_norm.py. Half precision is computed in float32.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__(autocast=False)
        self.eps = eps
        self.weight = self.add_weight((width,), "ones", name="weight", autocast=False)
        self.bias = self.add_weight((width,), "zeros", name="bias", autocast=False)

    def call(self, inputs: Tensor) -> Tensor:
        """(..., width) to the same."""
        x = ops.cast(inputs, "float32")
        centred = x - ops.mean(x, -1, keepdims=True)
        variance = ops.sum(ops.square(centred), -1, keepdims=True) / (x.shape[-1] - 1)
        normed = self.weight * (centred / (ops.sqrt(variance) + self.eps)) + self.bias
        return ops.cast(normed, self.compute_dtype)


class GroupedLinear(Block):
    """`groups` independent linear maps: input slice g takes every groups-th feature from g on.

    Weight (groups, out / groups, in / groups). Source: brightmart/albert_zh,
    modeling_google_fast.py, where slices interleave on the way in and follow one another on the
    way out.
    """

    def __init__(self, width_in: int, width_out: int, groups: int, spread: float) -> None:
        super().__init__()
        self.groups, self.width_out = groups, width_out
        shape = (groups, width_out // groups, width_in // groups)
        self.weight = self.add_weight(shape, initial_values(spread), name="weight")
        self.bias = self.add_weight((width_out,), "zeros", name="bias")

    def call(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        columns = ops.shape(x)[1:-1]  # (T,), or none when packed
        axes = "bt" if columns else "b"
        x = ops.reshape(x, (-1, *columns, x.shape[-1] // self.groups, self.groups))
        x = ops.einsum(f"{axes}ig,goi->{axes}go", x, self.weight)
        return ops.reshape(x, (-1, *columns, self.width_out)) + self.bias


def make_activation(config: AlbertConfig) -> layers.Layer:
    """The activation that the config names.

    A layer, for the sake of its name: TensorFlow computes a GELU together with the matrix product
    before it only where the names of its operations come after those of "dense" in the alphabet.
    """
    return layers.Activation(ACTIVATIONS[config.hidden_act], name=config.hidden_act)


def initial_values(spread: float) -> keras.initializers.Initializer:
    """Google's initial values: normal(0, spread) cut at two deviations."""
    return keras.initializers.TruncatedNormal(stddev=spread)


def make_dense(
    config: AlbertConfig, width_in: int, width_out: int, *, bias: bool = True
) -> layers.Dense:
    """A linear map that has its parameters already."""
    dense = layers.Dense(
        width_out, use_bias=bias, kernel_initializer=initial_values(config.initializer_range)
    )
    dense.build((None, width_in))
    return dense


def make_norm(config: AlbertConfig, width: int, eps: float | None = None) -> layers.Layer:
    """Normalisation over the last axis, of the kind that the config names."""
    eps = config.layer_norm_eps if eps is None else eps
    if config.layer_norm_kind == "uer":
        return UerLayerNorm(width, eps)
    norm = layers.LayerNormalization(epsilon=eps)
    norm.build((None, width))
    return norm


def make_feed_forward_part(config: AlbertConfig, width_in: int, width_out: int) -> layers.Layer:
    """One of the two maps of a feed-forward block."""
    if config.ffn_groups > 1:
        return GroupedLinear(width_in, width_out, config.ffn_groups, config.initializer_range)
    return make_dense(config, width_in, width_out)


def make_embedding(config: AlbertConfig, rows: int, width: int) -> layers.Embedding:
    """A table that has its parameters already."""
    table = layers.Embedding(rows, width, initial_values(config.initializer_range))
    table.build()
    return table
