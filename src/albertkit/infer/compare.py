"""Run two checkpoints on one fixed batch and measure how far apart their outputs are."""

from __future__ import annotations

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.data.batch import Batch
from albertkit.errors import CheckpointError
from albertkit.infer.engine import Floats, run_checked
from albertkit.infer.torch_engine import TorchEngine

_SEQUENCES, _MAX_TOKENS = 4, 32
_SEED = 20191108
_TARGETS = 4  # tokens of each sequence that are predicted: V numbers each

# Names in reports, and of an engine's outputs.
_NAMES = {
    "hidden": "all_layers",
    "pooled": "pooled",
    "mlm": "masked_lm",
    "order": "sentence_order",
    "head": "task",
}

Arrays = dict[str, list[Floats]]


def check_forward(a: Checkpoint, b: Checkpoint) -> dict[str, float]:
    """Largest absolute difference of each output on a fixed batch, over all tokens.

    The batch has four sequences of seeded ids with two segments, of different lengths. Outputs:
    `hidden` (the embeddings and every layer), `pooled`, `mlm` (logits), `order` (logits), `head`
    (what the head of the task gives). An output that one of the two lacks is left out. One model
    is in memory at a time.

    Raises:
        CheckpointError: the two cannot read the same batch (another vocabulary).
        PredictionError: one of them computes NaN or infinite numbers.
    """
    if a.config.vocab_size != b.config.vocab_size:
        raise CheckpointError(
            "These two checkpoints cannot read the same batch.",
            expected=f"vocab_size={a.config.vocab_size}",
            found=f"vocab_size={b.config.vocab_size}",
            fix="compare two forms of one model, such as a checkpoint and what it was converted to",
        )
    columns = min(_MAX_TOKENS, a.config.max_position_embeddings, b.config.max_position_embeddings)
    left, right = _outputs(a, columns), _outputs(b, columns)
    return {name: _largest(left[name], right[name], name) for name in left if name in right}


def _largest(left: list[Floats], right: list[Floats], name: str) -> float:
    shapes = [[x.shape for x in side] for side in (left, right)]
    if shapes[0] != shapes[1]:
        raise CheckpointError(
            f"The two checkpoints give outputs of another shape: {name}.",
            expected=str(shapes[0])[:200],
            found=str(shapes[1])[:200],
            fix="compare two forms of one model, with the same sizes and the same head",
        )
    pairs = zip(left, right, strict=True)
    return max(float(np.abs(one.astype(np.float64) - other).max()) for one, other in pairs)


def fixed_batch(config: AlbertConfig, columns: int = _MAX_TOKENS) -> Batch:
    """Four sequences of seeded ids; the first is the longest, each has two segments."""
    columns = min(columns, config.max_position_embeddings)
    draws = np.random.default_rng(_SEED)
    ids = draws.integers(0, config.vocab_size, (_SEQUENCES, columns))
    lengths = np.array([max(1, columns * part // 4) for part in (4, 3, 2, 1)])
    second = np.arange(columns) >= lengths[:, None] // 2
    segments = min(2, config.type_vocab_size)
    return Batch.from_padded(ids, np.minimum(second, segments - 1).astype(np.int64), lengths)


def _outputs(checkpoint: Checkpoint, columns: int) -> Arrays:
    """Everything that the checkpoint gives for the batch."""
    batch = fixed_batch(checkpoint.config, columns)
    engine = TorchEngine(checkpoint)
    first = [np.arange(start, start + min(n, _TARGETS)) for start, n in _places(batch)]
    positions = np.concatenate(first)
    want = {ours: theirs for theirs, ours in _NAMES.items() if ours in engine.outputs}
    found = run_checked(engine, batch, tuple(want), positions)
    outputs = {theirs: [found[ours]] for ours, theirs in want.items()}
    if checkpoint.head is not None and checkpoint.head.kind == "beam_span":
        outputs["head"] = _beam(engine, batch)
    return outputs


def _places(batch: Batch) -> list[tuple[int, int]]:
    """First token and length of each sequence."""
    return list(zip(batch.starts.tolist(), batch.lengths.tolist(), strict=True))


def _beam(engine: TorchEngine, batch: Batch) -> list[Floats]:
    """What a beam search sees; the beam itself is left out.

    Where two of it are nearly equal, rounding turns them around.
    """
    scores = engine.span_scores(batch)
    return [scores["starts"], scores["ends"], scores["unanswerable"]]
