"""What an exporter's file has: the shape of every module in this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from albertkit.checkpoint.checkpoint import Checkpoint


class Exporter(Protocol):
    """A module of this folder.

    ENGINE: of `infer/engines`, opens what it writes. PACKAGES: whose versions the manifest holds.
    CALIBRATED: precisions that take texts. FIXES_LENGTH: whether it can write a model for rows
    of one length. TOKENIZER_PACKAGE: what a tokenizer inside the file needs; None: it cannot hold
    one. EXAMPLE: the program that is left beside the model, with {inputs} to fill.
    """

    TITLE: str
    ENGINE: str
    PRECISIONS: tuple[str, ...]
    PACKAGES: tuple[str, ...]
    CALIBRATED: tuple[str, ...]
    FIXES_LENGTH: bool
    TOKENIZER_PACKAGE: str | None
    EXAMPLE: str

    def write(
        self,
        checkpoint: Checkpoint,
        folder: Path,
        task: str,
        precision: str,
        calibrate: str | Path | None,
        length: int | None,
        tokenize: str | Path | None,
    ) -> None:
        """Write the model's files into an empty folder, for a task of `graph/tasks.py`.

        length: tokens of every row, as many as the model has positions; None: any number.
        tokenize: texts that a tokenizer inside the file must cut as ours does; None: no tokenizer.
        """
