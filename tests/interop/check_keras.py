"""The Keras models beside the torch models: every variant and head, requests, saving, precision.

Run by the stage `keras` of run.py with its own Python; no part of the ordinary tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from random_models import BARE, OWN_LAYOUT, POOLED, PRETRAINING, UER, Plan, make

import albertkit.keras
import albertkit.model.pretrained
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import CHOICES
from albertkit.errors import ConfigError
from albertkit.keras import AlbertForPreTraining, AlbertForTaskHead, AlbertModel, load_model
from albertkit.model.loading import build, build_body, build_task
from albertkit.sizes import size
from albertkit.tasks.head import POOLINGS, TaskHead
from albertkit.tasks.kinds import KINDS

BOUND = 1e-5  # of the largest value, which counts as 1 at least
RAGGED = {"num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2}
COUNTS = {"classification": 3, "multi_label": 4, "token_classification": 5}


def variants() -> Iterator[Plan]:
    """One model for each named choice, and for each size that changes the structure."""
    for act in CHOICES["hidden_act"]:
        yield Plan(act, {"hidden_act": act})
    for share in CHOICES["share"]:
        yield Plan(f"share_{share}", {**RAGGED, "share": share})
    yield Plan("huggingface_groups", {"num_hidden_layers": 22, "num_hidden_groups": 22})
    yield Plan("own_layout", OWN_LAYOUT)
    yield Plan("own_layout_pre", {**OWN_LAYOUT, "norm_order": "pre", "final_norm": True})
    yield Plan("uer", {**UER, "tied_decoder": False})
    yield Plan("fast", {"ffn_groups": 8, "inner_group_num": 2})
    yield Plan("equal", {"embedding_size": 24})
    yield Plan("equal_projected", {"embedding_size": 24, "project_equal_width": True})


def heads() -> Iterator[TaskHead]:
    """One head of each kind, and each way to pool."""
    for kind, traits in KINDS.items():
        yield TaskHead(kind, traits.num_outputs or COUNTS[kind])
    for pooling in POOLINGS[1:]:
        yield TaskHead("classification", 3, pooling=pooling)


def batch(config: Any, rows: int = 3, columns: int = 11) -> dict[str, np.ndarray]:
    """A full row, one with a hole, one that ends early."""
    draws = np.random.default_rng(0)
    ids = draws.integers(1, config.vocab_size, (rows, columns))
    mask = np.ones((rows, columns), bool)
    mask[1, 3] = mask[-1, 6:] = False
    return {"ids": ids, "segment_ids": draws.integers(0, 2, (rows, columns)), "mask": mask}


def on_torch(inputs: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(x) for name, x in inputs.items()}


def assert_close(found: Any, expected: Any, real: np.ndarray | None = None) -> None:
    found, expected = np.asarray(found), expected.detach().numpy()
    assert found.shape == expected.shape
    if real is not None:
        found, expected = found[real], expected[real]
    assert np.abs(found - expected).max() <= BOUND * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("plan", list(variants()), ids=lambda plan: plan.name)
def test_every_variant_computes_what_torch_computes_and_keeps_every_bit(plan: Plan) -> None:
    checkpoint = make("keras", plan)
    inputs = batch(checkpoint.config)
    model = AlbertForPreTraining._of(checkpoint, "float32")
    ours = model(**inputs, return_all=True)
    theirs = build(checkpoint)(**on_torch(inputs), return_all=True)
    real = inputs["mask"]
    assert_close(ours.logits, theirs.logits, real)
    assert_close(ours.sop_logits, theirs.sop_logits)
    assert_close(ours.encoder.pooled, theirs.encoder.pooled)
    assert len(ours.hidden_states) == len(theirs.hidden_states)
    for one, other in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        assert_close(one, other, real)
    for one, other in zip(ours.attentions, theirs.attentions, strict=True):
        assert_close(np.moveaxis(np.asarray(one), 1, 2), other.movedim(1, 2), real)
    assert_same_tensors(model.to_checkpoint(), checkpoint)


def assert_same_tensors(one: Checkpoint, other: Checkpoint) -> None:
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        assert tensor.tobytes() == other.tensors[name].tobytes(), name


@pytest.mark.parametrize("head", list(heads()), ids=lambda head: f"{head.kind}-{head.pooling}")
def test_every_head_computes_what_torch_computes(head: TaskHead) -> None:
    values = {} if head.pooling == "first" else UER
    parts = POOLED if head.needs_pooler else BARE
    checkpoint = make("keras", Plan(head.kind, values, parts, head))
    inputs = batch(checkpoint.config, rows=4)
    if head.kind == "multiple_choice":
        inputs = {name: x.reshape(2, 2, -1) for name, x in inputs.items()}
    more = {}
    if head.kind == "beam_span":
        allowed = inputs["mask"] & (np.arange(11) != 4)
        more = {"allowed": allowed, "start_places": np.array([0, 2, 3, 1])}
    model = AlbertForTaskHead._of(checkpoint, "float32")
    ours = model(**inputs, **more)
    theirs = build_task(checkpoint)(**on_torch({**inputs, **more}))
    if head.kind == "beam_span":
        places = {"start_scores": None, "end_scores": None, "unanswerable": None}
        for name in (*places, "start_places"):
            assert_close(getattr(ours.beam, name), getattr(theirs.beam, name))
        for name in ("starts", "ends"):
            assert_close(getattr(ours.beam, name), getattr(theirs.beam, name), allowed)
        likely = theirs.beam.end_scores.detach().numpy() > -1e3
        assert (np.asarray(ours.beam.end_places) == theirs.beam.end_places.numpy())[likely].all()
    elif head.kind == "span":
        assert_close(ours.start_logits, theirs.start, inputs["mask"])
        assert_close(ours.end_logits, theirs.end, inputs["mask"])
    else:
        real = inputs["mask"] if head.kind == "token_classification" else None
        assert_close(ours.logits, theirs.logits, real)
    assert_same_tensors(model.to_checkpoint(), checkpoint)


def test_base_computes_what_torch_computes() -> None:
    config = size("albert-base-v2")
    plain = make("keras", Plan("base", vars(config), POOLED))
    spread = {name: 0.1 * x if x.ndim > 1 else x for name, x in plain.tensors.items()}
    checkpoint = Checkpoint(config, spread)
    inputs = batch(config, 2, 64)
    ours = AlbertModel._of(checkpoint, "float32")(**inputs)
    theirs = build_body(checkpoint)(**on_torch(inputs))
    assert_close(ours.hidden, theirs.hidden, inputs["mask"])
    assert_close(ours.pooled, theirs.pooled)


@pytest.fixture(scope="module")
def body() -> AlbertModel:
    return AlbertModel._of(make("keras", Plan("body", {}, POOLED)), "float32")


def test_all_ways_to_call_give_one_result(body: AlbertModel) -> None:
    inputs = batch(body.config)
    ids, mask = inputs["ids"], np.arange(11) < np.array([11, 7, 4])[:, None]
    expected = np.asarray(body(ids, mask=mask).hidden)
    old = {"input_ids": tf.constant(ids), "attention_mask": tf.constant(mask.astype(int))}
    ways = {
        "lengths": body(ids, lengths=[11, 7, 4]),
        "names": body(**old),
        "dict": body(old),
        "lists": body(ids.tolist(), mask=mask),
        "graph": tf.function(body)(old),
        "types": body(ids, np.zeros_like(ids), mask=mask),
    }
    for name, output in ways.items():
        np.testing.assert_allclose(output[0], expected, atol=1e-5, err_msg=name)
        assert output.last_hidden_state is output["last_hidden_state"] is output.hidden
    asked = body(old, output_hidden_states=True)
    assert asked.keys() == ["last_hidden_state", "pooler_output", "hidden_states", "attentions"]
    predicted = body.predict(old, verbose=0, batch_size=2)
    np.testing.assert_allclose(predicted.hidden, expected, atol=1e-5)


def test_it_is_a_part_of_models_made_of_layers(body: AlbertModel) -> None:
    ids, mask = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="bool")
    classes = keras.layers.Dense(2)(body(ids, mask=mask).pooler_output)
    model = keras.Model([ids, mask], classes)
    inputs = batch(body.config)
    weights, bias = (np.asarray(x) for x in model.layers[-1].weights)
    pooled = np.asarray(body(inputs["ids"], mask=inputs["mask"]).pooled)
    found = model([inputs["ids"], inputs["mask"]])
    np.testing.assert_allclose(found, pooled @ weights + bias, atol=1e-5)
    assert len(model.trainable_weights) == len(body.trainable_weights) + 2


@pytest.mark.parametrize("values", [{}, UER, {"ffn_groups": 8}], ids=["plain", "uer", "fast"])
def test_a_graph_that_leaves_padding_out_computes_the_same(values: dict[str, Any]) -> None:
    body = AlbertModel._of(make("keras", Plan("packed", values, POOLED)), "float32")
    inputs = batch(body.config)
    inputs["mask"][0, 0] = False  # `pooled` reads the first token also where it is masked
    padded, real = body(**inputs), inputs["mask"]
    packed = tf.function(body)(**inputs, packed=True)
    full = tf.function(body)(inputs["ids"], packed=True)
    np.testing.assert_allclose(packed.hidden[real], padded.hidden[real], atol=BOUND)
    np.testing.assert_allclose(packed.pooled, padded.pooled, atol=BOUND)
    np.testing.assert_allclose(full.hidden, body(inputs["ids"]).hidden, atol=BOUND)
    assert not np.asarray(packed.hidden)[1:][~real[1:]].any()
    places = tf.constant([1, 12, 5])
    for output in (
        body(**inputs, positions=places),
        tf.function(body)(**inputs, positions=places, packed=True),
    ):
        expected = np.asarray(padded.hidden).reshape(-1, 24)[places]
        np.testing.assert_allclose(output.hidden, expected, atol=BOUND)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"ids": np.ones((2, 41), int)}, "41 tokens"),
        ({"ids": np.full((1, 3), 97)}, "97"),
        ({"ids": np.full((1, 3), -1)}, "-1"),
        ({"ids": np.ones((1, 3), int), "segment_ids": np.full((1, 3), 2)}, "2"),
        ({"ids": np.ones(3, int)}, r"shape \(3,\)"),
        ({"ids": np.ones((0, 3), int)}, r"shape \(0, 3\)"),
        ({"ids": np.ones((1, 3), int), "mask": np.ones((1, 2), bool)}, r"bool \(1, 2\)"),
        ({"ids": np.ones((1, 3), int), "mask": np.ones((1, 3), int)}, r"int64 \(1, 3\)"),
        ({"ids": np.ones((1, 3), int), "lengths": np.array([4])}, "4 to 4"),
        ({"ids": np.ones((1, 3), int), "lengths": np.array([1, 2])}, r"shape \(2,\)"),
        ({}, r"shape \(\)"),
    ],
)
def test_a_batch_without_room_is_refused(body: AlbertModel, given: Any, found: str) -> None:
    with pytest.raises(ConfigError, match=f"found: {found}"):
        body(**given)


def test_labels_are_refused(body: AlbertModel) -> None:
    with pytest.raises(TypeError, match="labels"):
        body({"input_ids": np.ones((1, 3), int), "labels": np.ones(1)})


def test_half_precision_computes_near_and_keeps_the_weights() -> None:
    checkpoint = make("keras", Plan("half", {}, PRETRAINING))
    inputs = batch(checkpoint.config)
    expected = build(checkpoint)(**on_torch(inputs)).sop_logits.detach().numpy()
    for policy, bound in (("mixed_float16", 0.02), ("mixed_bfloat16", 0.15)):
        model = AlbertForPreTraining._of(checkpoint, policy)
        output = model(**inputs)
        assert output.encoder.hidden.dtype.name == policy.removeprefix("mixed_")
        np.testing.assert_allclose(np.asarray(output.sop_logits, float), expected, atol=bound)
        assert_same_tensors(model.to_checkpoint(), checkpoint)
    assert keras.config.dtype_policy().name == "float32"


def test_what_is_saved_is_a_checkpoint_folder_that_torch_opens(tmp_path: Path) -> None:
    head = TaskHead("classification", 3, ("a", "b", "c"))
    checkpoint = make("keras", Plan("saved", {}, POOLED, head))
    AlbertForTaskHead._of(checkpoint, "float32").save_pretrained(tmp_path / "keras")
    checkpoint.save(tmp_path / "torch")
    configs = [(tmp_path / kind / "config.json").read_bytes() for kind in ("keras", "torch")]
    assert configs[0] == configs[1]
    assert_same_tensors(*(Checkpoint.load(tmp_path / kind) for kind in ("keras", "torch")))
    assert isinstance(load_model(tmp_path / "keras"), AlbertForTaskHead)


def test_a_new_head_has_the_numbers_that_torch_gives_it(tmp_path: Path) -> None:
    make("keras", Plan("no-head", {}, PRETRAINING)).save(tmp_path / "model")
    made = []
    for module in (albertkit.keras, albertkit.model.pretrained):
        kind = module.AlbertForSequenceClassification
        with pytest.warns(UserWarning, match="new, to be trained: classifier.bias"):
            model = kind.from_pretrained(tmp_path / "model", num_labels=3)
        model.save_pretrained(tmp_path / module.__name__)
        made.append(Checkpoint.load(tmp_path / module.__name__))
    assert made[0].head == made[1].head
    assert_same_tensors(*made)


def test_jax_computes_the_same(tmp_path: Path) -> None:
    checkpoint = make("keras", Plan("jax", {}, POOLED))
    checkpoint.save(tmp_path / "model")
    ids = batch(checkpoint.config)["ids"]
    expected = build_body(checkpoint)(torch.from_numpy(ids)).hidden.detach().numpy()
    np.save(tmp_path / "ids.npy", ids)
    code = (
        "import sys, numpy as np; from albertkit.keras import load_model\n"
        "place = sys.argv[1]; model = load_model(place + '/model')\n"
        "np.save(place + '/out.npy', np.asarray(model(np.load(place + '/ids.npy')).hidden))\n"
        "assert 'tensorflow' not in sys.modules and 'torch' not in sys.modules\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)
    assert np.abs(np.load(tmp_path / "out.npy") - expected).max() <= BOUND * np.abs(expected).max()
