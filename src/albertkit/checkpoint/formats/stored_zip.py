"""Zip archives of plain stored entries, as torch writes them: every place and size checked.

Nothing is unpacked: an entry is a part of the mapped file. Compressed, encrypted, overlapping or
doubled entries, and names that leave the archive, are refused.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from albertkit.checkpoint.formats.memory_map import Bytes
from albertkit.errors import CheckpointError

MAX_ENTRIES = 20_000
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_UTF8 = 0x800
_UNKNOWN = 0xFFFFFFFF
_ALIGNMENT = 64


@dataclass(frozen=True)
class ZipEntry:
    """Where the bytes of an entry are in the archive; crc 0 where the writer made none."""

    name: str
    start: int
    size: int
    crc: int
    header: int


def read_entries(data: Bytes) -> dict[str, ZipEntry]:
    """The entries of an archive by name.

    Raises:
        CheckpointError: no zip archive, damaged, or of a form that torch never writes.
    """
    directory, size, count = _find_directory(data)
    entries: dict[str, ZipEntry] = {}
    place, end = directory, directory + size
    for _ in range(count):
        if place + _CENTRAL.size > end:
            raise damaged("a directory that is too short")
        fields = _CENTRAL.unpack(data[place : place + _CENTRAL.size].tobytes())
        length = _CENTRAL.size + sum(fields[10:13])
        if fields[0] != b"PK\x01\x02" or place + length > end:
            raise damaged(f"no entry of the directory at byte {place}")
        raw = data[place + _CENTRAL.size : place + length].tobytes()
        entry = _entry(data, fields, raw, directory)
        if entry.name in entries:
            raise damaged(f"the entry {entry.name[:80]} twice")
        entries[entry.name] = entry
        place += length
    if place != end:
        raise damaged("a directory that is too long")
    last = 0
    for entry in sorted(entries.values(), key=lambda entry: entry.header):
        if entry.header < last:
            raise damaged(f"the entry {entry.name[:80]} over another")
        last = entry.start + entry.size
    return entries


def check_crc(data: Bytes, entry: ZipEntry) -> None:
    """Hold the bytes of an entry against their checksum.

    Raises:
        CheckpointError: they differ. torch can be set to make no checksums (0): then nothing is
            compared.
    """
    if entry.crc and zlib.crc32(data[entry.start : entry.start + entry.size].data) != entry.crc:
        raise damaged(f"the entry {entry.name[:80]} that does not match its checksum")


def _find_directory(data: Bytes) -> tuple[int, int, int]:
    """Place, size and number of entries of the directory at the end."""
    place = len(data) - _END.size
    if place < 0 or data[place : place + 4].tobytes() != b"PK\x05\x06":
        raise damaged("no directory at the end")
    _, disk, other, here, count, size, start, comment = _END.unpack(data[place:].tobytes())
    if disk or other or here != count or comment:
        raise damaged("an archive of several parts, or with a comment")
    locator = place - _LOCATOR.size
    if locator >= 0 and data[locator : locator + 4].tobytes() == b"PK\x06\x07":
        _, disk, big, disks = _LOCATOR.unpack(data[locator:place].tobytes())
        if disk or disks > 1 or big + _END64.size > locator:
            raise damaged("a directory in another place than it says")
        fields = _END64.unpack(data[big : big + _END64.size].tobytes())
        if fields[0] != b"PK\x06\x06" or fields[4] or fields[5] or fields[6] != fields[7]:
            raise damaged("a directory in another place than it says")
        count, size, start = fields[7:]
        place = big
    if start + size != place or count > MAX_ENTRIES:
        raise damaged(f"a directory of {count} entries and {size} bytes at byte {start}")
    return start, size, count


def _entry(data: Bytes, fields: tuple[int, ...], raw: bytes, directory: int) -> ZipEntry:
    """One entry of the directory, with the header before its bytes."""
    flags, method, crc, packed, size = fields[3], fields[4], *fields[7:10]
    disk, header = fields[13], fields[16]
    try:
        name = raw[: fields[10]].decode("utf-8")
    except UnicodeDecodeError as error:
        raise damaged("a name that is not UTF-8") from error
    parts = name.split("/")
    if not name or "\\" in name or "\0" in name or {"", ".", ".."} & set(parts) or ":" in parts[0]:
        raise damaged(f"an entry with the name {name[:80]!r}")
    if _UNKNOWN in (packed, size, header):
        extra = raw[fields[10] : fields[10] + fields[11]]
        size, packed, header = _wide(extra, size, packed, header)
    if flags & ~(_UTF8 | 8) or method or disk or packed != size:
        raise damaged(f"the entry {name[:80]} packed or encrypted")
    if header + _LOCAL.size > directory:
        raise damaged(f"the entry {name[:80]} outside the archive")
    local = _LOCAL.unpack(data[header : header + _LOCAL.size].tobytes())
    start = header + _LOCAL.size + local[9] + local[10]
    same = (
        data[header + _LOCAL.size : header + _LOCAL.size + local[9]].tobytes() == raw[: fields[10]]
    )
    if local[0] != b"PK\x03\x04" or not same or local[3] or (local[2] ^ flags) & ~8:
        raise damaged(f"the entry {name[:80]} with another header than in the directory")
    if start + size > directory:
        raise damaged(f"the entry {name[:80]} outside the archive")
    sizes = (local[6], local[7], local[8])
    if not local[2] & 8 and sizes not in ((crc, size, size), (crc, _UNKNOWN, _UNKNOWN)):
        raise damaged(f"the entry {name[:80]} with another size than the directory says")
    return ZipEntry(name, start, size, crc, header)


def _wide(extra: bytes, size: int, packed: int, header: int) -> tuple[int, int, int]:
    """Sizes and place of an entry of the long form."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        if kind == 1:
            values = [
                int.from_bytes(extra[at : at + 8], "little")
                for at in range(place + 4, min(place + 4 + length, len(extra)) - 7, 8)
            ]
            sizes = []
            for value in (size, packed, header):
                if value == _UNKNOWN:
                    value = values.pop(0) if values else _UNKNOWN
                sizes.append(value)
            return sizes[0], sizes[1], sizes[2]
        place += 4 + length
    return size, packed, header


