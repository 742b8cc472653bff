"""RUN/tensorboard: the figures of a run for TensorBoard, beside metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from albertkit.files import translate_os_errors
from albertkit.plugins import need_package

FOLDER = "tensorboard"


def need_tensorboard() -> None:
    """Make sure that TensorBoard files can be written.

    Raises:
        AlbertkitError: the package is not installed; with the extra that brings it.
    """
    need_package("tensorboard", "tensorboard")


class TensorBoard:
    """Event files of a run, open for more; one more file for each process that trains.

    next_step: the first step that is still to be written; what an earlier process wrote from there
    on is hidden, so that the resumed steps are not there twice.
    """

    def __init__(self, folder: Path, next_step: int) -> None:
        need_tensorboard()
        self.folder = folder / FOLDER
        writer = need_package("torch.utils.tensorboard", "tensorboard").SummaryWriter
        with translate_os_errors(self.folder):
            self._writer = writer(str(self.folder), purge_step=next_step)

    def write(self, event: str, facts: Mapping[str, Any]) -> None:
        """Every number of a line of metrics that is of a step: train/loss, validation/accuracy."""
        step = facts.get("step")
        if step is None:
            return
        with translate_os_errors(self.folder):
            for name, value in facts.items():
                if name != "step" and isinstance(value, (int, float)):
                    self._writer.add_scalar(f"{event}/{name}", value, step)

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        with translate_os_errors(self.folder):
            self._writer.flush()

    def close(self) -> None:
        """Close the files."""
        with translate_os_errors(self.folder):
            self._writer.close()
