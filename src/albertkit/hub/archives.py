"""Unpack a checkpoint archive of strangers: only the files a checkpoint has, inside one folder.

A path that leaves the folder, a link, a device, an encrypted member and an archive that grows far
beyond its size are refused by name. Everything else that is not wanted is passed over.
"""

from __future__ import annotations

import fnmatch
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Protocol, cast

from albertkit.errors import AlbertkitError, CheckpointError
from albertkit.files import translate_os_errors

# Names of files that belong to a checkpoint; compared with the last part of a path.
WANTED = (
    "*.index",
    "*.data-[0-9]*-of-[0-9]*",
    "*.meta",
    "checkpoint",
    "*.pb",
    "*config*.json",
    "vocab*",
    "*.model",
    "*.vocab",
    "*.pdparams",
    "*.safetensors",
    "*.bin",
    "*.h5",
    "*.onnx",
    "LICENSE*",
    "README*",
)
MAX_RATIO = 20  # unpacked bytes for each packed one; weights hardly shrink at all
SPARE_BYTES = 64 << 20  # a small archive may grow by this much whatever its ratio
MAX_TOTAL_BYTES = 16 << 30
MAX_MEMBERS = 1000
_MAX_HEADER_BYTES = 1 << 20  # bytes that an archive may spend on saying what comes next
_PIECE = 1 << 18
_DAMAGED: tuple[type[Exception], ...] = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OSError,
)


class Readable(Protocol):
    """Bytes in pieces; an empty piece is the end."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Unpack the wanted files of a .tar.gz or .zip below `folder`; returns them.

    Raises:
        CheckpointError: no archive, a damaged or a hostile one, or one without a wanted file.
        OutputError: the folder cannot be written.
    """
    with archive.open("rb") as file:
        head = file.read(8)
    made: list[Path] = []
    with _damage_named(archive), translate_os_errors(folder):
        if head.startswith(b"PK"):
            made.extend(_unzip(archive, folder))
        elif head.startswith(b"\x1f\x8b"):
            with gzip.open(archive) as stream:
                made.extend(_untar(archive, stream, folder))
        else:
            raise CheckpointError(
                "This is not an archive that can be unpacked.",
                expected="a .tar.gz or .zip file",
                found=f"a file that begins with {head!r}",
                where=archive,
                fix="check the address it came from: it may be a web page",
            )
    if not made:
        raise CheckpointError(
            "The archive holds no checkpoint.",
            expected="files such as model.ckpt.index and albert_config.json",
            found="none of them",
            where=archive,
            fix="check the address it came from",
        )
    return made


def _untar(archive: Path, stream: Readable, folder: Path) -> Iterator[Path]:
    budget = _Budget(archive)
    counted = _Counted(stream, budget)
    counted.allow(_MAX_HEADER_BYTES)
    with tarfile.open(fileobj=cast(IO[bytes], counted), mode="r|") as tar:
        while True:
            counted.allow(_MAX_HEADER_BYTES)
            member = tar.next()
            counted.allow(None)
            if member is None:
                break
            budget.member(member.name)
            if member.size < 0:
                raise tarfile.ReadError(f"{member.name} has a size below zero")
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise _hostile(archive, member.name, "a link, a device or a sparse file")
            place = _place(archive, member.name, folder)
            content = tar.extractfile(member)
            assert content is not None, "a regular file has content"
            if _copy(content, place, None) < member.size:  # `counted` counts
                raise EOFError(f"{member.name} is cut off")
            if place is not None:
                yield place
    while counted.read(_PIECE):  # gzip compares its checksum at the very end
        pass


