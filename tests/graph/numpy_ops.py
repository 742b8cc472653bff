"""The steps of `albertkit.graph.ops` in numpy: a graph whose values are arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

ACTIVATIONS = {
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu_erf": lambda x: x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "linear": lambda x: x,
    "silu": lambda x: x / (1 + np.exp(-x)),
}


class NumpyOps:
    """See `Ops`."""

    def __init__(self, tensors: dict[str, Any]) -> None:
        self.tensors = {name: np.asarray(x, np.float64) for name, x in tensors.items()}

    def lookup(self, name: str, ids: Any, first: int = 0) -> Any:
        return self.tensors[f"{name}.weight"][ids + first]

    def linear(self, x: Any, name: str) -> Any:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias", 0.0)
        if weight.ndim == 3:  # slice g of the input takes every groups-th feature
            parts = [x[..., g :: len(weight)] @ matrix.T for g, matrix in enumerate(weight)]
            return np.concatenate(parts, -1) + bias
        return x @ weight.T + bias

    def linear_back(self, x: Any, name: str) -> Any:
        return x @ self.tensors[f"{name}.weight"]

    def scores(self, x: Any, table: str, bias: str) -> Any:
        return x @ self.tensors[f"{table}.weight"].T + self.tensors[f"{bias}.bias"]

    def norm(self, x: Any, name: str, eps: float) -> Any:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
        return x * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def uer_norm(self, x: Any, name: str, eps: float) -> Any:
        x = (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True, ddof=1) + eps)
        return x * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def activate(self, x: Any, kind: str) -> Any:
        return ACTIVATIONS[kind](x)

    def add(self, a: Any, b: Any) -> Any:
        return a + b

    def attend(self, query: Any, key: Any, value: Any, mask: Any, heads: int, width: int) -> Any:
        split = [
            x.reshape(*x.shape[:2], heads, width // heads).transpose(0, 2, 1, 3)
            for x in (query, key, value)
        ]
        scores = split[0] @ split[1].swapaxes(2, 3) / math.sqrt(split[0].shape[-1])
        scores = np.where(mask[:, None, None], scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = weights / weights.sum(-1, keepdims=True) @ split[2]
        return mixed.transpose(0, 2, 1, 3).reshape(query.shape)

    def gather(self, x: Any, indices: Any) -> Any:
        return x[indices]

    def rows(self, x: Any) -> Any:
        return x.reshape(-1, x.shape[-1])

    def lifted(self, x: Any) -> Any:
        return x[:, None]

    def dropped(self, x: Any) -> Any:
        return x[:, 0]

    def first_column(self, x: Any) -> Any:
        return x[:, :1]

    def first_rows(self, name: str, ids: Any) -> Any:
        return self.tensors[f"{name}.weight"][: ids.shape[1]]
