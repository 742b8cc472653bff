"""Write files and folders so that a reader never sees half of one.

What is being written is beside its target under a name that starts with a dot. It is flushed to
the disk, then renamed. A failure removes it; after a kill or a power cut `clear_leftovers` does.
What the operating system refuses (disk full, permission, a name that is taken) is an OutputError.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from safetensors import SafetensorError

from albertkit.errors import ConfigError, OutputError

# Path -> (what was expected, what to do), by the error number of the operating system.
_REFUSALS = {
    errno.ENOSPC: ("free space on the disk", "free some space, or choose another place"),
    errno.EDQUOT: ("space left in the disk quota", "free some space, or choose another place"),
    errno.EFBIG: ("a file system that takes files of this size", "choose another place"),
    errno.EIO: ("a disk that can be written", "the disk reports a fault; choose another place"),
    errno.EROFS: ("a file system that can be written", "it is read-only; choose another place"),
    errno.EACCES: ("permission to write", "change the permissions, or choose another place"),
    errno.EPERM: ("permission to write", "change the permissions, or choose another place"),
    errno.ENOENT: ("a folder to write into", "make the folder first, or correct the path"),
    errno.ENOTDIR: ("a folder to write into", "part of the path is a file; correct the path"),
    errno.EISDIR: ("the name of a file", "the path is a folder; correct the path"),
    errno.EEXIST: ("a free name", "remove what is there, or choose another name"),
    errno.ENOTEMPTY: ("a free name", "remove what is there, or choose another name"),
    errno.ENAMETOOLONG: ("a shorter name", "choose a shorter path"),
    errno.ELOOP: ("a path without a circle of links", "correct the path"),
}
_WRITING, _REPLACED = ".writing-", ".replaced-"


@contextmanager
def atomic_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give an empty folder to fill; when the block ends well it is renamed to `target`.

    When the block fails nothing of it stays, and what was at `target` is untouched. Missing parent
    folders are made (and removed again on failure). An existing target is an OutputError unless
    `replace`; an empty folder counts as free. A link stays when the folder it points to is
    replaced; pipes and devices are never replaced.
    """
    target = Path(target)
    with translate_os_errors(target):
        if replace:
            target = _follow_links(target)
        if not replace or is_special(target):
            require_free(target)
        made = _make_parents(target.parent)
        temporary = target.parent / f".{target.name}{_WRITING}{secrets.token_hex(6)}"
        try:
            temporary.mkdir()
            yield temporary
            _open_to_readers(temporary)
            flush_folder(temporary)
            _move_into_place(temporary, target)
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            for folder in made:
                _remove_if_empty(folder)
            if isinstance(error, OutputError) and temporary.name in error.facts.get("where", ""):
                error.facts["where"] = str(target)
            raise
        _flush(target.parent)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that `path` holds either its old content or the new one; text is UTF-8.

    Pipes, devices and links: see `atomic_file`.
    """
    with atomic_file(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to fill, which can seek; when the block ends well `path` holds its content.

    A regular file holds either its old content or the new one. A link stays a link: the file that
    it points to is replaced. A pipe, a device or an open descriptor (/dev/stdout) gets the bytes
    at the end of the block and is never replaced. When the block fails nothing is written.
    A file that is replaced keeps its permissions.
    """
    path = Path(path)
    if is_special(path):
        with translate_os_errors(path), tempfile.TemporaryFile() as file:
            yield cast(BinaryIO, file)
            file.seek(0)
            with _open_special(path) as target:
                shutil.copyfileobj(file, target, 1 << 20)
        return
    with translate_os_errors(path):
        path = _follow_links(path)
        if path.is_dir():  # found before the work is done, not when the file is renamed
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = path.parent / f".{path.name}{_WRITING}{secrets.token_hex(6)}"
    with translate_os_errors(path):
        try:
            with temporary.open("x+b") as opened:
                yield opened
                opened.flush()
                os.fsync(opened.fileno())
            if path.exists():
                temporary.chmod(path.stat().st_mode & 0o777)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _flush(path.parent)


def is_special(path: Path) -> bool:
    """Whether a path leads to something that is not a file or folder on a disk."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:  # nothing there yet; what is wrong with the path shows when it is opened
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _descriptor(path: Path) -> int | None:
    """Number of the open file that a path such as /dev/stdout or /dev/fd/3 stands for."""
    names = {"/dev/stdout": 1, "/dev/stderr": 2}
    found = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d+)", str(path))
    return int(found[1]) if found else names.get(str(path))


def _open_special(path: Path) -> BinaryIO:
    number = _descriptor(path)
    if number is None:
        return path.open("wb")
    sys.stdout.flush()  # what was printed before comes first
    return os.fdopen(os.dup(number), "wb")


def _follow_links(path: Path) -> Path:
    """The place that a link points to, a file or nothing yet; other paths as they are."""
    if not path.is_symlink():
        return path
    real = Path(os.path.realpath(path))
    if real.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return real


def require_free(target: Path) -> None:
    """Refuse a target that exists; an empty folder counts as free."""
    if target.is_dir() and not target.is_symlink() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        raise OutputError(
            "The output exists already.",
            expected="a free name",
            found=_what_is(target),
            where=target,
            fix="remove it, or choose another name",
        )


def _what_is(target: Path) -> str:
    if target.is_symlink():
        return f"a link to {os.readlink(target)}"
    if target.is_dir():
        return "a folder with content"
    return "a file" if target.is_file() else "a pipe or a device"


def clear_leftovers(folder: Path) -> list[Path]:
    """Remove what a killed process left half-written directly in `folder`; returns the paths.

    A folder that was moved aside by an interrupted replacement goes back to its name. Call it only
    where no other process is writing.
    """
    for path in sorted(folder.glob(f".*{_REPLACED}*")):
        original = folder / path.name[1:].rsplit(_REPLACED, 1)[0]
        if not original.exists():
            path.rename(original)
    removed = sorted([*folder.glob(f".*{_WRITING}*"), *folder.glob(f".*{_REPLACED}*")])
    for path in removed:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return removed


def is_there(path: str | Path) -> bool:
    """Whether a file or a folder is there, or files of which the path is the prefix."""
    path = Path(path)
    files = glob.escape(path.name) + ".*"
    try:
        return path.exists() or (path.parent.is_dir() and any(path.parent.glob(files)))
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # a text, not a path
            return False
        raise


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_folder(folder: Path) -> None:
    """Make sure that every file below `folder`, and each folder's list of names, is on the disk."""
    for path in [*folder.rglob("*"), folder]:
        if path.is_file() or path.is_dir():
            _flush(path)


