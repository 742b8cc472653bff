"""A disk that becomes full at a chosen write: every point at which a program may find it so."""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.numpy
import safetensors.torch

_NO_SPACE = os.strerror(errno.ENOSPC)


@dataclass
class Disk:
    """Counts what is written below a folder; from write `full_at` on (from 1) there is no space.

    once: only that write is refused. done: the writes so far, each as "what name of the file".
    """

    folder: Path
    full_at: int | None = None
    once: bool = False
    done: list[str] = field(default_factory=list)

    def takes(self, what: str, path: object) -> bool:
        """Whether this write is done; counted where it is below the folder."""
        place = Path(os.path.abspath(os.fsdecode(path)))  # type: ignore[arg-type]
        if self.folder not in place.parents:
            return True
        self.done.append(f"{what} {place.relative_to(self.folder)}")
        if self.full_at is None:
            return True
        number = len(self.done)
        names = what in ("rename", "replace")  # what is renamed has its space already
        return number != self.full_at if self.once or names else number < self.full_at


class _File:
    """A file opened for writing, of which half of what is refused gets written.

    As with a buffer, closing it tries once more.
    """

    def __init__(self, file: Any, path: object, disk: Disk) -> None:
        self._file, self._path, self._disk, self._left = file, path, disk, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        if self._left and not self._disk.once:
            self._left = False
            raise OSError(errno.ENOSPC, _NO_SPACE)

    def write(self, content: Any) -> int:
        if not self._disk.takes("write", self._path):
            self._file.write(content[: len(content) // 2])
            self._file.flush()
            self._left = True
            raise OSError(errno.ENOSPC, _NO_SPACE)
        count: int = self._file.write(content)
        return count


@contextmanager
def disk(folder: Path, full_at: int | None = None, *, once: bool = False) -> Iterator[Disk]:
    """Writes below a folder go through a `Disk` until the block ends."""
    made = Disk(folder, full_at, once)
    open_file = io.open

    def opened(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if isinstance(file, int) or not set(mode) & set("wax+"):
            return open_file(file, mode, *rest, **more)
        if not Path(file).exists() and not made.takes("create", file):
            raise OSError(errno.ENOSPC, _NO_SPACE, os.fsdecode(file))
        return _File(open_file(file, mode, *rest, **more), file, made)

    def refusing(what: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def checked(path: Any, *rest: Any, **more: Any) -> Any:
            name = path if not isinstance(path, int) else os.readlink(f"/proc/self/fd/{path}")
            if not made.takes(what, name):
                raise OSError(errno.ENOSPC, _NO_SPACE, *([] if isinstance(path, int) else [name]))
            return call(path, *rest, **more)

        return checked

    def saving(call: Callable[..., None]) -> Callable[..., None]:
        def checked(tensors: Any, path: Any, *rest: Any, **more: Any) -> None:
            if not made.takes("write", path):
                Path(path).touch()  # half a file
                text = f"Error while serializing: I/O error: {_NO_SPACE} (os error {errno.ENOSPC})"
                raise safetensors.SafetensorError(text)
            call(tensors, path, *rest, **more)

        return checked

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "open", opened)
        patch.setattr("builtins.open", opened)
        for name in ("mkdir", "fsync", "rename", "replace", "truncate"):
            patch.setattr(os, name, refusing(name, getattr(os, name)))
        for module in (safetensors.numpy, safetensors.torch):
            patch.setattr(module, "save_file", saving(module.save_file))
        yield made


def points(done: list[str], *, every: bool = False) -> dict[str, int]:
    """Where a disk can become full, by number: the last write of each kind, or every write.

    A kind is what is done in which folder: to make a file, to write it, to rename it.
    """
    names = {f"{what}, write {number}": number for number, what in enumerate(done, 1)}
    if every:
        return names
    kinds = {re.sub(r"(\S*?)\.(\S*?)(-\d+)?\.writing-.*|, write.*", r"\1\2", x): x for x in names}
    return {name: names[name] for name in kinds.values()}
