"""PyTorch: the model of `model/albert.py` itself, the reference for the other engines."""

from __future__ import annotations

from pathlib import Path

import torch

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.infer.engine import Engine
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.infer.torch_engine import TorchEngine

TITLE = "PyTorch"
PRECISIONS = ("fp32",)


def make(checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
    """See `EngineKind.make`."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    return TorchEngine(checkpoint, settings.device)


def open_exported(folder: Path, settings: EngineSettings) -> Engine:
    """Nothing is exported for PyTorch: a checkpoint folder is what it opens."""
    raise PredictionError(
        "PyTorch does not open exported folders.",
        expected="a checkpoint folder",
        found="an exported model",
        where=folder,
        fix="leave engine out, or name the checkpoint that was exported",
        command_fix="leave --engine out, or name the checkpoint that was exported",
    )
