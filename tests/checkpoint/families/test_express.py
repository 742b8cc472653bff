"""Models that a format lacks become their equals: other tensors, the same numbers, and a note."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from outputs import outputs
from tf_parity import GOLDEN, check_pretraining, close, plain

from albertkit.checkpoint import families
from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.checkpoint.formats.tensor_bundle import write_bundle
from albertkit.config import AlbertConfig
from albertkit.conversion import convert
from albertkit.errors import CheckpointError
from albertkit.parameters import parameter_shapes

# E = H without projection; 22 layers of which google's formula lets two share a group.
CASES = {"e_eq_h_gelu": "identity", "g22_l22_rounding": "group of its own"}
SMALL = {
    "vocab_size": 23,
    "embedding_size": 16,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 12,
}
ZH = {
    "embedding_order": "project_then_norm",
    "position_width": "hidden",
    "projection_bias": False,
    "embedding_size": 8,
}


def original(name: str, folder: Path) -> Path:
    """A golden case as google's files."""
    case = GOLDEN / "google_tf" / name
    folder.mkdir()
    write_bundle(folder / "model.ckpt-1", plain(case))
    shutil.copy(case / "albert_config.json", folder)
    return folder


def model_of(**values: object) -> Checkpoint:
    """Random numbers; norms and biases too, so that no term hides another."""
    config = AlbertConfig(**{**SMALL, **values})  # type: ignore[arg-type]
    draw = np.random.default_rng(3)
    shapes = parameter_shapes(config)
    return Checkpoint(
        config, {name: draw.normal(0, 0.2, x).astype(np.float32) for name, x in shapes.items()}
    )


def all_outputs(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(4).integers(0, 23, (2, 9))
    return outputs(checkpoint, ids, np.zeros_like(ids) + (np.arange(9) > 4), np.ones_like(ids))


def same_numbers(a: Checkpoint, b: Checkpoint) -> None:
    """Every output equal, but for the order in which a product of matrices adds up."""
    left, right = all_outputs(a), all_outputs(b)
    assert left.keys() == right.keys()
    for name, expected in left.items():
        assert np.abs(right[name] - expected).max() <= 1e-6 * max(1, np.abs(expected).max()), name


@pytest.mark.parametrize("name", CASES)
def test_transformers_gives_the_numbers_of_google(name: str, tmp_path: Path) -> None:
    source = original(name, tmp_path / "tf")
    done = convert(source, tmp_path / "hf", "huggingface", check_forward=True)
    assert done.lost == []
    assert [note for note in done.notes if CASES[name] in note]
    assert max(done.differences.values()) <= 1e-6
    case = GOLDEN / "google_tf" / name
    check_pretraining(open_checkpoint(tmp_path / "hf").checkpoint, case)
    theirs = transformers.AlbertForPreTraining.from_pretrained(tmp_path / "hf").eval()
    with np.load(case / "inputs.npz") as inputs, np.load(case / "outputs.npz") as expected:
        given = [
            torch.from_numpy(inputs[x]).long() for x in ("input_ids", "input_mask", "segment_ids")
        ]
        with torch.inference_mode():
            found = theirs.albert(given[0], attention_mask=given[1], token_type_ids=given[2])
            order = theirs.sop_classifier(found.pooler_output)
        close(found.last_hidden_state, expected["sequence_output"], given[1].bool().numpy())
        close(found.pooler_output, expected["pooled_output"])
        close(order.log_softmax(-1), expected["sop_log_probs"])


def test_the_identity_is_taken_out_again_for_google(tmp_path: Path) -> None:
    source = original("e_eq_h_gelu", tmp_path / "tf")
    convert(source, tmp_path / "hf", "huggingface")
    done = convert(tmp_path / "hf", tmp_path / "back", "google_tf")
    assert [note for note in done.notes if "identity" in note]
    before, after = (
        open_checkpoint(source).checkpoint,
        open_checkpoint(tmp_path / "back").checkpoint,
    )
    assert after.config == before.config
    assert all(np.array_equal(x, before.tensors[name]) for name, x in after.tensors.items())


def test_a_projection_of_equal_widths_doubles_the_embeddings_for_google(tmp_path: Path) -> None:
    model = model_of(project_equal_width=True)
    model.save(tmp_path / "start")
    done = convert(tmp_path / "start", tmp_path / "tf", "google_tf", check_forward=True)
    assert [note for note in done.notes if "embedding_size is 32, each number twice" in note]
    assert max(done.differences.values()) <= 1e-6
    written = open_checkpoint(tmp_path / "tf").checkpoint
    assert written.config.embedding_size == 2 * written.config.hidden_size == 32
    same_numbers(model, written)
    convert(tmp_path / "tf", tmp_path / "hf", "huggingface")
    same_numbers(model, open_checkpoint(tmp_path / "hf").checkpoint)


@pytest.mark.parametrize(
    ("to", "values"),
    [
        ("huggingface", {}),
        ("huggingface", {"share": "attention", "num_hidden_groups": 2}),
        ("huggingface", {"share": "none", "projection_bias": False, "embedding_size": 8}),
        ("google_tf", {"share": "ffn"}),
        ("google_tf", {"projection_bias": False, "embedding_size": 8}),
        ("google_tf", {"project_equal_width": True, "projection_bias": False}),
        ("paddlenlp", {"share": "ffn", "head_layer_norm_eps": 1e-5}),
        ("keras_hub", {"num_hidden_layers": 5, "num_hidden_groups": 2, "inner_group_num": 2}),
        ("brightmart_tf", {**ZH, "num_hidden_groups": 2}),
        ("brightmart_tf", {**ZH, "embedding_size": 16}),
    ],
)
def test_the_equal_model_gives_the_same_numbers(
    to: str, values: dict[str, object], tmp_path: Path
) -> None:
    model = model_of(**values)
    if to == "keras_hub":
        tensors = {n: x for n, x in model.tensors.items() if n.startswith("albert.")}
        model = replace(model, tensors=tensors)
    model.save(tmp_path / "start")
    done = convert(tmp_path / "start", tmp_path / "end", to)
    assert done.lost == []
    assert done.notes
    same_numbers(model, open_checkpoint(tmp_path / "end", family=to).checkpoint)


def test_a_bias_of_zeros_is_no_obstacle_for_albert_zh_and_another_is(tmp_path: Path) -> None:
    model = model_of(**{**ZH, "projection_bias": True})
    bias = model.tensors["albert.embeddings.projection.bias"]
    bias[:] = 0
    model.save(tmp_path / "start")
    convert(tmp_path / "start", tmp_path / "end", "brightmart_tf")
    same_numbers(model, open_checkpoint(tmp_path / "end").checkpoint)
    bias[0] = 1
    model.save(tmp_path / "other")
    with pytest.raises(CheckpointError, match="projection with bias"):
        convert(tmp_path / "other", tmp_path / "no", "brightmart_tf", allow_loss=True)


@pytest.mark.parametrize("to", ["huggingface", "google_tf", "paddlenlp", "keras_hub"])
def test_a_model_that_fits_is_written_as_it_is(to: str) -> None:
    model = model_of(embedding_size=8, num_hidden_groups=2)
    express = families.named(to).express  # type: ignore[attr-defined]
    assert express(model) == (model, [])
