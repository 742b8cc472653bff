"""UER-py's normalisation as the standard one: its factor goes into the scales.

UER divides by the deviation of n - 1 plus epsilon, all others by the root of the variance of
n plus epsilon. With the scale times sqrt((n - 1) / n) the two differ by some 1e-6 of the result.
Source: uer/layers/layer_norm.py.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from albertkit.errors import CheckpointError

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint

_SEGMENTS = "albert.embeddings.segment.weight"
# UER adds 1e-6 to the deviation; beside a deviation near 0 that is 1e-12 added to the variance.
EPSILON = 1e-12


def fold(checkpoint: Checkpoint) -> Checkpoint:
    """The nearest model with the standard normalisation, and without the padding's segment.

    Segments 1 and 2 become 0 and 1. Scales are rounded once more; nothing else changes.

    Raises:
        CheckpointError: the checkpoint has the standard normalisation already.
    """
    config = checkpoint.config
    if config.layer_norm_kind != "uer":
        raise CheckpointError(
            "There is nothing to fold.",
            expected="layer_norm_kind=uer",
            found=f"layer_norm_kind={config.layer_norm_kind}",
            fix="use the checkpoint as it is",
        )
    tensors = dict(checkpoint.tensors)
    for name, tensor in tensors.items():
        if name.endswith("norm.weight"):
            factor = math.sqrt((len(tensor) - 1) / len(tensor))
            tensors[name] = (tensor.astype(np.float64) * factor).astype(np.float32)
    rows = config.type_vocab_size
    if rows == 3:
        tensors[_SEGMENTS] = tensors[_SEGMENTS][1:]
        rows = 2
    return replace(
        checkpoint,
        tensors=tensors,
        config=replace(
            config,
            layer_norm_kind="standard",
            layer_norm_eps=EPSILON,
            head_layer_norm_eps=EPSILON,
            type_vocab_size=rows,
        ),
    )
