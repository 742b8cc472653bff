"""The same function with other tensors, for formats that lack a form of ALBERT but have its equal.

Families call these from their `express`. Each gives the checkpoint, and a note for people where
something changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from albertkit.config import AlbertConfig

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint

WEIGHT, BIAS = "albert.embeddings.projection.weight", "albert.embeddings.projection.bias"
# Tensors with an axis of width E, and which it is: see `with_doubled_embeddings`.
_REPEATED = {
    **dict.fromkeys((f"albert.embeddings.{x}.weight" for x in ("word", "position", "segment")), 1),
    **dict.fromkeys(("albert.embeddings.norm.weight", "albert.embeddings.norm.bias"), 0),
    **dict.fromkeys(("masked_lm.transform.weight", "masked_lm.transform.bias"), 0),
    "masked_lm.decoder.weight": 1,
}
_FOLLOWED_BY_ZEROS = {WEIGHT: 1, "masked_lm.norm.weight": 0, "masked_lm.norm.bias": 0}
_BLOCK = re.compile(r"albert\.encoder\.(attention|feed_forward)\.(\d+)\.(.*)")


def with_projection(checkpoint: Checkpoint, *, bias: bool) -> tuple[Checkpoint, list[str]]:
    """The model with a projection of the embeddings: the identity where E = H has none.

    Args:
        checkpoint: the model.
        bias: whether the format's projection has one; a missing one is zero, and one of zeros
            can be left out.
    """
    config, wide = checkpoint.config, checkpoint.config.hidden_size
    tensors = dict(checkpoint.tensors)
    zeros = np.zeros(wide, np.float32)
    if not config.has_projection:
        tensors[WEIGHT] = np.eye(wide, dtype=np.float32)
        tensors |= {BIAS: zeros} if bias else {}
        note = "the embeddings get an identity projection, which changes no number"
    elif bias and not config.projection_bias:
        tensors[BIAS] = zeros
        note = "the projection of the embeddings gets a bias of zeros"
    elif config.projection_bias and not bias and not tensors[BIAS].any():
        del tensors[BIAS]
        note = "the bias of the projection of the embeddings is all zeros: left out"
    else:
        return checkpoint, []
    needed = config.project_equal_width or not config.has_projection
    config = replace(config, project_equal_width=needed, projection_bias=bias)
    return replace(checkpoint, config=config, tensors=tensors), [note]


def without_identity(checkpoint: Checkpoint) -> tuple[Checkpoint, list[str]]:
    """The model without its projection where E = H and that is the identity."""
    config, tensors = checkpoint.config, dict(checkpoint.tensors)
    if config.embedding_size != config.hidden_size or not config.has_projection:
        return checkpoint, []
    weight, bias = tensors.pop(WEIGHT), tensors.pop(BIAS, None)
    identity = np.eye(config.hidden_size, dtype=np.float32)
    if not np.array_equal(weight, identity) or (bias is not None and bias.any()):
        return checkpoint, []
    config = replace(config, project_equal_width=False, projection_bias=True)
    note = "the projection of the embeddings is the identity: left out"
    return replace(checkpoint, config=config, tensors=tensors), [note]


def with_doubled_embeddings(checkpoint: Checkpoint) -> tuple[Checkpoint, list[str]]:
    """The model with E = 2 H where E = H is projected, for a format that projects unequal widths.

    Every number of an embedding occurs twice, so mean and variance of its norm are as before; the
    projection reads the first half. In the masked-LM head the second half is scaled to zero behind
    the norm, so that a word's logit is the product with the first half alone.
    """
    config, tensors = checkpoint.config, dict(checkpoint.tensors)
    if config.embedding_size != config.hidden_size or not config.has_projection:
        return checkpoint, []
    for name, tensor in tensors.items():
        if name in _REPEATED:
            tensors[name] = np.concatenate([tensor, tensor], axis=_REPEATED[name])
        elif name in _FOLLOWED_BY_ZEROS:
            axis = _FOLLOWED_BY_ZEROS[name]
            tensors[name] = np.concatenate([tensor, np.zeros_like(tensor)], axis=axis)
    wide = 2 * config.embedding_size
    config = replace(config, embedding_size=wide, project_equal_width=False)
    note = (
        f"embedding_size is {wide}, each number twice, which changes no output: the format has no "
        "projection where E = H"
    )
    return replace(checkpoint, config=config, tensors=tensors), [note]


def with_layer_groups(
    checkpoint: Checkpoint, holds: Callable[[AlbertConfig], bool]
) -> tuple[Checkpoint, list[str]]:
    """The model with blocks of its own for each layer, where the format groups layers otherwise.

    Args:
        checkpoint: the model.
        holds: whether the format can say which layers of a config share their parameters.
    """
    config = checkpoint.config
    each = replace(config, share="none", num_hidden_groups=1, group_formula="google")
    if holds(config) or not holds(each):
        return checkpoint, []
    layers: dict[str, dict[int, list[int]]] = {"attention": {}, "feed_forward": {}}
    for layer in range(config.num_hidden_layers):
        layers["attention"].setdefault(config.attention_block(layer), []).append(layer)
        layers["feed_forward"].setdefault(config.feed_forward_block(layer), []).append(layer)
    tensors = {}
    for name, tensor in checkpoint.tensors.items():
        block = _BLOCK.fullmatch(name)
        if block is None:
            tensors[name] = tensor
            continue
        for layer in layers[block[1]][int(block[2])]:
            tensors[f"albert.encoder.{block[1]}.{layer}.{block[3]}"] = tensor
    note = (
        f"each of the {config.num_hidden_layers} layers is a group of its own, those that share "
        "parameters with equal numbers: the format groups layers by another formula"
    )
    return replace(checkpoint, config=each, tensors=tensors), [note]