def damaged(found: str) -> CheckpointError:
    """The error of every broken or unusual archive."""
    return CheckpointError(
        "The archive is damaged, or not of torch.",
        expected="a zip archive of stored entries, as torch writes it",
        found=found,
        fix="copy or download the file again",
    )


class ZipWriter:
    """Writes an archive of stored entries; the bytes of each begin at a multiple of 64.

    with ZipWriter(path) as archive:
        with archive.entry("archive/data/0", size) as file:
            file.write(...)
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("w+b")
        self._directory: list[bytes] = []

    def __enter__(self) -> ZipWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            if kind is None:
                self._finish()

    def add(self, name: str, *pieces: bytes | memoryview, size: int | None = None) -> None:
        """A whole entry from its pieces."""
        with self.entry(name, sum(len(p) for p in pieces) if size is None else size) as file:
            for piece in pieces:
                file.write(piece)

    def entry(self, name: str, size: int) -> _EntryWriter:
        """An entry of this many bytes, to be written piece by piece."""
        return _EntryWriter(self._file, self._directory, name, size)

    def _finish(self) -> None:
        start = self._file.tell()
        directory = b"".join(self._directory)
        count = len(self._directory)
        if start + len(directory) >= _UNKNOWN or count >= 0xFFFF:
            raise CheckpointError(
                "The model is too large for this format.",
                expected="less than 4 GB",
                found=f"{start} bytes",
                fix="write safetensors",
            )
        end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), start, 0)
        self._file.write(directory + end)


class _EntryWriter:
    def __init__(self, file: BinaryIO, directory: list[bytes], name: str, size: int) -> None:
        self._file, self._directory = file, directory
        self._name, self._size = name.encode("utf-8"), size
        self._left, self._crc = size, 0
        self._header = file.tell()

    def __enter__(self) -> _EntryWriter:
        place = self._header + _LOCAL.size + len(self._name) + 4
        padding = -place % _ALIGNMENT
        # torch's own mark for bytes that only fill up.
        extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
        self._file.write(self._local(len(extra)) + self._name + extra)
        return self

    def _local(self, extra: int) -> bytes:
        size = min(self._size, _UNKNOWN)
        return _LOCAL.pack(
            *(b"PK\x03\x04", 0, _UTF8, 0, 0, 0x21, self._crc, size, size),
            *(len(self._name), extra),
        )

    def write(self, piece: bytes | memoryview) -> None:
        self._crc = zlib.crc32(piece, self._crc)
        self._left -= self._file.write(piece)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            return
        assert self._left == 0, "an entry has the size that was given"
        end = self._file.tell()
        self._file.seek(self._header + 14)
        self._file.write(self._crc.to_bytes(4, "little"))
        self._file.seek(end)
        size = min(self._size, _UNKNOWN)
        header = min(self._header, _UNKNOWN)
        self._directory.append(
            _CENTRAL.pack(
                *(b"PK\x01\x02", 0, 0, _UTF8, 0, 0, 0x21, self._crc, size, size),
                *(len(self._name), 0, 0, 0, 0, 0, header),
            )
            + self._name
        )
