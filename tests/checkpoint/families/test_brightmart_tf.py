"""albert_zh's own layout: every golden case from its native file, back again, and what is asked."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tf_parity import GOLDEN, cases, check_pretraining

from albertkit.checkpoint import families
from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.checkpoint.families import brightmart_tf
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.checkpoint.families._tf import config as tf_config
from albertkit.checkpoint.formats.tensor_bundle import read_bundle, write_bundle
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, ConfigError
from albertkit.parameters import parameter_shapes

SMALL = GOLDEN / "brightmart_tf" / "own_preln"
OWN = cases("brightmart_tf/own_*/*")


def plain(folder: Path) -> dict[str, np.ndarray]:
    """Variables of a case as TensorFlow read them, without the counter of steps."""
    with np.load(folder / "weights.npz") as weights:
        return {name: weights[name] for name in weights if name != "global_step"}


def same(a: Checkpoint, b: Checkpoint) -> bool:
    return set(a.tensors) == set(b.tensors) and all(
        np.array_equal(tensor, b.tensors[name]) for name, tensor in a.tensors.items()
    )


@pytest.mark.parametrize("prefix", OWN)
def test_outputs_are_those_of_the_original(prefix: Path) -> None:
    opened = open_checkpoint(prefix.parent)
    assert opened.family == "brightmart_tf"
    assert opened.checkpoint.config == AlbertConfig.load(prefix.parent / "albert_config.json")
    least = 0.0 if prefix.parent.name.endswith("eps_probe") else 1.0
    check_pretraining(opened.checkpoint, prefix.parent, least)


@pytest.mark.parametrize("prefix", OWN)
def test_every_tensor_is_accounted_for_and_comes_back_bit_by_bit(
    prefix: Path, tmp_path: Path
) -> None:
    opened = open_checkpoint(prefix)
    report = opened.result.report
    variables = plain(prefix.parent)
    assert set(report.loaded) == set(variables)
    assert set(report.loaded) | set(report.ignored) == set(opened.result.source_tensors)
    assert opened.result.slots in ({}, {"lamb_m": 31, "lamb_v": 31})
    assert brightmart_tf.losses(opened.checkpoint) == []
    brightmart_tf.write(opened.checkpoint, tmp_path, "float32")
    bundle = read_bundle(tmp_path / "albert_model.ckpt")
    assert set(bundle.entries) == set(variables)
    for name, variable in variables.items():
        assert np.array_equal(bundle.raw(name), variable), name
    again = open_checkpoint(tmp_path)
    assert again.family == "brightmart_tf"
    assert again.checkpoint.config == opened.checkpoint.config
    assert same(again.checkpoint, opened.checkpoint)


def random_model(**values: object) -> Checkpoint:
    """A random model in this layout, all heads there."""
    config = replace(AlbertConfig.load(SMALL / "albert_config.json"), **values)
    draw = np.random.default_rng(3)
    shapes = parameter_shapes(config)
    return Checkpoint(
        config, {n: draw.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
    )


def test_layers_of_their_own_are_scopes_of_their_own(tmp_path: Path) -> None:
    checkpoint = random_model(share="none")
    brightmart_tf.write(checkpoint, tmp_path, "float32")
    names = read_bundle(tmp_path / "albert_model.ckpt").entries
    for layer in range(3):
        assert f"bert/encoder/layer_{layer}/attention/output/LayerNorm/gamma" in names
    opened = open_checkpoint(tmp_path)
    assert opened.checkpoint.config == checkpoint.config
    assert same(opened.checkpoint, checkpoint)
    provenance = opened.result.provenance
    assert provenance["share"] == "layout of the tensors"
    (tmp_path / "albert_config.json").unlink()
    values = {"num_attention_heads": 5, "hidden_act": "gelu_tanh", "norm_order": "pre"}
    assert same(
        open_checkpoint(tmp_path, overrides=Overrides(values=values)).checkpoint, checkpoint
    )


def copied(folder: Path, **changes: object) -> Path:
    """The golden case with another config; a value None leaves the key out."""
    for file in SMALL.glob("albert_model.ckpt.*"):
        shutil.copy(file, folder)
    values = {**json.loads((SMALL / "albert_config.json").read_text()), **changes}
    values = {key: value for key, value in values.items() if value is not None}
    (folder / "albert_config.json").write_text(json.dumps(values))
    return folder


def test_a_silent_order_of_norms_is_asked_for_or_read_from_the_graph(tmp_path: Path) -> None:
    copied(tmp_path, ln_type=None)
    with pytest.raises(ConfigError, match="expected: norm_order") as caught:
        open_checkpoint(tmp_path)
    assert '"norm_order": "post"' in caught.value.facts["to do"]
    assert "--set norm_order=post" in str(caught.value.command_fix)
    for order in ("pre", "post"):
        given = open_checkpoint(tmp_path, overrides=Overrides(values={"norm_order": order}))
        assert given.checkpoint.config.norm_order == order
    content = (GOLDEN / "tf_graph" / "brightmart_pre.meta.gz").read_bytes()
    (tmp_path / "albert_model.ckpt.meta").write_bytes(gzip.decompress(content))
    opened = open_checkpoint(tmp_path)
    assert opened.checkpoint.config.norm_order == "pre"
    assert opened.result.provenance["norm_order"] == "graph albert_model.ckpt.meta"


def test_the_graph_wins_over_a_wrong_order(tmp_path: Path) -> None:
    copied(tmp_path, ln_type="postln", hidden_act="relu")
    content = (GOLDEN / "tf_graph" / "brightmart_pre.meta.gz").read_bytes()
    (tmp_path / "albert_model.ckpt.meta").write_bytes(gzip.decompress(content))
    opened = open_checkpoint(tmp_path)
    assert opened.checkpoint.config.norm_order == "pre"
    said = "albert_config.json says norm_order=post, albert_model.ckpt.meta pre"
    assert opened.result.problems == [said]


def test_sizes_that_are_not_those_of_the_tensors_are_refused(tmp_path: Path) -> None:
    copied(tmp_path, hidden_size=40, embedding_size=11)
    with pytest.raises(CheckpointError, match=r"hidden_size=40.*but 20 by bert"):
        open_checkpoint(tmp_path)


def test_the_disputed_size_is_pointed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf_config, "_XLARGE", 20)  # a small model in its place
    copied(tmp_path)
    opened = open_checkpoint(tmp_path)
    assert "disagree on the order of norms (here pre)" in opened.result.problems[0]
    given = open_checkpoint(tmp_path, overrides=Overrides(values={"norm_order": "post"}))
    assert given.result.problems == []


def test_the_two_families_do_not_claim_each_others_files(tmp_path: Path) -> None:
    google = GOLDEN / "google_tf" / "g1_i1_gelu"
    assert families.detect(google)[0] == "google_tf"
    assert families.detect(SMALL)[0] == "brightmart_tf"
    assert families.named("google_tf").detect(SMALL) is None
    assert brightmart_tf.detect(google) is None
    variables = plain(SMALL)
    bert = {n: x for n, x in variables.items() if n != "bert/embeddings/word_embeddings_2"}
    write_bundle(tmp_path / "bert_model.ckpt", bert)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        families.detect(tmp_path)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    copied(tmp_path)
    variables = plain(SMALL)
    del variables["bert/encoder/layer_shared/output/LayerNorm/beta"]
    write_bundle(tmp_path / "albert_model.ckpt", variables)
    with pytest.raises(CheckpointError, match=r"missing: albert.encoder.feed_forward.0.0.norm"):
        open_checkpoint(tmp_path)
    del variables["bert/encoder/layer_shared/intermediate/dense/bias"]
    write_bundle(tmp_path / "albert_model.ckpt", variables)
    with pytest.raises(CheckpointError, match="intermediate/dense/bias with 1 axes"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        {"embedding_order": "norm_then_project", "position_width": "embedding"},
        {"projection_bias": True},
        {"hidden_act": "silu"},
        {"hidden_act": "gelu_erf"},
        {"layer_norm_eps": 1e-5},
        {"inner_group_num": 2},
        {"ffn_groups": 4},
        {"num_hidden_groups": 2},
        {"share": "ffn"},
        {"type_vocab_size": 3},
    ],
)
def test_models_that_albert_zh_cannot_be_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="something else"):
        brightmart_tf.losses(random_model(**values))


def test_the_defaults_of_a_config_without_file_are_albert_s(tmp_path: Path) -> None:
    copied(tmp_path)
    (tmp_path / "albert_config.json").unlink()
    values = {
        "num_hidden_layers": 3,
        "num_attention_heads": 5,
        "hidden_act": "gelu_tanh",
        "norm_order": "pre",
    }
    config = open_checkpoint(tmp_path, overrides=Overrides(values=values)).checkpoint.config
    assert config == AlbertConfig.load(SMALL / "albert_config.json")
    assert config.hidden_dropout_prob == AlbertConfig().hidden_dropout_prob
