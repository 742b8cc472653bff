"""What an exporter's file has: the shape of every module in this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from albertkit.checkpoint.checkpoint import Checkpoint


class Exporter(Protocol):
    """A module of this folder.

    ENGINE: of `infer/engines`, opens what it writes. PACKAGES: whose versions the manifest holds.
    CALIBRATES: whether its int8 takes texts. FIXES_LENGTH: whether it can write a model for rows
    of one length. EXAMPLE: the program that is left beside the model, with {inputs} to fill.

    One more is there only where a file can hold a tokenizer: TOKENIZER_PACKAGE, the package that
    this needs; `write` then also takes `tokenize`, the texts to compare it on.
    """

    TITLE: str
    ENGINE: str
    PRECISIONS: tuple[str, ...]
    PACKAGES: tuple[str, ...]
    CALIBRATES: bool
    FIXES_LENGTH: bool
    EXAMPLE: str

    def write(
        self,
        checkpoint: Checkpoint,
        folder: Path,
        task: str,
        precision: str,
        calibrate: str | Path | None,
        length: int | None,
    ) -> None:
        """Write the model's files into an empty folder, for a task of `graph/tasks.py`.

        length: tokens of every row, as many as the model has positions; None: any number.
        """
