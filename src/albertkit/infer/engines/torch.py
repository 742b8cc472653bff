"""PyTorch: the model of `model/albert.py` itself, the reference for the other engines."""

from __future__ import annotations

from pathlib import Path

import torch

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.infer.engine import Engine
from albertkit.infer.engines._cpus import threads_or_cpus
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.infer.torch_engine import TorchEngine

TITLE = "PyTorch"
PRECISIONS = ("fp32", "bf16")


def make(checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
    """See `EngineKind.make`; auto is fp32.

    Threads that are not asked for are those of PyTorch (OMP_NUM_THREADS), but never more than a
    container may use: it does not look.
    """
    threads = settings.threads or min(torch.get_num_threads(), threads_or_cpus(None))
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    return TorchEngine(checkpoint, settings.device, dtype)


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
