"""Files of tensors, mapped into memory: a checkpoint larger than the memory can be converted."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from albertkit.errors import CheckpointError
from albertkit.rules import Array

Bytes = npt.NDArray[np.uint8]
_BLOCK_BYTES = 4 << 20


def map_file(path: Path) -> Bytes:
    """The bytes of a file as a read-only array that is read as it is looked at.

    Raises:
        CheckpointError: missing, empty, or not readable.
    """
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            "The file cannot be read.",
            expected="a file with something in it",
            found=getattr(error, "strerror", None) or "an empty file",
            where=path,
            fix="copy or download it again",
        ) from error
    return np.frombuffer(mapped, dtype=np.uint8)


def view(data: Bytes, offset: int, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> Array:
    """A tensor inside mapped bytes, in row order; nothing is copied.

    Raises:
        CheckpointError: a negative size, or an end beyond the end of the file.
    """
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    if offset < 0 or min(shape, default=0) < 0 or offset + size > len(data):
        raise CheckpointError(
            "A tensor lies outside its file.",
            expected=f"at most {len(data)} bytes",
            found=f"{size} bytes at {offset}",
            fix="the file is cut or damaged: copy or download it again",
        )
    return data[offset : offset + size].view(kind).reshape(shape)


def release(tensor: Array) -> None:
    """Tell the system that a view of a mapped file is not needed for now; it stays valid."""
    base: object = tensor
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def blocks(tensor: Array, dtype: npt.DTypeLike | None = None) -> Iterator[Array]:
    """A tensor in pieces of a few megabytes, in row order, each contiguous and of this dtype.

    A transposed view costs no second copy of the whole tensor that way.
    """
    kind = tensor.dtype if dtype is None else np.dtype(dtype)
    if tensor.ndim == 0 or tensor.nbytes <= _BLOCK_BYTES:
        yield np.ascontiguousarray(tensor, dtype=kind).reshape(tensor.shape)
        return
    rows = max(1, _BLOCK_BYTES * len(tensor) // tensor.nbytes)
    for start in range(0, len(tensor), rows):
        yield np.ascontiguousarray(tensor[start : start + rows], dtype=kind)


def write_blocks(file: BinaryIO, tensor: Array, dtype: npt.DTypeLike | None = None) -> int:
    """Write a tensor in row order; the number of bytes. The source's pages are given back."""
    written = 0
    for block in blocks(tensor, dtype):
        written += file.write(block.data if block.ndim else block.tobytes())
    release(tensor)
    return written
