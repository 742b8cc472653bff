"""Linear maps for inference on a CPU, their weights laid out as oneDNN's kernels read them.

torch keeps a weight as rows, and each call brings it into the blocks that a kernel multiplies. Here
that is done once, and the activation is computed on each block of the product while a cache holds
it. The results differ by rounding alone.
"""

from __future__ import annotations

import platform
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from albertkit.model import kernels
from albertkit.model.albert import Albert, FeedForward

# Activations that oneDNN computes with a product, as torch calls its operations and algorithms.
FUSED = {
    "gelu_tanh": ("gelu", "tanh"),
    "gelu_erf": ("gelu", "none"),
    "relu": ("relu", ""),
    "silu": ("swish", ""),
    "tanh": ("tanh", ""),
    "linear": ("none", ""),
}
# Maps whose weights are used without them, in first_token.py and heads.py.
READ_ELSEWHERE = {"key", "value", "projection"}
_ROWS = 1024  # tokens that a weight is laid out for; fewer and more are as fast


class PackedLinear(nn.Module):
    """A linear map and an activation, without gradients: (S, in) to (S, out).

    keep_weight: the map's own weight stays beside the packed one, for code that reads it.
    """

    def __init__(
        self, linear: nn.Linear, activation: str = "linear", *, keep_weight: bool = False
    ) -> None:
        super().__init__()
        self.weight = linear.weight if keep_weight else None
        self.bias = linear.bias
        self.activation = FUSED[activation]
        self._packed = _packed(linear.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        missing = kernels.padded_count(len(x)) - len(x)
        padded = F.pad(x, (0, 0, 0, missing)) if missing else x
        name, algorithm = self.activation
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            padded, self._packed, self.bias, name, [], algorithm
        )
        return product[: len(x)]

    def __getstate__(self) -> dict[str, Any]:
        """With the weight as rows, since torch neither copies nor pickles packed ones."""
        return {**self.__dict__, "_packed": self._packed.to_dense()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "_packed": _packed(state["_packed"])})


def _packed(weight: Tensor) -> Tensor:
    """A weight (out, in) in oneDNN's order."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
    return packed


def pack(body: Albert) -> None:
    """Pack every map of a body where torch can: in float32 and bfloat16 on an x86 CPU.

    The body computes the same, but has no gradients, and no longer all weights.
    """
    weight = body.embeddings.word.weight
    if weight.device.type != "cpu" or not _can_pack(weight.dtype):
        return
    body.few_shapes = True
    for block in list(body.modules()):
        for name, linear in list(block.named_children()):
            if not isinstance(linear, nn.Linear):
                continue
            activation = "linear"
            if isinstance(block, FeedForward) and name == "up":
                activation, block.activation = body.config.hidden_act, nn.Identity()
            packed = PackedLinear(linear, activation, keep_weight=name in READ_ELSEWHERE)
            block.register_module(name, packed)


@cache
def _can_pack(dtype: torch.dtype) -> bool:
    """Whether torch and the processor have what it takes; elsewhere nobody measured it."""
    if platform.machine() not in {"x86_64", "AMD64"} or dtype not in {
        torch.float32,
        torch.bfloat16,
    }:
        return False
    try:
        PackedLinear(nn.Linear(1, 1, dtype=dtype))(torch.zeros(1, 1, dtype=dtype))
    except (RuntimeError, AttributeError):  # a processor, or a build of torch, without it
        return False
    return True
