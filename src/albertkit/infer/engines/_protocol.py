"""What an engine's file has: the shape of every module in this folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.infer.engine import Engine


@dataclass(frozen=True)
class EngineSettings:
    """How an engine computes.

    device: cpu, cuda, cuda:1, mps, or auto (cuda when it is there). precision: one of the
    engine's, or auto. threads: of the CPU; None: the CPUs that this process may use. calibrate:
    texts for int8 where the engine needs some, a file with one on each line; None: texts of ours.
    """

    device: str = "cpu"
    precision: str = "auto"
    threads: int | None = None
    calibrate: str | Path | None = None


class EngineKind(Protocol):
    """A module of this folder."""

    TITLE: str  # "PyTorch"
    PRECISIONS: tuple[str, ...]  # "fp32", "bf16", "int8"

    def make(self, checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
        """An engine for a checkpoint in memory."""

    def open_exported(self, folder: Path, settings: EngineSettings) -> Engine:
        """An engine for a folder that the exporter of this engine wrote."""
