"""Rows of words that were added to a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from albertkit import Checkpoint, Predictor
from albertkit.errors import VocabularyError

WORD, BIAS = "albert.embeddings.word.weight", "masked_lm.bias"
DECODER = "masked_lm.decoder.weight"


def test_rows_begin_as_the_mean_of_the_old_pieces_and_the_smallest_bias(tmp_path: Path) -> None:
    old = Checkpoint.load("albertkit/tiny-zh")
    new = old.add_words(["劳动合同", "kubelet"])
    assert old.tokenizer is not None
    assert new.tokenizer is not None
    size = old.config.vocab_size
    assert new.config.vocab_size == size + 2
    for word in ("劳动合同", "kubelet"):
        (each,) = new.tokenizer.ids(word)
        pieces = old.tokenizer.ids(word)
        assert len(pieces) > 1
        assert np.allclose(new.tensors[WORD][each], old.tensors[WORD][pieces].mean(0), atol=1e-7)
        assert new.tensors[BIAS][each] == old.tensors[BIAS][pieces].min()
    for name, tensor in old.tensors.items():
        assert np.array_equal(new.tensors[name][: len(tensor)], tensor)
    new.save(tmp_path / "new")
    again = Checkpoint.load(tmp_path / "new")
    assert np.array_equal(again.tensors[WORD], new.tensors[WORD])
    # The old model's words are filled as ever.
    filled = Predictor(tmp_path / "new").fill_mask("北京是中国的首[MASK]。")
    assert (
        filled[0].text == Predictor("albertkit/tiny-zh").fill_mask("北京是中国的首[MASK]。")[0].text
    )


def test_an_untied_decoder_gets_rows_too_and_spare_rows_are_used_first(tiny_model: Path) -> None:
    old = Checkpoint.load(tiny_model / "model")
    tensors = dict(old.tensors)
    tensors[DECODER] = np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32)
    for name in (WORD, BIAS):
        spare = np.zeros((32 - len(tensors[name]), *tensors[name].shape[1:]), np.float32)
        tensors[name] = np.concatenate([tensors[name], spare])
    config = replace(old.config, vocab_size=32, tied_decoder=False)
    padded = Checkpoint(config, tensors, old.tokenizer)
    assert old.tokenizer is not None
    pieces = old.tokenizer.ids("cats")
    new = padded.add_words(["cats"])
    assert new.config.vocab_size == 32
    each = old.tokenizer.vocab_size
    assert np.allclose(new.tensors[DECODER][each], tensors[DECODER][pieces].mean(0))


def test_a_model_without_tokenizer_gets_no_words(tiny_model: Path) -> None:
    old = Checkpoint.load(tiny_model / "model")
    with pytest.raises(VocabularyError, match="this model has none"):
        Checkpoint(old.config, old.tensors).add_words(["cats"])
