"""Run two checkpoints on one fixed batch and measure how far apart their outputs are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError
from albertkit.model.albert import Albert
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import build, build_body, build_task
from albertkit.model.packing import first_segment
from albertkit.model.task_heads import AlbertForTask

_ROWS, _LONGEST = 4, 32
_SEED = 20191108
_TARGETS = 4  # positions of each row whose words are predicted: V numbers each

Arrays = dict[str, list[npt.NDArray[np.float32]]]


def check_forward(a: Checkpoint, b: Checkpoint) -> dict[str, float]:
    """Largest absolute difference of each output on a fixed batch, over the real positions.

    The batch has four rows of seeded ids, two segments and padding. Outputs: `hidden` (the
    embeddings and every layer), `pooled`, `mlm` (logits), `order` (logits), `head` (what the head
    of the task gives). An output that one of the two lacks is left out. One model is in memory at
    a time.

    Raises:
        CheckpointError: the two cannot read the same batch (another vocabulary).
    """
    if a.config.vocab_size != b.config.vocab_size:
        raise CheckpointError(
            "These two checkpoints cannot read the same batch.",
            expected=f"vocab_size={a.config.vocab_size}",
            found=f"vocab_size={b.config.vocab_size}",
        )
    columns = min(_LONGEST, a.config.max_position_embeddings, b.config.max_position_embeddings)
    left, right = _outputs(a, columns), _outputs(b, columns)
    return {name: _largest(left[name], right[name], name) for name in left if name in right}


def _largest(
    left: list[npt.NDArray[np.float32]], right: list[npt.NDArray[np.float32]], name: str
) -> float:
    shapes = [[x.shape for x in side] for side in (left, right)]
    if shapes[0] != shapes[1]:
        raise CheckpointError(
            f"The two checkpoints give outputs of another shape: {name}.",
            expected=str(shapes[0])[:200],
            found=str(shapes[1])[:200],
        )
    pairs = zip(left, right, strict=True)
    return max(float(np.abs(one.astype(np.float64) - other).max()) for one, other in pairs)


def _batch(config: AlbertConfig, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, types and mask, (B, T) each; the first row is full, the others are shorter."""
    draws = np.random.default_rng(_SEED)
    ids = torch.from_numpy(draws.integers(0, config.vocab_size, (_ROWS, columns)))
    lengths = torch.tensor([max(1, columns * part // 4) for part in (4, 3, 2, 1)])
    column = torch.arange(columns)
    mask = column < lengths[:, None]
    first = first_segment(config)
    types = first + (column >= lengths[:, None] // 2).long()
    return ids, types.clamp(max=config.type_vocab_size - 1), mask


def _outputs(checkpoint: Checkpoint, columns: int) -> Arrays:
    """Everything that the checkpoint gives for the batch."""
    ids, types, mask = _batch(checkpoint.config, columns)
    model = build(checkpoint) if checkpoint.has_masked_lm else build_body(checkpoint)
    body = model.albert if isinstance(model, AlbertForPretraining) else model
    assert isinstance(body, Albert)
    found: dict[str, list[Tensor]] = {}
    with torch.inference_mode():
        encoder = body(ids, types, mask=mask, return_all=True)
        found["hidden"] = [state[mask] for state in encoder.hidden_states]
        found["hidden"].append(encoder.tokens[mask])
        if encoder.pooled is not None:
            found["pooled"] = [encoder.pooled]
        if isinstance(model, AlbertForPretraining):
            targets = encoder.tokens[:, :_TARGETS][mask[:, :_TARGETS]]
            found["mlm"] = [model.masked_lm(targets, body.embeddings)]
        if checkpoint.has_sentence_order and encoder.pooled is not None:
            weight, bias = (
                torch.from_numpy(np.array(checkpoint.tensors[f"sentence_order.{kind}"]))
                for kind in ("weight", "bias")
            )
            found["order"] = [F.linear(encoder.pooled, weight, bias)]
        if checkpoint.head is not None:
            task = build_task(checkpoint, body)
            found["head"] = _head(task, ids, types, mask)
    return {name: [x.numpy() for x in tensors] for name, tensors in found.items()}


def _head(task: AlbertForTask, ids: Tensor, types: Tensor, mask: Tensor) -> list[Tensor]:
    """What the head of a task gives at real positions."""
    if task.head.kind == "multiple_choice":
        shape = (_ROWS // 2, 2, -1)
        ids, types, mask = ids.view(shape), types.view(shape), mask.view(shape)
    starts = torch.zeros(len(ids), dtype=torch.int64)
    output = task(ids, types, mask=mask, start_places=starts)
    if output.beam is not None and output.beam.ends is not None:
        # The beam itself is left out: where two are nearly equal, rounding turns them around.
        beam = output.beam
        return [beam.starts[mask], output.beam.ends[mask], beam.unanswerable]
    if output.start is not None and output.end is not None:
        return [output.start[mask], output.end[mask]]
    assert output.logits is not None
    return [output.logits[mask] if output.logits.ndim == 3 else output.logits]
