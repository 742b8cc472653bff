"""Open files, folders, globs, archives and standard input as streams of decompressed bytes.

Compression is detected from the first bytes, not from the name. Nothing is ever unpacked to disk: a
tar's members are read in passing, so its paths and links have no effect. Memory does not grow with
the input. Compressed bytes read so far are counted, for progress on any input.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import io
import lzma
import mmap
import os
import sys
import tarfile
import tempfile
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import cramjam

from albertkit.data.other_kinds import refuse_binary
from albertkit.errors import CorpusError

STANDARD_INPUT = "-"
TEXT_SUFFIXES = (".txt", ".text", ".md", ".markdown", ".jsonl", ".ndjson", "")
COMPRESSED = (".gz", ".xz", ".bz2", ".zst")
PACKED_SUFFIXES = (*COMPRESSED, ".tar", ".tgz", ".txz")

_MAGIC = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd"}
_OPENERS: dict[str | None, Any] = {"gzip": gzip.open, "xz": lzma.open, "bzip2": bz2.open}
_DAMAGED = (EOFError, lzma.LZMAError, zlib.error, tarfile.TarError, gzip.BadGzipFile)
_PIECE = 1 << 18


def _buffered(raw: Any) -> io.BufferedReader[Any]:
    """Put a buffer with `peek` in front of anything that can be read."""
    return io.BufferedReader(raw, _PIECE)


@dataclass
class InputBytes:
    """Bytes of the input as it is on disk: `done` so far, `total` (None: standard input)."""

    done: int = 0
    total: int | None = 0
    skipped: list[str] = field(default_factory=list)


class Readable(Protocol):
    """Bytes in pieces; an empty piece is the end."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""


@dataclass(frozen=True)
class TextFile:
    """One file of text: its name for messages, its bytes, and whether it is one file of many."""

    name: str
    stream: Readable
    one_of_many: bool


def open_sources(sources: Sequence[str | Path], count: InputBytes) -> Iterator[TextFile]:
    """Open each text file that the sources hold, one after the other, in a fixed order.

    A source is a file, a folder (all text files below it, by name), a glob pattern, or "-" for
    standard input. Each stream is valid until the next one is asked for. Raises CorpusError.
    """
    paths = [pair for source in sources for pair in _expand(str(source), count)]
    if any(path is None for path, _ in paths):
        count.total = None
    else:
        count.total = sum(path.stat().st_size for path, _ in paths if path is not None)
    for path, one_of_many in paths:
        if path is None:
            yield from _open_stream("standard input", sys.stdin.buffer, count, one_of_many)
            continue
        with _readable(path), path.open("rb") as file:
            yield from _open_stream(str(path), file, count, one_of_many)


def _expand(source: str, count: InputBytes) -> Iterator[tuple[Path | None, bool]]:
    """The files of one source, and whether they are parts of a collection; None: standard input."""
    if source == STANDARD_INPUT:
        yield None, False
        return
    path = Path(source)
    if path.is_dir():
        found = False
        for file in sorted(path.rglob("*")):
            if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts):
                if file.suffix.lower() in (*TEXT_SUFFIXES, *PACKED_SUFFIXES):
                    found = True
                    yield file, True
                else:
                    count.skipped.append(str(file))
        if not found:
            raise CorpusError(
                "The folder holds no text.",
                expected="files named " + " ".join(f"*{s}" for s in TEXT_SUFFIXES if s),
                found=f"{len(count.skipped)} files of other kinds",
                where=path,
                fix="name the files themselves",
            )
    elif path.exists():
        yield path, False
    else:
        matches = sorted(glob.glob(source, recursive=True))
        if not matches:
            raise CorpusError(
                "The input was not found.",
                expected="a file, a folder, a pattern such as 'texts/*.txt', or - (standard input)",
                found="no such file or folder",
                where=source,
                fix="check the path; a pattern needs quotes",
            )
        for match in matches:
            if Path(match).is_file():
                yield Path(match), len(matches) > 1


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise CorpusError(
            "The file cannot be read.",
            expected="permission to read",
            found=error.strerror,
            where=error.filename or path,
            fix="change the permissions of the file",
        ) from error


