"""Attention as one operation of ONNX: opset 23's, and onnxruntime's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from albertkit.checkpoint.families.onnx.ops import Array, Attributes


def mixed(query: Array, key: Array, value: Array, scale: float) -> Array:
    """Averages of the values (B, N, T, D), each place by its likeness to the keys."""
    scores = query @ np.swapaxes(key, -1, -2) * scale
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True) @ value)


def split(x: Array, heads: int) -> Array:
    """(B, T, H) to (B, N, T, D)."""
    rows, columns, width = x.shape
    return np.swapaxes(x.reshape(rows, columns, heads, width // heads), 1, 2)


def join(x: Array) -> Array:
    """(B, N, T, D) to (B, T, H)."""
    rows, heads, columns, width = x.shape
    return np.swapaxes(x, 1, 2).reshape(rows, columns, heads * width)


def attention(args: list[Any], attributes: Attributes, standin: Callable[..., Any]) -> Any:
    """`Attention` of opset 23 without a mask; 3 or 4 axes in and out.

    Raises:
        ValueError: another form of it.
    """
    if attributes.number("is_causal", 0) or any(arg is not None for arg in args[4:]):
        raise ValueError("no ALBERT attends so")
    if not all(isinstance(arg, np.ndarray) for arg in args[:3]):
        return standin(args[0].shape)
    query, key, value = args[:3]
    heads = attributes.number("q_num_heads", 0)
    flat = query.ndim == 3
    if flat:
        if heads < 1 or attributes.number("kv_num_heads", heads) != heads:
            raise ValueError("no ALBERT attends so")
        query, key, value = (split(x, heads) for x in (query, key, value))
    scale = attributes.fraction("scale", 1 / math.sqrt(query.shape[-1]))
    found = mixed(query, key, value, scale)
    return join(found) if flat else found


def multi_head_attention(
    args: list[Any], attributes: Attributes, standin: Callable[..., Any]
) -> Any:
    """onnxruntime's `MultiHeadAttention` of query, key and value (B, T, H), without its mask.

    Raises:
        ValueError: another form of it.
    """
    extra = [arg for place, arg in enumerate(args[3:], 3) if place not in (4, 5)]
    if attributes.number("unidirectional", 0) or any(arg is not None for arg in extra):
        raise ValueError("no ALBERT attends so")
    if not all(isinstance(arg, np.ndarray) for arg in args[:3]):
        return standin(args[0].shape)
    heads = attributes.number("num_heads", 0)
    query, key, value = (x if x.ndim == 4 else split(x, heads) for x in args[:3])
    scale = attributes.fraction("scale", 0.0) or 1 / math.sqrt(query.shape[-1])
    return join(mixed(query, key, value, scale))
