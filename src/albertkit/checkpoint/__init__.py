"""One ALBERT on disk, whoever wrote it: the one way in to all formats."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint

__all__ = ["Checkpoint"]


def __getattr__(name: str) -> Any:
    """The public name, imported now: containers are used without it (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'albertkit.checkpoint' has no attribute {name!r}")
    return getattr(import_module("albertkit.checkpoint.checkpoint"), name)
