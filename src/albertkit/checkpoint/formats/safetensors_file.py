"""Tensors in safetensors files: read as views of the mapped file, written in a stream.

Floats of any width become float32 numpy arrays; integers stay as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from albertkit.checkpoint.formats.dtypes import STORED, as_float32, item_size, narrow
from albertkit.checkpoint.formats.memory_map import Bytes, chunks, drop_pages, map_file, view
from albertkit.errors import CheckpointError

# Kinds of numbers by safetensors' names.
KINDS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
}
NAMES = {name: code for code, name in KINDS.items()}
# ALBERT's largest header has some 300 kB; parsed JSON takes up to twenty times its text.
_MAX_HEADER = 2 << 20


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: kind of its numbers (a key of KINDS), shape, first and last byte."""

    kind: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass
class Weights:
    """What a file of tensors holds, of whatever format.

    tensors: by name; floats in float32, views of the file where it has them so. kinds: name of
    the numbers in the file ("float16") and shape of each tensor. ignored: other entries, each with
    the reason why it is left out. notes: where in the file they were, if not at the top.
    """

    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    kinds: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Where they were, and what was lost by reading them as float32."""
        wide = sum(kind == "float64" for kind, _ in self.kinds.values())
        rounded = [f"{wide} float64 tensors were rounded to float32"] if wide else []
        return self.notes + rounded


def read_weights(path: Path) -> Weights:
    """The tensors of a safetensors file.

    Raises:
        CheckpointError: the file is missing, cut, or no safetensors file.
    """
    data, entries = _open(path)
    read = Weights()
    for name, entry in entries.items():
        kind = KINDS[entry.kind]
        read.kinds[name] = kind, entry.shape
        read.tensors[name] = as_float32(view(data, entry.start, STORED[kind], entry.shape), kind)
    return read


def list_tensors(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Kind ("float32") and shape of every tensor of a safetensors file; nothing is read.

    Raises:
        CheckpointError: the file is missing, cut, or no safetensors file.
    """
    return {name: (KINDS[entry.kind], entry.shape) for name, entry in _open(path)[1].items()}


def narrow_chunks(tensor: np.ndarray, dtype: str) -> Iterator[memoryview]:
    """The bytes of a float32 tensor as it is stored in `dtype`, in row order, piece by piece.

    The pages of a mapped source are given back after the last piece.
    """
    for block in chunks(tensor):
        stored = np.ascontiguousarray(narrow(block, dtype)).reshape(-1)
        yield stored.view(np.uint8).data
    drop_pages(tensor)


def _open(path: Path) -> tuple[Bytes, dict[str, Entry]]:
    """The mapped file and its tensors, every place checked."""
    data = map_file(path)
    size = int.from_bytes(data[:8].tobytes(), "little") if len(data) >= 8 else -1
    if not 2 <= size <= min(len(data) - 8, _MAX_HEADER):
        raise _damaged(path, f"{len(data)} bytes with a header of {size}")
    try:
        values = json.loads(data[8 : 8 + size].tobytes(), object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"a header that is not JSON: {str(error)[:80]}") from error
    if not isinstance(values, dict):
        raise _damaged(path, "a header that is not a JSON object")
    values.pop("__metadata__", None)
    unusual = {
        value["dtype"][:20]
        for value in values.values()
        if isinstance(value, dict)
        and isinstance(value.get("dtype"), str)
        and value["dtype"] not in KINDS
    }
    if unusual:
        raise CheckpointError(
            "The file holds numbers of an unusual kind; perhaps the model was quantised.",
            expected=", ".join(KINDS),
            found=", ".join(sorted(unusual)),
            where=path,
            fix="save the model before it is quantised, in float32, float16 or bfloat16",
        )
    entries = {name: _entry(path, name, value, 8 + size) for name, value in values.items()}
    _check_places(path, entries, 8 + size, len(data))
    return data, entries


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name occurs twice")
    return values


def _entry(path: Path, name: str, value: Any, first: int) -> Entry:
    """One tensor of the header."""
    try:
        kind, shape, (start, end) = value["dtype"], value["shape"], value["data_offsets"]
        good = isinstance(kind, str) and isinstance(shape, list) and len(shape) <= 32
        good = good and all(type(x) is int and 0 <= x < 1 << 50 for x in [*shape, start, end])
        good = good and math.prod(max(x, 1) for x in shape) < 1 << 50
    except (TypeError, KeyError, ValueError):
        good = False
    if not good:
        raise _damaged(path, f"no kind, shape and place for {name[:80]}")
    if end - start != math.prod(shape) * item_size(KINDS[kind]):
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
        raise _damaged(path, f"{size} bytes where the header says {place}")


def _damaged(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        "The weights cannot be read.",
        expected="a complete safetensors file",
        found=found,
        where=path,
        fix="copy or download the file again",
    )


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], dtype: str = "float32") -> None:
    """Write float32 tensors; the note `format: pt` is what transformers looks for.

    dtype: float32, float16 or bfloat16.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    kind, place = NAMES[dtype], 0
    width = item_size(KINDS[kind])
    for name, tensor in tensors.items():
        end = place + tensor.size * width
        header[name] = {"dtype": kind, "shape": tensor.shape, "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            for piece in narrow_chunks(tensor, dtype):
                file.write(piece)
