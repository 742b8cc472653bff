"""A predictor gives the same answers whatever program's files the model lies in."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from albertkit.checkpoint import families
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import CheckpointError, PredictionError
from albertkit.infer.predictor import Predictor
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import tensors_of

PAIR = ("the cat sat on the mat .", "a dog ran")


def variant(base: Checkpoint, family: str) -> Checkpoint:
    """A random model of a form that the family can hold."""
    changes = {
        "uer": {
            "layer_norm_kind": "uer",
            "layer_norm_eps": 1e-6,
            "head_layer_norm_eps": 1e-6,
            "type_vocab_size": 3,
        },
        "brightmart_tf": {
            "embedding_order": "project_then_norm",
            "position_width": "hidden",
            "projection_bias": False,
        },
        "paddlenlp": {"head_layer_norm_eps": 1e-5},
    }
    config = replace(base.config, **changes.get(family, {}))
    torch.manual_seed(8)
    return Checkpoint(config, tensors_of(AlbertForPretraining(config)), base.tokenizer)


@pytest.mark.parametrize(
    "family", ["google_tf", "brightmart_tf", "huggingface", "uer", "paddlenlp"]
)
def test_answers_do_not_depend_on_the_files(family: str, tiny_model: Path, tmp_path: Path) -> None:
    checkpoint = variant(Checkpoint.load(tiny_model / "model"), family)
    checkpoint.save(tmp_path / "ours")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    families.named(family).write(checkpoint, theirs, "float32")
    vocabulary = tmp_path / "words.txt"
    shutil.copy(tiny_model / "vocab.txt", vocabulary)
    expected = Predictor(tmp_path / "ours")
    found = Predictor(theirs, tokenizer=vocabulary)
    assert families.detect(theirs)[0] == family
    assert found.order(*PAIR) == pytest.approx(expected.order(*PAIR), abs=1e-6)
    np.testing.assert_allclose(found.embed(PAIR), expected.embed(PAIR), atol=1e-6)
    text = "the [MASK] ran on the [MASK] ."
    assert [f.ids for f in found.fill_mask(text)] == [f.ids for f in expected.fill_mask(text)]


def test_a_model_without_tokenizer_asks_for_it(tiny_model: Path, tmp_path: Path) -> None:
    checkpoint = replace(Checkpoint.load(tiny_model / "model"), tokenizer=None)
    checkpoint.save(tmp_path / "model")
    with pytest.raises(PredictionError, match="tokenizer="):
        Predictor(tmp_path / "model")
    found = Predictor(tmp_path / "model", tokenizer=tiny_model / "vocab.txt")
    assert found.fill_mask("the [MASK]").masks


def test_a_path_with_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="path does not exist"):
        Predictor(tmp_path / "nowhere")
