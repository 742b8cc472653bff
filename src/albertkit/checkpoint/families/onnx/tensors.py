"""Tensors of ONNX files: views of the mapped file, or of the external data beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from albertkit.checkpoint.formats import protobuf_wire
from albertkit.checkpoint.formats.dtypes import FLOATS, STORED, as_float32, item_size
from albertkit.checkpoint.formats.memory_map import Array, Bytes, map_file, view
from albertkit.errors import CheckpointError

_MAX_NUMBERS = 4096  # in a list that is not one piece of bytes
_MAX_AXES = 8
# Kinds of numbers by their numbers in onnx.proto3.
_KINDS = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}
# Texts, which a vocabulary inside of the graph may be; read as an empty list of bytes.
_TEXT = 8


@dataclass(frozen=True)
class Stored:
    """Numbers of a file: dtype is "float32", ..., or "bfloat16", whose bits are in uint16.

    source: name of the tensor in the file; `array` may be another view of it.
    """

    dtype: str
    array: Array = field(repr=False)
    source: str = ""

    @property
    def is_float(self) -> bool:
        """Whether the numbers are floats."""
        return self.dtype in FLOATS

    @property
    def is_weight(self) -> bool:
        """Whether these may be numbers that were learned: floats, and more than one."""
        return self.is_float and self.array.size > 1

    def to_float32(self) -> Array:
        """float32 for floats, a view where they are stored so; other numbers as they are."""
        return as_float32(self.array, self.dtype)


def bad(what: str, fix: str = "export or copy the file again") -> CheckpointError:
    """The error of every file that cannot be read."""
    return CheckpointError(
        "This ONNX file cannot be read.", expected="an exported model", found=what, fix=fix
    )


class Tensors:
    """Reads TensorProto messages of the file at `path`; `fields` counts what it looks at."""

    def __init__(
        self, path: Path, fields: Callable[[memoryview], Iterator[protobuf_wire.Field]]
    ) -> None:
        self.path = path
        self.fields = fields
        self._outside: dict[str, Bytes] = {}

    @property
    def files(self) -> list[Path]:
        """Files of external data that were opened."""
        return [self.path.parent / name for name in self._outside]

    def read(self, message: memoryview) -> tuple[str, Stored]:
        """Name and numbers of a TensorProto.

        Raises:
            CheckpointError: another number of bytes than its shape needs, or of unknown kind.
        """
        shape: list[int] = []
        kind, name, where = 0, "", 0
        pieces: list[memoryview] = []
        numbers: list[int | memoryview] = []
        outside: dict[str, str] = {}
        for number, value in self.fields(message):
            if number == 1:
                extend(shape, value)
            elif number == 2:
                kind = protobuf_wire.number(value)
            elif number in (4, 9, 10):  # packed floats, or the bytes themselves
                pieces.append(protobuf_wire.message(value))
            elif number in (5, 7, 11):
                numbers.append(value)
            elif number == 8:
                name = protobuf_wire.text(value)
            elif number == 13:
                outside.update([self._entry(protobuf_wire.message(value))])
            elif number == 14:
                where = protobuf_wire.number(value)
        if kind == _TEXT:
            return name, Stored("text", np.zeros(0, "u1"))
        if kind not in _KINDS or len(shape) > _MAX_AXES or min(shape, default=0) < 0:
            raise bad(f"tensor {name[:80]!r} of kind {kind} and shape {tuple(shape[:9])}")
        dtype = _KINDS[kind]
        stored = STORED[dtype]
        size = math.prod(shape) * item_size(dtype)
        if where == 1:
            data, offset = self._beside(outside, size)
            return name, Stored(dtype, view(data, offset, stored, tuple(shape)))
        if len(pieces) > 1 or (pieces and numbers):
            raise bad(f"tensor {name[:80]!r} in {len(pieces) + len(numbers)} pieces")
        if numbers:
            data = _as_kind(_decoded(numbers), dtype).view(np.uint8)
        else:
            data = np.frombuffer(pieces[0] if pieces else b"", np.uint8)
        if len(data) != size:
            raise bad(f"{len(data)} bytes for {name[:80]!r}, {dtype} of shape {tuple(shape)}")
        return name, Stored(dtype, view(data, 0, stored, tuple(shape)))

    def _entry(self, message: memoryview) -> tuple[str, str]:
        texts = {number: protobuf_wire.text(value) for number, value in self.fields(message)}
        return texts.get(1, ""), texts.get(2, "")

    def _beside(self, entries: dict[str, str], size: int) -> tuple[Bytes, int]:
        """The mapped file that holds a tensor, and the place in it."""
        name = entries.get("location", "")
        if not name or Path(name).name != name or name in (".", "..") or "\\" in name:
            raise bad(f"data outside its folder: {name[:80]!r}")
        numbers = [entries.get("offset", "0"), entries.get("length", str(size))]
        if not all(len(x) < 20 and x.isascii() and x.isdigit() for x in numbers):
            raise bad(f"data of {name[:80]!r} at no place: {', '.join(numbers)[:80]}")
        offset, length = (int(x) for x in numbers)
        if length != size:
            raise bad(f"{length} bytes in {name[:80]!r} for a tensor of {size}")
        if name not in self._outside:
            self._outside[name] = map_file(self.path.parent / name)
        return self._outside[name], offset


def extend(numbers: list[int], value: int | memoryview) -> None:
    """Add one integer, or the many of a packed field: sizes and the like, not weights."""
    place = 0
    while isinstance(value, int) or place < len(value):
        if len(numbers) >= _MAX_NUMBERS:
            raise bad(f"a list of more than {_MAX_NUMBERS} numbers")
        if isinstance(value, int):
            numbers.append(protobuf_wire.signed(value))
            return
        number, place = protobuf_wire.varint(value, place)
        numbers.append(protobuf_wire.signed(number))


def _decoded(parts: list[int | memoryview]) -> Array:
    """int64 numbers of a repeated field, as many as there are: all at once, not one by one."""
    if len(parts) == 1 and not isinstance(parts[0], int):
        data = np.frombuffer(parts[0], np.uint8)
        ends = np.flatnonzero(data < 0x80)
        starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
        lengths = ends - starts + 1
        if len(data) and (not len(ends) or ends[-1] != len(data) - 1 or lengths.max() > 10):
            raise protobuf_wire.damaged("a number without end", 0)
        values = np.zeros(len(ends), np.uint64)
        for place in range(int(lengths.max(initial=0))):
            there = lengths > place
            digits = data[starts[there] + place].astype(np.uint64) & np.uint64(0x7F)
            values[there] |= digits << np.uint64(7 * place)
        return values.view(np.int64)
    numbers: list[int] = []
    for part in parts:
        extend(numbers, part)
    return np.array(numbers, np.int64)


def _as_kind(numbers: Array, dtype: str) -> Array:
    """Numbers of a list as the array they stand for; floats of 16 bits are given by bits."""
    bits = {"float16": "<u2", "bfloat16": "<u2", "bool": "u1"}.get(dtype, dtype)
    kind = np.dtype(bits).newbyteorder("<")
    found = numbers.astype(kind)
    if kind.kind not in "iu" or not np.array_equal(found.astype(np.int64), numbers):
        raise bad(f"numbers that are no {dtype}")
    return found
