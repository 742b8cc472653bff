"""Sorted tables of keys and values in TensorFlow's index files (the table format of LevelDB).

A table is data blocks, a block that names them, and a footer. Keys are sorted bytes; a key leaves
out what it shares with the one before it, except at restart points. Every block ends with a byte
for its compression and a masked CRC-32C. TensorFlow writes plain blocks; released files hold
Snappy blocks, too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import cramjam
import google_crc32c
import numpy as np

from albertkit.checkpoint.formats.memory_map import Array, Bytes, map_file
from albertkit.checkpoint.formats.protobuf_wire import varint
from albertkit.errors import CheckpointError

MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES = 48
# A checkpoint of 32 tensors with slots has an index of 6 KB: these bounds are far away from any.
MAX_TABLE_BYTES = 16 << 20
MAX_UNPACKED_BYTES = 6 << 20
MAX_KEYS = 20_000
MAX_KEY_BYTES = 1024
_TRAILER_BYTES = 5
_PLAIN, _SNAPPY = 0, 1
_SNAPPY_RATIO = 32  # its longest copy turns 3 bytes into 64
_BLOCK_BYTES = 4096
_RESTART_INTERVAL = 16
_MASK_DELTA = 0xA282EAD8


def crc32c(data: bytes | memoryview | Array, before: int = 0) -> int:
    """CRC-32C of contiguous bytes, continued from that of the bytes before them."""
    if isinstance(data, memoryview):
        data = np.frombuffer(data, dtype=np.uint8) if data.nbytes else b""
    return int(google_crc32c.extend(before, data))


def masked(crc: int) -> int:
    """A CRC as these files store it, so that a CRC over stored CRCs stays useful."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFF_FFFF


def is_table(path: Path) -> bool:
    """Whether a file ends with the magic number of a table; never raises."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            if file.tell() < FOOTER_BYTES:
                return False
            file.seek(-8, 2)
            return file.read(8) == struct.pack("<Q", MAGIC)
    except OSError:
        return False


def read_table(path: Path) -> dict[bytes, bytes]:
    """All keys and values in their order.

    Raises:
        CheckpointError: no table, damaged, or too large to be an index.
    """
    data = map_file(path)
    if len(data) > MAX_TABLE_BYTES:
        raise damaged(f"{len(data)} bytes", expected=f"an index of at most {MAX_TABLE_BYTES}")
    if len(data) < FOOTER_BYTES:
        raise damaged(f"{len(data)} bytes", expected=f"a footer of {FOOTER_BYTES} bytes")
    content = data.data
    footer = content[len(data) - FOOTER_BYTES :]
    if struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise damaged("another magic number", expected=f"{MAGIC:#x} at the end")
    _, _, place = _handle(footer, 0)  # of the block of filters, which TensorFlow leaves empty
    index = _handle(footer, place)[:2]
    budget = MAX_UNPACKED_BYTES
    table: dict[bytes, bytes] = {}
    last: bytes | None = None
    separator: bytes | None = None
    for key, value in _entries(_block(data, *index, MAX_UNPACKED_BYTES)):
        if separator is not None and key <= separator:
            raise damaged("blocks out of order", expected="sorted blocks")
        before = last
        block = _block(data, *_handle(memoryview(value), 0)[:2], budget)
        budget -= len(block)
        for name, content_of_name in _entries(block):
            if (last is not None and name <= last) or (separator is not None and name <= separator):
                raise damaged(f"{_shown(name)} after {_shown(last)}", expected="sorted keys")
            if len(table) >= MAX_KEYS:
                raise damaged("more keys", expected=f"at most {MAX_KEYS} keys")
            table[name] = content_of_name
            last = name
        if last == before:  # then the same block could stand there a million times
            raise damaged("an empty block", expected="keys in every block")
        if last is None or last > key:
            raise damaged("a block that its index does not cover", expected="keys up to its name")
        separator = key
    return table


def _handle(data: memoryview, place: int) -> tuple[int, int, int]:
    """Offset and size of a block, and the place after them."""
    offset, place = varint(data, place)
    size, place = varint(data, place)
    return offset, size, place


def _block(data: Bytes, offset: int, size: int, budget: int) -> bytes:
    """Content of a block, checked and unpacked."""
    if size + _TRAILER_BYTES > len(data) - FOOTER_BYTES - offset:
        raise damaged(f"a block of {size} bytes at {offset}", expected=f"{len(data)} bytes at most")
    body = data[offset : offset + size].tobytes()
    trailer = data[offset + size : offset + size + _TRAILER_BYTES].tobytes()
    kind, crc = struct.unpack("<BI", trailer)
    if masked(crc32c(trailer[:1], crc32c(body))) != crc:
        raise damaged(f"another checksum of the block at {offset}", expected=f"{crc:#010x}")
    if kind == _PLAIN:
        return body
    if kind != _SNAPPY:
        raise damaged(f"compression {kind}", expected="0 (none) or 1 (Snappy)")
    length, _ = varint(memoryview(body), 0)
    if length > min(budget, _SNAPPY_RATIO * size):
        raise damaged(f"{length} bytes packed into {size}", expected=f"{budget} at most")
    try:
        unpacked = bytes(cramjam.snappy.decompress_raw(body))
    except (cramjam.DecompressionError, ValueError) as error:
        raise damaged(str(error), expected="a Snappy block") from error
    if len(unpacked) != length:
        raise damaged(f"{len(unpacked)} bytes unpacked", expected=f"{length}")
    return unpacked


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block."""
    data = memoryview(block)
    count = struct.unpack("<I", data[-4:])[0] if len(data) >= 4 else 0
    end = len(data) - 4 * (count + 1)
    if count < 1 or end < 0:
        raise damaged(f"{count} restart points in {len(data)} bytes", expected="at least one")
    restarts = set(struct.unpack(f"<{count}I", data[end:-4]))
    data = data[:end]
    key, place, seen = b"", 0, 0
    while place < end:
        start = place
        shared, place = varint(data, place)
        rest, place = varint(data, place)
        size, place = varint(data, place)
        if shared > len(key) or (start in restarts and shared):
            raise damaged(f"{shared} bytes shared with a key of {len(key)}", expected="fewer")
        if rest + size > end - place or shared + rest > MAX_KEY_BYTES:
            raise damaged(f"a key of {rest} and a value of {size} bytes", expected="a smaller one")
        key = key[:shared] + bytes(data[place : place + rest])
        yield key, bytes(data[place + rest : place + rest + size])
        place += rest + size
        seen += start in restarts
    if seen != len(restarts) and end:
        raise damaged("restart points between entries", expected="restart points at entries")


