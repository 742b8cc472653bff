"""Engines by name, a file of this folder each; `_protocol.py` says what one has.

Names that begin with `_` are not engines. One is imported when it is asked for.
"""

from __future__ import annotations

from pathlib import Path

from albertkit import plugins
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.infer.engine import Engine
from albertkit.infer.engines._protocol import EngineKind, EngineSettings


def make_engine(name: str, checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
    """The engine of this name for a checkpoint in memory.

    Raises:
        PredictionError: there is no engine of this name, it lacks a package, or it cannot compute
            this model or not with these settings.
    """
    return _kind(name, settings).make(checkpoint, settings)


def open_exported(name: str, folder: Path, settings: EngineSettings) -> Engine:
    """The engine of this name for a folder that an exporter wrote.

    Raises:
        PredictionError: see `make_engine`.
    """
    return _kind(name, settings).open_exported(folder, settings)


def _kind(name: str, settings: EngineSettings) -> EngineKind:
    """The module of an engine, once it is known to have the precision."""
    known = plugins.names("engines")
    if name not in known:
        raise PredictionError(
            f"engine must be one of auto, {', '.join(sorted(known))}.",
            found=name,
            fix="leave engine out",
            command_fix="leave --engine out",
        )
    kind: EngineKind = plugins.load("engines", name)
    if settings.precision not in ("auto", *kind.PRECISIONS):
        raise PredictionError(
            f"precision of the engine {name} must be one of auto, {', '.join(kind.PRECISIONS)}.",
            found=settings.precision,
            fix="leave precision out",
            command_fix="leave --precision out",
        )
    return kind
