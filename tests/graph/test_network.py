"""The network in steps gives what the torch model gives, padded and packed, for every variant."""

from __future__ import annotations

import numpy as np
import pytest
from graph_variants import CHANGES, HEADS, fine_tuned, variant
from numpy_ops import NumpyOps

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.batch import Batch
from albertkit.graph.layouts import PackedLayout, PaddedLayout, packed_inputs
from albertkit.graph.network import Network, outputs_of, pick_of
from albertkit.infer.torch_engine import TorchEngine

LENGTHS = np.array([3, 12, 1, 7])
TARGETS = np.array([1, 4, 5, 9, 20])  # none in the sequence of one token, three in another


def batch_of(checkpoint: Checkpoint) -> Batch:
    draws = np.random.default_rng(5)
    total = int(LENGTHS.sum())
    ids = draws.integers(0, checkpoint.config.vocab_size, total)
    return Batch(ids, draws.integers(0, 2, total), LENGTHS)


def packed(checkpoint: Checkpoint, batch: Batch, want: tuple[str, ...]) -> dict[str, np.ndarray]:
    pick, ops = pick_of(checkpoint, want), NumpyOps(checkpoint.tensors)
    layout = PackedLayout(ops, pick, **packed_inputs(batch, pick, TARGETS))
    return Network(checkpoint, ops, layout).outputs(want)


def padded(checkpoint: Checkpoint, batch: Batch, want: tuple[str, ...]) -> dict[str, np.ndarray]:
    ops = NumpyOps(checkpoint.tensors)
    real = np.arange(LENGTHS.max()) < LENGTHS[:, None]
    ids, segments = (np.zeros(real.shape, np.int64) for _ in range(2))
    ids[real], segments[real] = batch.ids, batch.segment_ids
    layout = PaddedLayout(ops, pick_of(checkpoint, want), ids, segments, real)
    found = Network(checkpoint, ops, layout).outputs(want)
    return {name: x[real] if x.ndim == 3 else x for name, x in found.items()}


def check(checkpoint: Checkpoint, want: tuple[str, ...]) -> None:
    batch = batch_of(checkpoint)
    expected = TorchEngine(checkpoint).run(batch, want, TARGETS)
    for name, found in packed(checkpoint, batch, want).items():
        picked = TARGETS if name == "masked_lm" and len(want) > 1 else slice(None)
        np.testing.assert_allclose(found[picked], expected[name], atol=2e-5, err_msg=name)
    for name, found in padded(checkpoint, batch, want).items():
        picked = TARGETS if name == "masked_lm" else slice(None)
        np.testing.assert_allclose(found[picked], expected[name], atol=2e-5, err_msg=name)


@pytest.mark.parametrize("name", CHANGES)
def test_every_variant_gives_what_torch_gives(name: str) -> None:
    checkpoint = variant(name)
    for want in (("hidden",), ("pooled",), ("masked_lm",), ("sentence_order",)):
        check(checkpoint, want)
    check(checkpoint, ("hidden", "pooled", "masked_lm", "sentence_order"))


@pytest.mark.parametrize("kind", HEADS)
def test_every_head_gives_what_torch_gives(kind: str) -> None:
    checkpoint = fine_tuned(kind)
    assert "task" in outputs_of(checkpoint)
    check(checkpoint, ("task",))
    check(checkpoint, ("hidden", "task"))


def test_the_last_layer_computes_only_what_is_asked_for() -> None:
    checkpoint = variant("plain")
    rows = {}

    class Counting(NumpyOps):
        def activate(self, x: np.ndarray, kind: str) -> np.ndarray:
            rows.setdefault(kind, []).append(len(x))
            return super().activate(x, kind)

    total, batch = int(LENGTHS.sum()), batch_of(checkpoint)
    for want, last in (("pooled", len(LENGTHS)), ("masked_lm", len(TARGETS)), ("hidden", total)):
        rows.clear()
        pick, ops = pick_of(checkpoint, (want,)), Counting(checkpoint.tensors)
        layout = PackedLayout(ops, pick, **packed_inputs(batch, pick, TARGETS))
        Network(checkpoint, ops, layout).outputs((want,))
        assert rows["gelu_tanh"][:3] == [total, total, last]