def _open_stream(
    name: str, stream: IO[bytes], count: InputBytes, one_of_many: bool
) -> Iterator[TextFile]:
    """Decompress; a tar gives each of its files, anything else gives itself."""
    counted = _buffered(_Counting(stream, count))
    with decompressed(counted, name) as content:
        with damage_named(name):
            head = content.peek(512)
        if not is_tar(head):
            refuse_binary(head, name)
            yield TextFile(name, _Guarded(content, name), one_of_many)
            return
        with damage_named(name), tarfile.open(fileobj=content, mode="r|") as tar:
            for member in tar:
                inner = tar.extractfile(member) if member.isfile() else None
                if inner is None:
                    continue
                inner_name = f"{name}:{member.name}"
                hidden = Path(member.name).name.startswith(".")
                suffix = Path(member.name).suffix.lower()
                if hidden or suffix not in (*TEXT_SUFFIXES, *COMPRESSED):
                    count.skipped.append(inner_name)
                    continue
                with decompressed(_buffered(inner), inner_name) as unpacked:
                    refuse_binary(unpacked.peek(16), inner_name)
                    yield TextFile(inner_name, _Guarded(unpacked, inner_name), True)


@contextmanager
def decompressed(stream: io.BufferedReader[Any], name: str) -> Iterator[io.BufferedReader[Any]]:
    """Look at the first bytes and put the right decompressor in front; name: for messages."""
    with damage_named(name):
        head = stream.peek(8)[:8]
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    if kind in _OPENERS:
        with _OPENERS[kind](stream) as raw, _buffered(raw) as unpacked:
            yield unpacked
    elif kind == "zstd":
        with _zstd_reader(stream, name) as unpacked:
            yield unpacked
    else:
        yield stream


def is_tar(head: bytes) -> bool:
    """Whether the first 512 bytes of a file are those of a tar archive."""
    return head[257:262] == b"ustar"


@contextmanager
def damage_named(name: str) -> Iterator[None]:
    """Turn what a decompressor says about damaged data into a CorpusError with the file's name."""
    try:
        yield
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the operating system speaks, not a decompressor
        raise CorpusError(
            "A compressed file is damaged or cut off.",
            expected="a complete archive",
            found=str(error) or type(error).__name__,
            where=name,
            fix="download or pack the file again",
        ) from error


class _Counting(io.RawIOBase):
    """Passes bytes through and counts them."""

    def __init__(self, stream: IO[bytes], count: InputBytes) -> None:
        self._stream, self._count = stream, count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._count.done += len(data)
        return len(data)


class _Guarded:
    """Reads pieces; damage in the compressed data is reported with the file's name."""

    def __init__(self, stream: io.BufferedReader[Any], name: str) -> None:
        self._stream, self._name = stream, name

    def read(self, size: int, /) -> bytes:
        with damage_named(self._name):
            return bytes(self._stream.read(size))


@contextmanager
def _zstd_reader(stream: io.BufferedReader[Any], name: str) -> Iterator[io.BufferedReader[Any]]:
    """Stream zstd through a pipe: cramjam decompresses whole buffers or into a file, so its file
    is the pipe's entrance. The compressed bytes wait in a temporary file that has no name."""
    if os.name == "nt":
        raise CorpusError(
            "zstd input is not read on Windows.", where=name, fix="unpack it, or pack it as .xz"
        )
    failure: list[str] = []
    with tempfile.TemporaryFile() as packed:
        while piece := stream.read(_PIECE):
            packed.write(piece)
        packed.flush()
        source = mmap.mmap(packed.fileno(), 0, access=mmap.ACCESS_READ)
        exit_end, entrance = os.pipe()

        def work() -> None:
            try:
                target = cramjam.File(f"/dev/fd/{entrance}", read=False, write=True, truncate=False)
                os.close(entrance)
                cramjam.zstd.decompress_into(source, target)
            except (OSError, cramjam.DecompressionError) as error:
                # Its text only: the error would keep the pipe's entrance open.
                failure.append(str(error))

        worker = threading.Thread(target=work, daemon=True, name="albertkit-zstd")
        worker.start()
        try:
            with _buffered(io.FileIO(exit_end)) as unpacked:
                yield unpacked
        finally:
            worker.join()
            source.close()
    if failure:
        raise CorpusError(
            "A compressed file is damaged or cut off.",
            expected="complete zstd frames",
            found=failure[0],
            where=name,
            fix="download or pack the file again",
        )