def write_table(path: Path, items: Iterable[tuple[bytes, bytes]]) -> None:
    """Write a table of sorted keys in plain blocks of about 4 KB.

    The caller gives keys in rising order; errors of the operating system pass through.
    """
    with path.open("wb") as file:
        index = _BlockWriter()
        block = _BlockWriter()
        offset = 0

        def finish(last: bytes) -> None:
            nonlocal block, offset
            written = file.write(block.finished())
            index.add(last, _written_handle(offset, written - _TRAILER_BYTES))
            offset, block = offset + written, _BlockWriter()

        key = b""
        for key, value in items:
            block.add(key, value)
            if block.size >= _BLOCK_BYTES:
                finish(key)
        if block.size:
            finish(key)
        filters = file.write(_BlockWriter().finished())
        names = file.write(index.finished())
        footer = _written_handle(offset, filters - _TRAILER_BYTES)
        footer += _written_handle(offset + filters, names - _TRAILER_BYTES)
        file.write(footer.ljust(FOOTER_BYTES - 8, b"\0") + struct.pack("<Q", MAGIC))


class _BlockWriter:
    """A block that grows."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.restarts = [0]
        self.since_restart = 0
        self.last = b""

    @property
    def size(self) -> int:
        return len(self.data)

    def add(self, key: bytes, value: bytes) -> None:
        shared = 0
        if self.since_restart == _RESTART_INTERVAL:
            self.restarts.append(len(self.data))
            self.since_restart = 0
        elif self.data:
            most = min(len(key), len(self.last))
            shared = next((n for n in range(most) if key[n] != self.last[n]), most)
        for number in (shared, len(key) - shared, len(value)):
            self.data += written_varint(number)
        self.data += key[shared:] + value
        self.last = key
        self.since_restart += 1

    def finished(self) -> bytes:
        """The block with its restart points, its compression and its checksum."""
        body = bytes(self.data) + struct.pack(
            f"<{len(self.restarts) + 1}I", *self.restarts, len(self.restarts)
        )
        kind = bytes([_PLAIN])
        return body + kind + struct.pack("<I", masked(crc32c(kind, crc32c(body))))


def written_varint(value: int) -> bytes:
    """An unsigned number as it is written."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _written_handle(offset: int, size: int) -> bytes:
    return written_varint(offset) + written_varint(size)


def _shown(key: bytes | None) -> str:
    return repr(key)[1:80]


def damaged(found: str, *, expected: str) -> CheckpointError:
    """The error of every broken index."""
    return CheckpointError(
        "The index of the checkpoint is damaged.",
        expected=expected,
        found=found,
        fix="copy or download the file again",
    )
