"""Engines by name; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from albertkit.errors import PredictionError
from albertkit.infer.engine import Engine


def _torch_engine(checkpoint: Any, device: str) -> Engine:
    from albertkit.infer.torch_engine import TorchEngine

    return TorchEngine(checkpoint, device)


ENGINES: dict[str, Callable[[Any, str], Engine]] = {"torch": _torch_engine}


def make_engine(name: str, checkpoint: Any, device: str) -> Engine:
    """The engine of this name for a checkpoint in memory.

    Raises:
        PredictionError: there is no engine of this name.
    """
    if name not in ENGINES:
        raise PredictionError(
            f"engine must be one of {', '.join(sorted(ENGINES))}.",
            found=name,
            fix="leave engine out",
        )
    return ENGINES[name](checkpoint, device)
