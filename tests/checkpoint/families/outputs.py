"""Run a checkpoint on the inputs of a reference case and compare with what the original gave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.model.loading import build, build_body, build_task

BOUND = 3e-5


def kept(path: Path) -> Checkpoint:
    """The checkpoint at a path, in memory: the file can be written over."""
    checkpoint = open_checkpoint(path).checkpoint
    tensors = {name: np.array(tensor) for name, tensor in checkpoint.tensors.items()}
    return replace(checkpoint, tensors=tensors)


def arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file."""
    with np.load(path) as file:
        return dict(file)


def outputs(
    checkpoint: Checkpoint, ids: np.ndarray, types: np.ndarray, mask: np.ndarray
) -> dict[str, np.ndarray]:
    """Everything that a checkpoint gives, under names of our own; (B, T) or (B, choices, T) in."""
    head = checkpoint.head
    shape = ids.shape
    given = [torch.from_numpy(np.array(x)) for x in (ids, types, mask.astype(bool))]
    rows = [x.reshape(-1, shape[-1]) for x in given]
    model = build(checkpoint) if checkpoint.has_masked_lm else build_body(checkpoint)
    found: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        if checkpoint.has_masked_lm:
            places = torch.arange(rows[0].numel())
            output = model(*rows[:2], mask=rows[2], target_positions=places, return_all=True)
            encoder = output.encoder
            found["mlm"] = output.mlm_logits.reshape(*rows[0].shape, -1)
            if output.sop_logits is not None:
                found["order"] = output.sop_logits
        else:
            encoder = model(*rows[:2], mask=rows[2], return_all=True)
        for number, state in enumerate(encoder.hidden_states):
            found[f"hidden_{number:02}"] = state
        found["tokens"] = encoder.hidden
        if encoder.pooled is not None:
            found["pooled"] = encoder.pooled
        if head is not None:
            task = build_task(checkpoint)(*given[:2], mask=given[2])
            if head.kind == "span":
                found |= {"start": task.start, "end": task.end}
            else:
                found["logits"] = task.logits
    return {name: x.numpy() for name, x in found.items()}


def distance(found: np.ndarray, expected: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Largest difference at real positions, in units of max(1, largest expected value)."""
    assert found.shape == expected.shape
    if mask is not None and found.shape[: mask.ndim] == mask.shape:
        found, expected = found[mask.astype(bool)], expected[mask.astype(bool)]
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
