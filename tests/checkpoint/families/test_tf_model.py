"""tf_model.h5 of transformers' TensorFlow classes: opened, and computes what those computed."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from albertkit import load_model
from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.checkpoint.families.huggingface.tf_model import name_today
from albertkit.errors import CheckpointError

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "huggingface_tf"
FOLDERS = sorted(path.parent for path in GOLDEN.glob("*/tf_model.h5"))
HEADS = ("classification", "token_classification", "span", "multiple_choice")


def test_all_goldens_are_there() -> None:
    assert {path.name for path in FOLDERS} == {"body", "pretraining", "masked_lm", *HEADS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
@pytest.mark.parametrize("by_file", [False, True])
def test_outputs_are_those_of_tensorflow(folder: Path, by_file: bool) -> None:
    path = folder / "tf_model.h5" if by_file else folder
    opened = open_checkpoint(path)
    assert opened.family == "huggingface"
    assert not opened.result.problems
    head = opened.checkpoint.head
    assert (head.kind if head else None) == (folder.name if folder.name in HEADS else None)
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
        batch = {name: torch.from_numpy(x) for name, x in inputs.items()}
        output = load_model(path)(**batch, output_hidden_states=True)
        real = batch["attention_mask"].flatten(0, -2).bool().numpy()
        for name, expected in outputs.items():
            found = output.hidden_states[-1] if name == "last_hidden" else output[name]
            found = found.detach().numpy()
            expected = expected.reshape(found.shape)
            if found.shape[:2] == real.shape:
                found, expected = found[real], expected[real]
            assert np.abs(found - expected).max() <= 2e-5 * max(1, np.abs(expected).max()), name


@pytest.mark.parametrize(
    ("name", "today"),
    [
        (
            "albert/tf_albert_model/albert/encoder/albert_layer_groups_._1/albert_layers_._0/"
            "attention/query/kernel:0",
            "albert.encoder.albert_layer_groups.1.albert_layers.0.attention.query.weight",
        ),
        (
            "albert/albert/embeddings/position_embeddings/embeddings:0",
            "albert.embeddings.position_embeddings.weight",
        ),
        ("predictions/tf_x/predictions/LayerNorm/gamma:0", "predictions.LayerNorm.weight"),
        ("predictions/tf_x/predictions/decoder/bias:0", "predictions.decoder.bias"),
        ("sop_classifier/tf_x/sop_classifier/classifier/bias:0", "sop_classifier.classifier.bias"),
        ("dense/tf_x/dense/kernel:0", None),
    ],
)
def test_names_are_those_of_pytorch(name: str, today: str | None) -> None:
    assert name_today(name) == today


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "masked_lm", tmp_path / "copy"))


def test_the_bias_that_the_class_adds_is_the_one_that_counts(copy: Path) -> None:
    with h5py.File(copy / "tf_model.h5", "a") as file:
        places: list[str] = []
        file.visit(lambda name: places.append(name) if name.endswith("bias:0") else None)
        unused = next(name for name in places if name.endswith("predictions/bias:0"))
        file[unused][...] = 7.0
    opened = open_checkpoint(copy)
    assert opened.result.report.ignored[unused].startswith("not used")
    assert not np.isclose(opened.checkpoint.tensors["masked_lm.bias"], 7.0).any()


def test_pytorchs_file_beside_it_is_preferred(copy: Path) -> None:
    checkpoint = Checkpoint.load(copy)
    checkpoint.save(copy.parent / "other")
    shutil.copy(copy.parent / "other" / "model.safetensors", copy)
    assert open_checkpoint(copy).path.name == "model.safetensors"


def test_a_file_of_another_model_or_a_damaged_one_is_refused(copy: Path) -> None:
    path = copy / "tf_model.h5"
    with h5py.File(path, "w") as file:
        file["bert/tf_bert_model/bert/embeddings/word_embeddings/weight:0"] = np.ones((3, 2))
    with pytest.raises(CheckpointError):
        Checkpoint.load(copy)
    path.write_bytes((GOLDEN / "masked_lm" / "tf_model.h5").read_bytes()[:90_000])
    with pytest.raises(CheckpointError, match=r"tf_model\.h5"):
        Checkpoint.load(copy)


def test_something_else_in_the_file_is_named(copy: Path) -> None:
    with h5py.File(copy / "tf_model.h5", "a") as file:
        file["my_layer/tf_x/my_layer/kernel:0"] = np.ones((3, 2), np.float32)
    with pytest.raises(CheckpointError, match="my_layer/tf_x/my_layer/kernel:0"):
        Checkpoint.load(copy)