def _unzip(archive: Path, folder: Path) -> Iterator[Path]:
    budget = _Budget(archive)
    with archive.open("rb") as file, zipfile.ZipFile(cast(IO[bytes], _Careful(file))) as packed:
        for member in packed.infolist():
            budget.member(member.filename)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _hostile(archive, member.filename, "a link or a device")
            if member.flag_bits & 1:
                raise _hostile(archive, member.filename, "an encrypted file")
            if member.filename and member.is_dir():
                continue
            place = _place(archive, member.filename, folder)
            usual = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            if place is not None and not usual:
                raise _hostile(archive, member.filename, "a rare kind of compression")
            if place is not None or usual:
                with packed.open(member) as content:  # where its two names must be the same
                    if place is not None:
                        if _copy(content, place, budget) != member.file_size:
                            raise EOFError(f"{member.filename} is not as long as announced")
                        yield place


def _copy(content: IO[bytes], place: Path | None, budget: _Budget | None) -> int:
    """Write a member to its place, or read past it; its bytes."""
    done = 0
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("xb") if place is not None else nullcontext() as file:
        while piece := content.read(_PIECE):
            done += len(piece)
            if budget is not None:
                budget.spend(len(piece))
            if file is not None:
                file.write(piece)
    return done


def _place(archive: Path, name: str, folder: Path) -> Path | None:
    """Where a member goes; None if it is not wanted. Paths that leave the folder are refused."""
    pure = PurePosixPath(name)
    outside = pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name
    if outside or "\0" in name or not pure.parts:
        raise _hostile(archive, name, "a path that leaves the folder")
    if any(part.startswith((".", "__MACOSX")) for part in pure.parts):
        return None
    if not any(fnmatch.fnmatchcase(pure.name, pattern) for pattern in WANTED):
        return None
    place = folder.joinpath(*pure.parts)
    within = [place.parents[n] for n in range(len(pure.parts) - 1)]
    if place.exists() or any(parent.is_file() for parent in within):
        raise _hostile(archive, name, "the same name twice")
    return place


class _Budget:
    """Counts members and unpacked bytes, and stops what grows beyond measure."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        size = archive.stat().st_size
        self._limit = min(size * MAX_RATIO + SPARE_BYTES, MAX_TOTAL_BYTES)
        self._bytes = self._members = 0

    def spend(self, count: int) -> None:
        self._bytes += count
        if self._bytes > self._limit:
            raise CheckpointError(
                "The archive grows far beyond its size.",
                expected=f"at most {self._limit:,} bytes from {self._archive.stat().st_size:,}",
                found="more",
                where=self._archive,
                fix="do not use this file",
            )

    def member(self, name: str) -> None:
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise _hostile(self._archive, name, f"more than {MAX_MEMBERS} members")


class _Careful:
    """The file of a zip archive. `zipfile` trusts the sizes and places in its directory.

    No read may be long (a directory of 1000 members is short, and its entries grow tenfold in
    memory), none may begin where no file has a byte.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell, self.seekable, self.close = file.tell, file.seekable, file.close

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0 and not 0 <= offset < 1 << 63:
            raise zipfile.BadZipFile(f"a part at byte {offset}")
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        most = _MAX_HEADER_BYTES + 1
        data = self._file.read(most if size < 0 else min(size, most))
        if len(data) == most:
            raise zipfile.BadZipFile("a directory is longer than a directory can be")
        return data


class _Counted:
    """Bytes of a tar: all of them count, and its headers may not be long."""

    def __init__(self, stream: Readable, budget: _Budget) -> None:
        self._stream = stream
        self._budget = budget
        self._left: int | None = None

    def allow(self, count: int | None) -> None:
        self._left = count

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._budget.spend(len(data))
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise tarfile.ReadError("a header is longer than a header can be")
        return data


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    try:
        yield
    except AlbertkitError:
        raise
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the operating system speaks, not a decompressor
        raise CheckpointError(
            "The archive is damaged or cut off.",
            expected="a complete archive",
            found=str(error) or type(error).__name__,
            where=archive,
            fix="remove it and download it again",
        ) from error


def _hostile(archive: Path, name: str, what: str) -> CheckpointError:
    return CheckpointError(
        "The archive holds what no checkpoint has.",
        expected="files inside one folder",
        found=f"{what}: {name!r}",
        where=archive,
        fix="do not use this file",
    )
