"""Files of tensors, mapped into memory: a checkpoint larger than the memory can be converted."""

from __future__ import annotations

import math
import mmap
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from albertkit.errors import CheckpointError

Array = npt.NDArray[np.generic]

Bytes = npt.NDArray[np.uint8]
_BLOCK_BYTES = 4 << 20
_AHEAD = 2  # pieces that are made while another is used
_TILE_ROWS, _TILE_COLUMNS = 256, 256  # of a matrix that is turned: fits the second cache


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
            "A tensor is outside its file.",
            expected=f"at most {len(data)} bytes",
            found=f"{size} bytes at {offset}",
            fix="the file is cut or damaged: copy or download it again",
        )
    return data[offset : offset + size].view(kind).reshape(shape)


def drop_pages(tensor: Array) -> None:
    """Tell the system that a view of a mapped file is not needed for now; it stays valid."""
    base: object = tensor
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def chunk_slices(tensor: Array, size: int = _BLOCK_BYTES) -> list[slice]:
    """Runs of rows of some `size` bytes each that cover a tensor of one axis or more."""
    rows = max(1, size * len(tensor) // max(1, tensor.nbytes))
    return [slice(start, start + rows) for start in range(0, len(tensor), rows)]


def chunks(tensor: Array, dtype: npt.DTypeLike | None = None) -> Iterator[Array]:
    """A tensor in pieces of a few megabytes, in row order, each contiguous and of this dtype.

    A transposed view costs no second copy of the whole tensor that way. While one piece is used,
    the next ones are made in other threads.
    """
    kind = tensor.dtype if dtype is None else np.dtype(dtype)
    if tensor.ndim == 0 or tensor.nbytes <= _BLOCK_BYTES:
        yield contiguous(tensor, kind)
        return
    with ThreadPoolExecutor(_AHEAD) as pool:
        waiting: deque[Future[Array]] = deque()
        for piece in chunk_slices(tensor):
            waiting.append(pool.submit(contiguous, tensor[piece], kind))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def contiguous(tensor: Array, dtype: npt.DTypeLike) -> Array:
    """The same numbers, contiguous in row order and of this dtype; a view where that is so already.

    numpy copies a transposed matrix by walking along one side of it and jumping along the other,
    which is slow where the jumps are powers of two. Here small tiles go through a buffer whose rows
    are a little longer than the tile's.
    """
    kind = np.dtype(dtype)
    flat = _merged(tensor)
    if flat.ndim != 2 or flat.strides[0] >= flat.strides[1]:
        return np.ascontiguousarray(tensor, dtype=kind).reshape(tensor.shape)
    turned = np.empty(flat.shape, kind)
    buffer = np.empty((_TILE_COLUMNS, _TILE_ROWS + 64 // kind.itemsize), kind)
    for column in range(0, flat.shape[1], _TILE_COLUMNS):
        for row in range(0, flat.shape[0], _TILE_ROWS):
            source = flat[row : row + _TILE_ROWS, column : column + _TILE_COLUMNS].T
            tile = buffer[: source.shape[0], : source.shape[1]]
            tile[:] = source
            turned[row : row + _TILE_ROWS, column : column + _TILE_COLUMNS] = tile.T
    return turned.reshape(tensor.shape)


def _merged(tensor: Array) -> Array:
    """A view with neighbouring axes made one wherever their strides allow it; same row order."""
    shape: list[int] = []
    strides: list[int] = []
    for size, stride in zip(tensor.shape, tensor.strides, strict=True):
        if size == 1:
            continue
        if shape and strides[-1] == stride * size:
            shape[-1], strides[-1] = shape[-1] * size, stride
        else:
            shape.append(size)
            strides.append(stride)
    return np.lib.stride_tricks.as_strided(tensor, shape, strides, writeable=False)


def write_chunks(file: BinaryIO, tensor: Array, dtype: npt.DTypeLike | None = None) -> int:
    """Write a tensor in row order; the number of bytes. The source's pages are given back."""
    written = 0
    for block in chunks(tensor, dtype):
        written += file.write(block.data if block.ndim else block.tobytes())
    drop_pages(tensor)
    return written
