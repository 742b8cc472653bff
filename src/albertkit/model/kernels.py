"""Which of torch's kernels is fast for what: the numbers are the same but for rounding.

On a CPU oneDNN compiles a product for each shape that it meets, and keeps a thousand of them, most
of a megabyte each. Packed batches meet new ones at every step: in bfloat16 that costs more than
many of the products themselves.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SHORT = 64  # tokens of a short row


def is_faster_written_out(query: Tensor) -> bool:
    """Whether attention over (B, N, T, D) trains faster without torch's fused kernel.

    So it is in bfloat16 on a CPU for short rows: the kernel's backward pass takes three times as
    long there (torch 2.13). Without gradients the kernel is always as fast.
    """
    return query.shape[2] <= 256 and _trains_in_bfloat16(query)


def is_faster_in_float32(x: Tensor, length: int) -> bool:
    """Whether attention over parts of rows up to this length trains faster in float32.

    A new shape of short rows costs bfloat16 more than its products: 3 to 11 rows of 10 to 50
    tokens, 4 to 6 ms the first time and 1 to 3 ms again; in float32 always 1 to 5 ms.
    """
    return length <= _SHORT and _trains_in_bfloat16(x)


def _trains_in_bfloat16(x: Tensor) -> bool:
    return x.dtype == torch.bfloat16 and x.device.type == "cpu" and torch.is_grad_enabled()


def computes_in_bfloat16(weight: Tensor) -> bool:
    """Whether products with a weight are computed in bfloat16 on a CPU."""
    is_bfloat16 = weight.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
    return is_bfloat16 and weight.device.type == "cpu"


def padded_count(count: int) -> int:
    """The next of few numbers of tokens: multiples of 8, from 128 on of 16, from 512 on of 64."""
    multiple = 8 if count <= 128 else 16 if count <= 512 else 64
    return count + -count % multiple


def pad_to_multiple(
    ids: Tensor, segments: Tensor | None, positions: Tensor
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Packed tokens (S,) padded to a `padded_count` by the last one; no output is of padding."""
    missing = padded_count(len(ids)) - len(ids)

    def repeated(x: Tensor) -> Tensor:
        return torch.cat([x, x[-1:].expand(missing)])

    return repeated(ids), None if segments is None else repeated(segments), repeated(positions)
