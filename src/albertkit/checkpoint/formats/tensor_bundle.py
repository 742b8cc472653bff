"""TensorFlow's tensor bundle: the checkpoint files `PREFIX.index` and `PREFIX.data-00000-of-00001`.

The index is a sorted table. Key "" holds a header; every other key is the name of a tensor, its
value says where the bytes are and their checksum. Field numbers: tensorflow/core/protobuf/
tensor_bundle.proto.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from albertkit.checkpoint.formats import memory_map, protobuf_wire
from albertkit.checkpoint.formats.dtypes import FLOATS, STORED, as_float32, narrow
from albertkit.checkpoint.formats.leveldb_table import (
    crc32c,
    damaged,
    masked,
    read_table,
    write_table,
    written_varint,
)
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.errors import CheckpointError

# TensorFlow's number for a type (types.proto); numpy stores no strings.
KINDS = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
_NUMBERS = {name: number for number, name in KINDS.items()}
_STRING = 7
MAX_AXES = 16
MAX_FIELDS = 16  # of a header, an entry or an axis: a bound on the time that an index takes
MAX_STRING_BYTES = 16 << 20
_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class Entry:
    """One tensor of an index.

    dtype: its name ("float32"), or "type N" if we know none. crc: masked CRC-32C of its bytes.
    """

    name: str
    number: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int

    @property
    def dtype(self) -> str:
        """Name of the numbers' type."""
        return KINDS.get(self.number, f"type {self.number}")

    @property
    def storage(self) -> str | None:
        """How numpy stores the numbers; None for strings and types that are only listed."""
        return STORED.get(KINDS.get(self.number, ""))


@dataclass
class Bundle:
    """An open checkpoint: what its index says, and the mapped data files."""

    prefix: Path
    entries: dict[str, Entry]
    shards: list[memory_map.Bytes]
    files: list[Path]

    def raw(self, name: str) -> Array:
        """The numbers of a tensor as stored, a view of the file (bfloat16 as uint16).

        Raises:
            CheckpointError: a type that is not a number, or a place outside the file.
        """
        entry = self.entries[name]
        if entry.storage is None:
            raise CheckpointError(
                "A tensor holds no numbers that can be read.",
                expected="one of " + ", ".join(k for k in KINDS.values() if k in STORED),
                found=f"{name}: {entry.dtype}",
                fix="save the checkpoint again without this tensor, or as one of these types",
            )
        return memory_map.view(self.shards[entry.shard], entry.offset, entry.storage, entry.shape)

    def float32(self, name: str) -> Array:
        """A tensor as float32: a view of the file if it is float32 there, else a copy."""
        raw = self.raw(name)
        kind = self.entries[name].dtype
        if kind not in FLOATS:
            raise CheckpointError(
                "A tensor holds integers where floating-point numbers belong.",
                expected=", ".join(FLOATS),
                found=f"{name}: {kind}",
                fix="save the checkpoint again with this tensor as float32",
            )
        return as_float32(raw, kind)

    def text(self, name: str) -> bytes:
        """The one string of a string tensor, its checksum tested.

        Raises:
            CheckpointError: no such tensor, or damaged.
        """
        entry = self.entries[name]
        if entry.number != _STRING or entry.shape != () or entry.size > MAX_STRING_BYTES:
            raise damaged(f"{name}: {entry.dtype} {entry.shape}", expected="one string")
        data = memory_map.view(
            self.shards[entry.shard], entry.offset, "u1", (entry.size,)
        ).tobytes()
        length, place = protobuf_wire.varint(memoryview(data), 0)
        if place + 4 + length != len(data):
            raise damaged(f"a string of {length} bytes in {len(data)}", expected="all of it")
        crc = crc32c(struct.pack("<I" if length < 1 << 32 else "<Q", length))
        if masked(crc) != struct.unpack_from("<I", data, place)[0]:
            raise _wrong_checksum(name)
        if masked(crc32c(data[place:], crc)) != entry.crc:
            raise _wrong_checksum(name)
        return data[place + 4 :]

    def check(self) -> None:
        """Test the checksum of every tensor of numbers, in the order of the file.

        Raises:
            CheckpointError: bytes that are not those that were written.
        """
        for entry in sorted(self.entries.values(), key=lambda e: (e.shard, e.offset)):
            if entry.storage is None:
                continue
            data = memory_map.view(self.shards[entry.shard], entry.offset, "u1", (entry.size,))
            crc = 0
            for start in range(0, len(data), _CHUNK_BYTES):
                crc = crc32c(data[start : start + _CHUNK_BYTES], crc)
                if entry.size > _CHUNK_BYTES:
                    memory_map.drop_pages(data)
            if masked(crc) != entry.crc:
                raise _wrong_checksum(entry.name)
        for shard in self.shards:
            memory_map.drop_pages(shard)


