"""The projection of embeddings folded into the first layer, for weights that do not change.

Nothing but a projection (E to H) stands between the normalised embeddings and the queries, keys
and values of the first layer (H to H each). With the kernels multiplied beforehand these take E
numbers, a sixth of H in base. The result differs by rounding alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from albertkit.model.keras_layers import Tensor
from albertkit.model.keras_twin import Albert


def fold_projection(body: Albert) -> None:
    """Let queries, keys and values of the first layer take the embeddings before their projection.

    Nothing happens where there is none, where it comes before the embeddings' norm, or where it
    saves nothing. Weights that change afterwards do not change what was multiplied.
    """
    attend, _, inner = body.encoder.plan[0]
    attention, projection = body.encoder.attention[attend][inner], body.embeddings.projection
    narrower = body.config.embedding_size < body.config.hidden_size
    between = attention.pre_norm or body.embeddings.project_first
    if projection is None or between or not narrower:
        return
    folded = []
    for dense in (attention.query, attention.key, attention.value):
        kernel, bias = (_exact(x) for x in (dense.kernel, dense.bias))
        before = 0 if projection.bias is None else _exact(projection.bias) @ kernel
        product = _exact(projection.kernel) @ kernel
        folded.append(tuple(ops.convert_to_tensor(x, "float32") for x in (product, before + bias)))

    def folded_qkv(x: Tensor) -> list[Tensor]:
        """(..., E) to queries, keys and values, (..., H) each."""
        return [
            ops.add(ops.matmul(x, ops.cast(kernel, x.dtype)), ops.cast(bias, x.dtype))
            for kernel, bias in folded
        ]

    body.folded_qkv = folded_qkv


def _exact(variable: Any) -> np.ndarray:
    numbers: np.ndarray = np.asarray(ops.convert_to_numpy(variable), np.float64)
    return numbers
