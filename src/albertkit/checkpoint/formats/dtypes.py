"""Kinds of numbers in weights files: their names, how numpy holds them, from and to float32.

Every container has codes of its own for these names. numpy lacks bfloat16: its bits are held as
uint16, the upper half of a float32.
"""

from __future__ import annotations

import numpy as np

from albertkit.errors import CheckpointError

# Name: numpy's code. What is stored in the other order of bytes is turned by its reader.
STORED = {
    "float32": "<f4",
    "float64": "<f8",
    "float16": "<f2",
    "bfloat16": "<u2",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "<i1",
    "uint64": "<u8",
    "uint32": "<u4",
    "uint16": "<u2",
    "uint8": "<u1",
    "bool": "<?",
}
FLOATS = ("float32", "float64", "float16", "bfloat16")


def item_size(dtype: str) -> int:
    """Bytes of one number."""
    return np.dtype(STORED[dtype]).itemsize


def as_float32(tensor: np.ndarray, kind: str) -> np.ndarray:
    """Floats in float32, copied if they have another width; integers stay.

    Args:
        tensor: the numbers; bfloat16 as their bits in uint16.
        kind: "float32", "bfloat16", "int64", ...
    """
    if kind == "bfloat16":  # the upper half of a float32
        bits = tensor.astype(np.uint32)
        np.left_shift(bits, 16, out=bits)
        return bits.view(np.float32)
    if kind.startswith("float"):
        with np.errstate(over="ignore", invalid="ignore"):
            return tensor.astype(np.float32, copy=False)
    return tensor


def narrow(tensor: np.ndarray, dtype: str) -> np.ndarray:
    """float32 numbers as they are stored in `dtype`: bfloat16 as bits in uint16.

    Rounds to the nearest, of two equally near ones to the even one.

    Raises:
        CheckpointError: a number that is too large for float16.
    """
    if dtype == "float32":
        return tensor
    if dtype == "float16":
        with np.errstate(over="ignore", invalid="ignore"):
            half = tensor.astype(np.float16)
        if np.any(np.isinf(half) & np.isfinite(tensor)):
            raise CheckpointError(
                "The model has numbers that are too large for float16.",
                expected="numbers up to 65504",
                found=f"{np.abs(tensor).max():.6g}",
                fix="choose bfloat16 or float32",
            )
        return half
    bits = np.ascontiguousarray(tensor).view(np.uint32)
    upper = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)  # rounding could make a NaN infinite
    return np.where(np.isnan(tensor), quiet, upper).astype(np.uint16)