def read_bundle(prefix: Path, *, check: bool = True) -> Bundle:
    """Open a checkpoint; tensors are mapped, not read.

    Args:
        prefix: path without `.index`.
        check: test the checksums of all tensors now.

    Raises:
        CheckpointError: a file is missing or damaged; big-endian or partitioned tensors.
    """
    entries, count = read_index(prefix)
    files = [data_file(prefix, number, count) for number in range(count)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise CheckpointError(
            "Data files of the checkpoint are missing.",
            expected=f"{len(files)} beside {index_file(prefix).name}",
            found="no " + ", no ".join(missing[:4]),
            where=prefix.parent,
            fix="copy all files of the checkpoint into one folder",
        )
    used = {entry.shard for entry in entries.values() if entry.size}
    empty = np.empty(0, dtype=np.uint8)  # an empty file cannot be mapped
    shards = [
        memory_map.map_file(file) if number in used or file.stat().st_size else empty
        for number, file in enumerate(files)
    ]
    for entry in entries.values():
        if entry.offset + entry.size > len(shards[entry.shard]):
            raise CheckpointError(
                "A data file of the checkpoint is cut.",
                expected=f"{entry.name} at bytes {entry.offset} to {entry.offset + entry.size}",
                found=f"{len(shards[entry.shard])} bytes",
                where=files[entry.shard],
                fix="copy or download the file again",
            )
    bundle = Bundle(prefix, entries, shards, [index_file(prefix), *files])
    if check:
        bundle.check()
    return bundle


def index_file(prefix: Path) -> Path:
    """The index of a checkpoint."""
    return prefix.with_name(prefix.name + ".index")


def data_file(prefix: Path, number: int, count: int) -> Path:
    """One of the data files of a checkpoint."""
    return prefix.with_name(f"{prefix.name}.data-{number:05}-of-{count:05}")


def read_index(prefix: Path) -> tuple[dict[str, Entry], int]:
    """Every tensor that the index names, in its order, and the number of data files.

    Needs no data files, so the structure of a checkpoint can be seen from its index alone.

    Raises:
        CheckpointError: missing or damaged; big-endian or partitioned tensors.
    """
    table = read_table(index_file(prefix))
    if b"" not in table:
        raise damaged("no header", expected="a header under the empty key")
    shards = _read_header(table.pop(b""))
    entries = {}
    for key, value in table.items():
        if key.startswith(b"\0"):
            raise _partitioned(repr(key))
        name = protobuf_wire.text(memoryview(key))
        entries[name] = _read_entry(name, value, shards)
    _check_overlaps(entries.values())
    return entries, shards


def _read_header(data: bytes) -> int:
    """Number of data files; byte order and version are checked."""
    shards = endianness = minimum = 0
    for number, value in protobuf_wire.fields(memoryview(data), MAX_FIELDS):
        if number == 1:
            shards = protobuf_wire.number(value)
        elif number == 2:
            endianness = protobuf_wire.number(value)
        elif number == 3:
            version = [
                protobuf_wire.number(v)
                for n, v in protobuf_wire.fields(protobuf_wire.message(value), MAX_FIELDS)
                if n == 2
            ]
            minimum = version[-1] if version else 0
    if endianness != 0:
        raise CheckpointError(
            "The checkpoint was written on a big-endian machine.",
            expected="little-endian numbers",
            found=f"endianness {endianness}",
            fix="save it again on a little-endian machine",
        )
    if minimum > 1:
        raise damaged(f"version {minimum}", expected="a checkpoint of version 1")
    if not 1 <= shards <= 4096:
        raise damaged(f"{shards} data files", expected="1 to 4096")
    return shards


def _read_entry(name: str, data: bytes, shards: int) -> Entry:
    """One entry, each of its numbers checked."""
    found = {1: 0, 3: 0, 4: 0, 5: 0}
    shape: tuple[int, ...] = ()
    crc = 0
    for number, value in protobuf_wire.fields(memoryview(data), MAX_FIELDS):
        if number == 7:
            raise _partitioned(name)
        if number in found:
            found[number] = protobuf_wire.signed(protobuf_wire.number(value))
        elif number == 2:
            shape = _read_shape(name, protobuf_wire.message(value))
        elif number == 6:
            content = protobuf_wire.message(value)
            if len(content) != 4:
                raise damaged(f"{name}: a checksum of {len(content)} bytes", expected="4 bytes")
            crc = struct.unpack("<I", content)[0]
    kind, shard, offset, size = found.values()
    entry = Entry(name, kind, shape, shard, offset, size, crc)
    if not 0 <= shard < shards or offset < 0 or size < 0:
        raise damaged(f"{name}: {size} bytes at {offset} of file {shard}", expected="a place")
    if entry.storage is not None:
        needed = math.prod(shape) * np.dtype(entry.storage).itemsize
        if needed != size:
            raise damaged(
                f"{name}: {size} bytes", expected=f"{needed} bytes of {entry.dtype} {shape}"
            )
    return entry


def _read_shape(name: str, data: memoryview) -> tuple[int, ...]:
    shape = []
    for number, value in protobuf_wire.fields(data, MAX_AXES + 1):
        if number == 3 and protobuf_wire.number(value):
            raise damaged(f"{name}: a shape without axes", expected="a known shape")
        if number == 2:
            axis = protobuf_wire.fields(protobuf_wire.message(value), MAX_FIELDS)
            sizes = [protobuf_wire.number(v) for n, v in axis if n == 1]
            shape.append(protobuf_wire.signed(sizes[-1]) if sizes else 0)
        if len(shape) > MAX_AXES:
            raise damaged(f"{name}: more axes", expected=f"at most {MAX_AXES}")
    if min(shape, default=0) < 0 or max(shape, default=0) >= 1 << 40:
        raise damaged(f"{name}: shape {tuple(shape)}", expected="sizes of axes")
    return tuple(shape)


def _check_overlaps(entries: Iterable[Entry]) -> None:
    """Refuse two tensors in one place: a damaged index, or one made to unpack to too much."""
    ends: dict[int, tuple[int, str]] = {}
    for entry in sorted(entries, key=lambda e: (e.shard, e.offset, e.size)):
        end, before = ends.get(entry.shard, (0, ""))
        if entry.size and entry.offset < end:
            raise damaged(f"{entry.name} begins inside {before}", expected="a place of its own")
        ends[entry.shard] = max((end, before), (entry.offset + entry.size, entry.name))


def _partitioned(name: str) -> CheckpointError:
    return CheckpointError(
        "A variable is stored in slices.",
        expected="variables in one piece",
        found=name,
        fix="save the model again without a partitioner",
    )


def _wrong_checksum(name: str) -> CheckpointError:
    return CheckpointError(
        "The numbers of a tensor are damaged.",
        expected="the checksum in the index",
        found=f"another one for {name}",
        fix="copy or download the data file again",
    )


class _Summed:
    """A file that keeps the checksum of what was written since it was last asked."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.crc = 0

    def write(self, data: bytes | memoryview) -> int:
        self.crc = crc32c(data, self.crc)
        return self.file.write(data)


def write_bundle(prefix: Path, tensors: Mapping[str, Array], dtype: str | None = None) -> None:
    """Write a checkpoint of one data file that TensorFlow reads.

    Args:
        prefix: path without `.index`; errors of the operating system pass through.
        tensors: arrays of the types in KINDS by name; views are written piece by piece.
        dtype: float32, float16 or bfloat16 for all of them; else each has its own.
    """
    items = [(b"", b"\x08\x01\x1a\x02\x08\x01")]  # one data file, little-endian, version 1
    offset = 0
    with data_file(prefix, 0, 1).open("wb") as file:
        for name in sorted(tensors, key=str.encode):
            tensor = tensors[name]
            kind = dtype or tensor.dtype.name
            summed = _Summed(file)
            if kind == "bfloat16":
                size = sum(
                    summed.write(narrow(block, kind).data)
                    for block in memory_map.chunks(tensor, "<f4")
                )
                memory_map.drop_pages(tensor)
            else:
                wanted = np.dtype(kind).newbyteorder("<")
                size = memory_map.write_chunks(cast(BinaryIO, summed), tensor, wanted)
            items.append((name.encode(), _written_entry(kind, tensor.shape, offset, size, summed)))
            offset += size
    write_table(index_file(prefix), items)


def _written_entry(
    kind: str, shape: tuple[int, ...], offset: int, size: int, summed: _Summed
) -> bytes:
    """An entry as TensorFlow writes it: zeros left out."""
    axes = b""
    for length in shape:
        axis = b"\x08" + written_varint(length)
        axes += b"\x12" + written_varint(len(axis)) + axis
    parts = [b"\x08" + written_varint(_NUMBERS[kind]), b"\x12" + written_varint(len(axes)) + axes]
    for key, number in ((b"\x20", offset), (b"\x28", size)):
        parts += [key + written_varint(number)] if number else []
    return b"".join(parts) + b"\x35" + struct.pack("<I", masked(summed.crc))
