"""metrics.jsonl: one JSON object a line, exactly one line per event also after a resume."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from albertkit.errors import TrainingError, reason
from albertkit.files import translate_os_errors
from albertkit.train.tensorboard import TensorBoard

METRICS = "metrics.jsonl"


def open_metrics(folder: Path, saved: Mapping[str, Any], *, tensorboard: bool) -> Metrics:
    """The metrics of a run folder, to go on where a training state was; {} begins anew.

    tensorboard: the same figures also go to RUN/tensorboard.
    """
    next_step = saved["step"] + 1 if saved else 0
    board = TensorBoard(folder, next_step) if tensorboard else None
    return Metrics(folder / METRICS, saved.get("metrics_bytes", 0), board)


class Metrics:
    """The metrics file of a run, open for appending.

    `size` goes into each training state; opening with that size drops what was written after the
    state, so that the resumed steps are not there twice. board: gets the same figures.
    """

    def __init__(self, path: Path, size: int = 0, board: TensorBoard | None = None) -> None:
        self.path, self._board = path, board
        with translate_os_errors(path):
            path.touch()
            found = path.stat().st_size
            if found < size:
                raise TrainingError(
                    "The metrics of this run have been shortened.",
                    expected=f"at least {size:,} bytes, as the training state says",
                    found=f"{found:,} bytes",
                    where=path,
                    fix="put the file back, or resume a copy of the run that still has it",
                )
            os.truncate(path, size)
            self._file = path.open("a", encoding="utf-8")

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def write(self, event: str, facts: Mapping[str, Any]) -> None:
        """Append one line and hand it to the operating system."""
        with translate_os_errors(self.path):
            self._file.write(json.dumps({"event": event, **facts}) + "\n")
            self._file.flush()
        if self._board is not None:
            self._board.write(event, facts)

    def flush(self) -> None:
        """Wait until all lines are on the disk."""
        with translate_os_errors(self.path):
            os.fsync(self._file.fileno())
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """Close the files."""
        with translate_os_errors(self.path):  # what could not be written is tried once more
            self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All lines of a metrics file; a line cut off by a kill is left out.

    Raises:
        TrainingError: a line is damaged.
    """
    lines = path.read_bytes().split(b"\n")
    return [_event(line, f"{path}, line {n}") for n, line in enumerate(lines[:-1], 1)]


def _event(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode())
        if not isinstance(value, dict):
            raise TypeError(f"a JSON {type(value).__name__}")
        return value
    except (ValueError, TypeError, RecursionError) as error:
        raise TrainingError(
            "The metrics of this run are damaged.",
            expected="a JSON object on each line",
            found=reason(error),
            where=where,
            fix="remove the line; what it measured is missing then",
        ) from error
