"""A model for texts of one length."""

from __future__ import annotations

from dataclasses import replace

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.tasks.windows import MIN_TOKENS

_POSITIONS = "albert.embeddings.position.weight"


def shortened(checkpoint: Checkpoint, length: int, to: str, possible: bool) -> Checkpoint:
    """The same model with so many positions, which gives texts up to this length the same numbers.

    Raises:
        PredictionError: the exporter `to` writes models for any length only (`possible` is False),
            or the model is not that long.
    """
    if not possible:
        raise PredictionError(
            f"The exporter {to} writes models for any length.",
            expected="to='litert' with a length",
            found=f"length={length}",
            fix="leave length out",
            command_fix="leave --length out",
        )
    longest = checkpoint.config.max_position_embeddings
    if not MIN_TOKENS <= length <= longest:
        raise PredictionError(
            "The model cannot have this length.",
            expected=f"{MIN_TOKENS} to {longest} tokens",
            found=length,
            fix=f"pass length={longest}",
            command_fix=f"give --length {longest}",
        )
    config = replace(checkpoint.config, max_position_embeddings=length)
    tensors = {**checkpoint.tensors, _POSITIONS: checkpoint.tensors[_POSITIONS][:length]}
    return replace(checkpoint, config=config, tensors=tensors)
