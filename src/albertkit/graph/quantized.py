"""Matrices as int8: symmetric, a scale for each output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Seven bits: processors without VNNI add products of 8-bit numbers in 16 bits, where larger weights
# would saturate (onnxruntime's documentation calls this reduce_range).
LARGEST = 64


@dataclass(frozen=True)
class Quantized:
    """numbers times scale is the tensor, nearly.

    numbers: int8, shaped like the tensor. scale: float32, with one entry along the reduced axis.
    """

    numbers: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]


def quantize(tensor: npt.NDArray[Any], axis: int | None) -> Quantized:
    """int8 numbers of a tensor with one scale for all entries along an axis; None: one for all.

    The scale of zeros is 1.
    """
    tensor = np.asarray(tensor, np.float32)
    largest = np.abs(tensor).max(axis=axis, keepdims=True)
    scale = np.where(largest > 0, largest / LARGEST, 1).astype(np.float32)
    return Quantized(np.rint(tensor / scale).astype(np.int8), scale)
