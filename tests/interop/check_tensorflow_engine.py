"""`Predictor(folder, engine="tensorflow")` answers as with torch.

Run by the stage `keras` of run.py with its own Python; no part of the ordinary tests.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from random_models import (
    BARE,
    EQUAL,
    OWN_LAYOUT,
    POOLED,
    PRETRAINING,
    PROJECTED,
    UER,
    Plan,
    make,
)
from tensorflow.python.eager import context

import albertkit
from albertkit import Predictor
from albertkit.data.batch import Batch
from albertkit.errors import PredictionError
from albertkit.infer.tensorflow_engine import TensorflowEngine
from albertkit.infer.torch_engine import TorchEngine
from albertkit.tasks.head import TaskHead
from albertkit.tasks.kinds import KINDS

WEIGHTS = Path(albertkit.__file__).parent / "weights"
COUNTS = {"classification": 3, "multi_label": 4, "token_classification": 5}


def batch(seed: int = 0) -> Batch:
    """Three sequences: a pair, a text, and one of two tokens."""
    draws = np.random.default_rng(seed)
    lengths = np.array([9, 13, 2])
    segments = np.zeros(24, np.int64)
    segments[4:9] = 1
    return Batch(draws.integers(1, 97, 24), segments, lengths)


def full_batch() -> Batch:
    """Sequences of one length, which need no padding."""
    ids = np.random.default_rng(1).integers(1, 97, 24)
    return Batch(ids, (np.arange(24) % 8 > 4).astype(np.int64), np.full(3, 8))


def assert_equal_engines(plan: Plan) -> None:
    checkpoint = make("engine", plan)
    engines = TensorflowEngine(checkpoint), TorchEngine(checkpoint)
    assert engines[0].outputs == engines[1].outputs
    every = engines[0].outputs
    requests = [(batch(), every), (full_batch(), every - {"all_layers"})]
    requests += [(batch(), {name}) for name in sorted(every - {"all_layers", "hidden"})]
    for given, want in requests:
        positions = np.array([1, 10, 23]) if "masked_lm" in want else None
        assert_equal_outputs(*(engine.run(given, want, positions) for engine in engines))


def assert_equal_outputs(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, theirs in expected.items():
        assert found[name].shape == theirs.shape
        assert found[name].dtype == np.float32
        possible = theirs > -1e29 if name == "task" else np.ones(theirs.shape, bool)
        possible &= possible.all(-1, keepdims=True)  # the order of places that are barred is free
        largest = max(1.0, np.abs(theirs[possible]).max())
        assert np.abs(found[name] - theirs)[possible].max() <= 1e-5 * largest, name


@pytest.mark.parametrize("values", [{}, UER], ids=["plain", "uer"])
def test_pretraining_heads(values: dict[str, object]) -> None:
    assert_equal_engines(Plan("pretraining", values, PRETRAINING))


# Whether the first layer takes the embeddings before their projection (keras_folding.py).
FOLDED: dict[str, tuple[bool, dict[str, object]]] = {
    "plain": (True, {}),
    "without bias": (True, {"projection_bias": False}),
    "one layer": (True, {"num_hidden_layers": 1}),
    "norm first": (False, {"norm_order": "pre", "final_norm": True}),
    "projection before the norm": (False, OWN_LAYOUT),
    "no projection": (False, EQUAL),
    "a projection of equal width": (False, PROJECTED),
}


@pytest.mark.parametrize("name", FOLDED)
def test_the_projection_is_folded_into_the_first_layer(name: str) -> None:
    folds, values = FOLDED[name]
    checkpoint = make("folded", Plan("body", values, POOLED))
    ours, theirs = TensorflowEngine(checkpoint), TorchEngine(checkpoint)
    assert (ours._body.folded_qkv is not None) == folds
    want = {"hidden", "pooled", "all_layers"}
    assert_equal_outputs(ours.run(batch(), want), theirs.run(batch(), want))
    for output in ("hidden", "pooled"):
        assert_equal_outputs(ours.run(batch(), {output}), theirs.run(batch(), {output}))


@pytest.mark.parametrize("kind", ["gelu_tanh", "gelu_erf"])
def test_gelu_is_computed_with_the_product_before_it(kind: str) -> None:
    engine = TensorflowEngine(make("gelu", Plan("body", {"hidden_act": kind}, POOLED)))
    context.context().enable_run_metadata()
    try:
        engine.run(batch(), {"hidden"})
        graphs = context.context().export_run_metadata().partition_graphs
    finally:
        context.context().disable_run_metadata()
    parts = [graph.node for graph in graphs]
    parts += [function.node_def for graph in graphs for function in graph.library.function]
    nodes = [node for part in parts for node in part]
    fused = [list(node.attr["fused_ops"].list.s) for node in nodes if "fused_ops" in node.attr]
    approximation = b"GeluApproximate" if kind == "gelu_tanh" else b"GeluExact"
    assert fused.count([b"BiasAdd", approximation]) == engine.config.num_hidden_layers
    assert not {"Tanh", "Erf", "Erfc"} & {node.op for node in nodes}


@pytest.mark.parametrize("kind", KINDS)
def test_every_task(kind: str) -> None:
    head = TaskHead(kind, KINDS[kind].num_outputs or COUNTS[kind])
    assert_equal_engines(Plan(kind, {}, POOLED if head.needs_pooler else BARE, head))


def test_scores_of_every_place_for_the_beam() -> None:
    checkpoint = make("engine", Plan("beam", {}, BARE, TaskHead("beam_span", 2)))
    found, expected = (
        kind(checkpoint).span_scores(batch()) for kind in (TensorflowEngine, TorchEngine)
    )
    for name, theirs in expected.items():
        np.testing.assert_allclose(found[name], theirs, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("name", ["tiny-en", "tiny-zh"])
def test_the_shipped_models_answer_alike(name: str) -> None:
    ours = Predictor(WEIGHTS / name, engine="tensorflow")
    theirs = Predictor(WEIGHTS / name)
    texts = {
        "tiny-en": ["The [MASK] was cold.", "He went to the [MASK] and bought a [MASK] of bread."],
        "tiny-zh": ["今天天气很[MASK]。", "北京是中国的[MASK][MASK]。"],
    }[name]
    for text in texts:
        one, other = ours.fill_mask(text), theirs.fill_mask(text)
        assert [answer.ids for answer in one] == [answer.ids for answer in other]
        assert one[0].probability == pytest.approx(other[0].probability, abs=1e-5)
    np.testing.assert_allclose(ours.embed(texts), theirs.embed(texts), atol=1e-5)
    assert ours.sentence_order(*texts) == pytest.approx(theirs.sentence_order(*texts), abs=1e-5)


def test_what_the_engine_has_not_is_refused_by_name() -> None:
    with pytest.raises(PredictionError, match="cuda: TensorFlow sees 0 GPUs"):
        Predictor(WEIGHTS / "tiny-en", "cuda", engine="tensorflow")
    with pytest.raises(PredictionError, match="int8"):
        Predictor(WEIGHTS / "tiny-en", engine="tensorflow", precision="int8")
