"""One process in a run folder: a second one would write its steps between those of the first.

The operating system holds the lock for as long as the process lives, so a kill leaves none behind.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from albertkit.errors import TrainingError
from albertkit.files import translate_os_errors

LOCK, OWNER = ".lock", ".lock-owner"


@contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder; raises TrainingError when another process has it."""
    lock, owner = FileLock(folder / LOCK), folder / OWNER
    try:
        with translate_os_errors(folder):
            lock.acquire(timeout=0)
    except Timeout as error:
        raise _taken(folder, owner) from error
    try:
        with translate_os_errors(owner):
            owner.write_text(f"{os.getpid()} {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _taken(folder: Path, owner: Path) -> TrainingError:
    try:
        number, host = owner.read_text(encoding="utf-8").split()
    except (OSError, ValueError):  # it has just begun, or is ending
        found, fix = "a process that does not say its id", "wait until it ends"
    else:
        here = host == socket.gethostname()
        found = f"process {number}" if here else f"process {number} on {host}"
        fix = f"wait until it ends, or end it with a saved state: kill {number}"
    return TrainingError(
        "Another process is training in this folder.",
        expected="one process in the folder of a run",
        found=found,
        where=folder,
        fix=fix,
    )