@contextmanager
def translate_os_errors(target: Path) -> Iterator[None]:
    """Turn what the operating system refuses while writing `target` into an OutputError.

    An error that names a file elsewhere (an input that is missing, say) passes unchanged.
    """
    try:
        yield
    except OSError as error:
        if not _concerns(error, target):
            raise
        raise _refusal(error.errno, error.strerror or str(error), target) from error
    except SafetensorError as error:
        # The library reports refused writes as text only: "... (os error 28)".
        number = re.search(r"os error (\d+)", str(error))
        if number is None or int(number[1]) not in _REFUSALS:
            raise
        raise _refusal(int(number[1]), os.strerror(int(number[1])), target) from error


def _concerns(error: OSError, target: Path) -> bool:
    if error.errno not in _REFUSALS:
        return False
    if error.filename is None:  # a write to an open file: its name is not known
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
    named = Path(os.path.abspath(os.fsdecode(error.filename)))
    place = Path(os.path.abspath(target))
    parts = {f".{place.name}{_WRITING}", f".{place.name}{_REPLACED}"}
    below = place in named.parents or any(
        p.name[: len(x)] == x for p in _line(named) for x in parts
    )
    return below or named == place or named in place.parents


def _line(path: Path) -> list[Path]:
    return [path, *path.parents]


def _refusal(number: int | None, found: str, target: Path) -> OutputError:
    expected, fix = _REFUSALS[number or 0]
    return OutputError("Cannot write.", expected=expected, found=found, where=target, fix=fix)


def _make_parents(folder: Path) -> list[Path]:
    """Make a folder and its parents; returns those that were made, the deepest first."""
    made = [path for path in _line(folder) if not path.exists()]
    nearest = _line(folder)[len(made)]
    if not nearest.is_dir():  # mkdir would call this "File exists"
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    folder.mkdir(parents=True, exist_ok=True)
    return made


def _move_into_place(temporary: Path, target: Path) -> None:
    if target.is_dir() and not target.is_symlink() and not any(target.iterdir()):
        target.rmdir()
    if not target.exists():
        temporary.rename(target)
        return
    aside = target.parent / f".{target.name}{_REPLACED}{secrets.token_hex(6)}"
    target.rename(aside)
    try:
        temporary.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside)
    else:
        aside.unlink()


def _open_to_readers(folder: Path) -> None:
    """Give files the read permissions of the folder: safetensors makes its files private (0600)."""
    readers = folder.stat().st_mode & 0o444
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(path.stat().st_mode | readers)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows has no handle of a folder to flush
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# A number above these is a typing error or a damaged file, never a model.
MAX_JSON_BYTES = 2 << 20  # bytes; the config of an ALBERT has some thousand


def json_text(path: Path) -> str:
    """The text of a JSON file, which is small: parsed it takes up to twenty times the memory.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large or not UTF-8.
    """
    with path.open("rb") as file:
        raw = file.read(MAX_JSON_BYTES + 1)
    if len(raw) > MAX_JSON_BYTES:
        raise ValueError(f"more than {MAX_JSON_BYTES} bytes")
    return raw.decode("utf-8-sig")


# How a file begins that stands for one which git-lfs has not fetched.
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def is_web_page(beginning: bytes) -> bool:
    """Whether a file is HTML: the page about a file was downloaded, or a page about an error."""
    return beginning.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html"))


def glimpse_json(path: Path) -> object:
    """Value of a JSON file, to see whose it is; None if it cannot be read. Never raises."""
    try:
        return json.loads(json_text(path))
    except (OSError, ValueError, RecursionError):
        return None


def strict_json(path: Path) -> object:
    """Value of a JSON file; NaN, Infinity and doubled keys are refused as well as bad JSON.

    Raises:
        ConfigError: the file is missing, too large or no strict JSON.
    """
    try:
        text = json_text(path)
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_doubles)
    except ConfigError:
        raise
    except OSError as error:
        raise ConfigError(
            "The config file cannot be read.",
            expected="a JSON file",
            found=error.strerror,
            fix="check the path",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            "The config file is not strict JSON.",
            expected="one JSON object in UTF-8",
            found=str(error),
            fix="correct the file or download it again",
        ) from error


def _no_constant(word: str) -> object:
    what = "The config file holds a number that is not finite."
    raise ConfigError(what, found=word, fix="correct it, or copy the original config.json")


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            what = "A key of the config file occurs twice."
            raise ConfigError(what, found=key[:80], fix="remove one of the two")
        values[key] = value
    return values
