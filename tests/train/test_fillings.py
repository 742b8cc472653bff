"""Guesses for held-out words: the numbers of the model, and what people are shown of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from albertkit.config import AlbertConfig
from albertkit.data.masked_examples import MaskedSentence
from albertkit.model.heads import AlbertForPretraining
from albertkit.text.tokenizer import Tokenizer
from albertkit.train.fillings import fill

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", "##x"]
EXAMPLES = [MaskedSentence("a b [MASK] d", "c"), MaskedSentence("[MASK] f g a b", "e")]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    return Tokenizer.load(tmp_path / "vocab.txt")


@pytest.fixture
def model() -> AlbertForPretraining:
    """More rows in the table than pieces, as tables padded to a round size have."""
    torch.manual_seed(0)
    config = AlbertConfig(
        vocab_size=32,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        hidden_dropout_prob=0.5,
        initializer_range=0.5,
    )
    return AlbertForPretraining(config).train()


def test_guesses_are_the_best_pieces_with_the_probabilities_of_the_model(
    model: AlbertForPretraining, tokenizer: Tokenizer
) -> None:
    found = fill(model, EXAMPLES, tokenizer, "fp32", 16)
    assert model.training
    model.eval()
    for filling, example in zip(found, EXAMPLES, strict=True):
        assert (filling.text, filling.word) == example
        ids = tokenizer.encode(example.text, allow_mask=True).ids
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).mlm_logits[0, ids.index(tokenizer.mask_id)]
        expected = logits.softmax(-1)[: len(PIECES)].tolist()
        best = sorted(range(len(PIECES)), key=lambda n: -expected[n])[:5]
        shown = [PIECES[n].removeprefix("##") for n in best]
        assert [guess.removeprefix("##") for guess, _ in filling.guesses] == shown
        assert [score for _, score in filling.guesses] == pytest.approx(
            [expected[n] for n in best], rel=1e-4
        )


def test_rows_behind_the_last_piece_are_no_guess(
    model: AlbertForPretraining, tokenizer: Tokenizer
) -> None:
    with torch.no_grad():
        model.masked_lm.bias[len(PIECES) :] += 100
    for filling in fill(model, EXAMPLES, tokenizer, "fp32", 16):
        assert len(filling.guesses) == 5


def test_sentences_longer_than_the_positions_are_left_out(
    model: AlbertForPretraining, tokenizer: Tokenizer
) -> None:
    assert [each.word for each in fill(model, EXAMPLES, tokenizer, "fp32", 6)] == ["c"]
    assert fill(model, EXAMPLES, tokenizer, "fp32", 3) == []
