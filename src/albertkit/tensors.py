"""Tensors in safetensors files: read as views of the mapped file, written in a stream.

Fractions of any width become float32 numpy arrays; whole numbers stay as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from albertkit.errors import CheckpointError

# Kinds of numbers as safetensors names them, and as numpy stores them (it has no bfloat16).
KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}
WIDTHS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
# ALBERT's largest header has some 300 kB; parsed JSON takes up to twenty times its text.
_LARGEST_HEADER = 2 << 20
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: kind of its numbers (a key of KINDS), shape, first and last byte."""

    kind: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a file by its name; float32 ones are views of the file.

    Raises:
        CheckpointError: the file is missing, cut, or no safetensors file.
    """
    data, entries = _open(path)
    return {
        name: as_float32(
            data[entry.start : entry.end].view(KINDS[entry.kind]).reshape(entry.shape), entry.kind
        )
        for name, entry in entries.items()
    }


def list_tensors(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Kind ("F32") and shape of every tensor of a file, by its name.

    Raises:
        CheckpointError: the file is missing, cut, or no safetensors file.
    """
    return {name: (entry.kind, entry.shape) for name, entry in _open(path)[1].items()}


def as_float32(tensor: np.ndarray, kind: str) -> np.ndarray:
    """A tensor in float32, copied if it has another width; whole numbers stay.

    Args:
        tensor: the numbers; bfloat16 as their bits in uint16.
        kind: a key of KINDS.
    """
    if kind == "BF16":  # the upper half of a float32
        bits = tensor.astype(np.uint32)
        np.left_shift(bits, 16, out=bits)
        return bits.view(np.float32)
    if kind in ("F64", "F16"):
        with np.errstate(over="ignore", invalid="ignore"):
            return tensor.astype(np.float32)
    return tensor


def narrow(tensor: np.ndarray, dtype: str) -> np.ndarray:
    """float32 numbers as they are stored in `dtype`: bfloat16 as bits in uint16.

    Rounds to the nearest, of two equally near ones to the even one.
    """
    if dtype == "float32":
        return tensor
    if dtype == "float16":
        with np.errstate(over="ignore", invalid="ignore"):
            return tensor.astype(np.float16)
    bits = np.ascontiguousarray(tensor).view(np.uint32)
    upper = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)  # rounding could make a NaN infinite
    return np.where(np.isnan(tensor), quiet, upper).astype(np.uint16)


def narrow_blocks(tensor: np.ndarray, dtype: str) -> Iterator[np.ndarray]:
    """A tensor as it is stored in `dtype`, in row order, in pieces of a few megabytes."""
    if tensor.ndim == 0 or tensor.size <= _BLOCK:
        yield np.ascontiguousarray(narrow(tensor, dtype))
        return
    rows = max(1, _BLOCK * len(tensor) // tensor.size)
    for start in range(0, len(tensor), rows):
        yield np.ascontiguousarray(narrow(tensor[start : start + rows], dtype))


def _open(path: Path) -> tuple[npt.NDArray[np.uint8], dict[str, Entry]]:
    """The mapped file and its tensors, every place checked."""
    try:
        data = np.asarray(np.memmap(path, np.uint8, "r"))
    except (OSError, ValueError) as error:
        raise _damaged(path, getattr(error, "strerror", None) or "an empty file") from error
    size = int.from_bytes(data[:8].tobytes(), "little") if len(data) >= 8 else -1
    if not 2 <= size <= min(len(data) - 8, _LARGEST_HEADER):
        raise _damaged(path, f"{len(data)} bytes with a header of {size}")
    try:
        values = json.loads(data[8 : 8 + size].tobytes(), object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"a header that is no JSON: {str(error)[:80]}") from error
    if not isinstance(values, dict):
        raise _damaged(path, "a header that is no JSON object")
    values.pop("__metadata__", None)
    unusual = {
        str(value["dtype"])[:20]
        for value in values.values()
        if isinstance(value, dict) and str(value.get("dtype")) not in KINDS and "dtype" in value
    }
    if unusual:
        raise CheckpointError(
            "The file holds numbers of an unusual kind.",
            expected=", ".join(KINDS),
            found=", ".join(sorted(unusual)),
            where=path,
            fix="save the model in float32",
        )
    entries = {name: _entry(path, name, value, 8 + size) for name, value in values.items()}
    _check_places(path, entries, 8 + size, len(data))
    return data, entries


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name stands twice")
    return values


def _entry(path: Path, name: str, value: Any, first: int) -> Entry:
    """One tensor of the header."""
    try:
        kind, shape, (start, end) = value["dtype"], value["shape"], value["data_offsets"]
        numbers = [*shape, start, end]
        good = isinstance(shape, list) and all(type(x) is int and x >= 0 for x in numbers)
    except (TypeError, KeyError, ValueError):
        good = False
    if not good or len(shape) > 32:
        raise _damaged(path, f"no kind, shape and place for {name[:80]}")
    if end - start != math.prod(shape) * np.dtype(KINDS[kind]).itemsize:
        raise _damaged(path, f"{name[:80]} has {end - start} bytes for the shape {shape}"[:200])
    return Entry(kind, tuple(shape), first + start, first + end)


def _check_places(path: Path, entries: Mapping[str, Entry], first: int, size: int) -> None:
    """Tensors follow one another without gaps, to the end of the file."""
    place = first
    for entry in sorted(entries.values(), key=lambda entry: (entry.start, entry.end)):
        if entry.start != place:
            raise _damaged(path, f"a gap or an overlap at byte {place}")
        place = entry.end
    if place != size:
        raise _damaged(path, f"{size} bytes where the header tells of {place}")


def _damaged(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        "The weights cannot be read.",
        expected="a whole safetensors file",
        found=found,
        where=path,
        fix="copy or download the file again",
    )


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], dtype: str = "float32") -> None:
    """Write float32 tensors; the note `format: pt` is what transformers looks for.

    dtype: float32, float16 or bfloat16.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    kind, place = WIDTHS[dtype], 0
    width = np.dtype(KINDS[kind]).itemsize
    for name, tensor in tensors.items():
        end = place + tensor.size * width
        header[name] = {"dtype": kind, "shape": tensor.shape, "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            _write(file, tensor, dtype)


def _write(file: BinaryIO, tensor: np.ndarray, dtype: str) -> None:
    for block in narrow_blocks(tensor, dtype):
        file.write(block.tobytes() if block.ndim == 0 else memoryview(block).cast("B"))
