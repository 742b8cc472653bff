"""A file that grows group by group, and goes on where it was if it was stopped, even by a kill.

What is written goes to OUTPUT.part; OUTPUT.part.json says how much of it counts, and what it is
made of. At the end OUTPUT.part becomes OUTPUT.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from albertkit.errors import OutputError
from albertkit.files import atomic_file, is_special, translate_os_errors, write_atomic

_COUNTS = ("rows", "taken", "bytes")


@dataclass
class GrowingFile:
    """file: to write to. rows: in it. taken: of the input, some of which may have given no row."""

    file: BinaryIO
    rows: int = 0
    taken: int = 0
    note: Path | None = None
    made_of: Mapping[str, Any] | None = None

    def commit(self, rows: int, taken: int) -> None:
        """What was written since the last time counts: so many rows, made of so much input."""
        self.rows, self.taken = self.rows + rows, self.taken + taken
        if self.note is None:
            return
        self.file.flush()
        os.fsync(self.file.fileno())
        counts = (self.rows, self.taken, self.file.tell())
        now = {**(self.made_of or {}), **dict(zip(_COUNTS, counts, strict=True))}
        write_atomic(self.note, json.dumps(now) + "\n")


@contextmanager
def growing_file(output: Path, made_of: Mapping[str, Any] | None) -> Iterator[GrowingFile]:
    """Give a file to fill; when the block ends well `output` holds its content.

    made_of: what decides the content, in values of JSON; a file that was begun with the same goes
    on behind its last commit. None, or an output that is a pipe or a device: nothing goes on. When
    the block fails, what was committed stays to go on with.

    Raises:
        OutputError: it cannot be written, or was begun with something else.
    """
    if made_of is None or is_special(output):
        with atomic_file(output) as file:
            yield GrowingFile(file)
        return
    output = Path(os.path.realpath(output))  # a link stays one
    with translate_os_errors(output):
        if output.is_dir():  # found before the work is done, not when the file is renamed
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(output))
    part = output.with_name(output.name + ".part")
    note = output.with_name(output.name + ".part.json")
    rows, taken, end = _counts(made_of, part, note)
    with _resumable(note), translate_os_errors(part):
        with part.open("r+b" if end else "w+b") as file:
            file.truncate(end)
            file.seek(end)
            growing = GrowingFile(file, rows, taken, note, made_of)
            try:
                yield growing
            except BaseException:
                if not growing.rows:
                    part.unlink()
                raise
            file.flush()
            os.fsync(file.fileno())
        if output.exists():
            part.chmod(output.stat().st_mode & 0o777)
        part.replace(output)
        note.unlink(missing_ok=True)


@contextmanager
def _resumable(note: Path) -> Iterator[None]:
    """Let what cannot be written say that nothing is lost of what was committed."""
    try:
        yield
    except OutputError as error:
        # An error of the rows has another cause.
        if isinstance(error.__cause__, OSError) and note.exists():
            fix = error.facts["to do"]
            error.facts["to do"] = f"{fix}; then the same call goes on where it was"
            error.command_fix = f"{fix}; then the same command goes on where it was"
        raise


def _counts(made_of: Mapping[str, Any], part: Path, note: Path) -> tuple[int, int, int]:
    """Rows, what they took of the input, and bytes that are done, if of the same."""
    if not part.is_file() or not note.is_file():
        return 0, 0, 0
    try:
        done = dict(json.loads(note.read_text(encoding="utf-8")))
        rows, end = int(done.pop("rows")), int(done.pop("bytes"))
        taken = int(done.pop("taken", rows))  # what 0.1 wrote has none
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
        done, rows, taken, end = {}, 0, 0, 0
    names = [x for x in {**made_of, **done} if done.get(x) != made_of.get(x)]
    if names or part.stat().st_size < end:
        raise OutputError(
            "Another file was begun here, and it is not finished.",
            expected=_shown(made_of, names or list(made_of)),
            found=_shown(done, names or list(done)) if done else "a note that cannot be read",
            where=part,
            fix="remove the file, or choose another name",
        )
    return rows, taken, end


def _shown(facts: Mapping[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name}={facts.get(name)}" for name in names)
