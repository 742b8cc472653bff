"""Code of transformers' model cards calls our modules as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, VocabularyError
from albertkit.model.pretrained import (
    AlbertForMaskedLM,
    AlbertForMultipleChoice,
    AlbertForQuestionAnswering,
    AlbertForSequenceClassification,
    AlbertForTaskHead,
    AlbertForTokenClassification,
    AlbertModel,
    AlbertTokenizer,
    load_model,
)
from albertkit.text.tokenizer import Tokenizer

IDS = torch.tensor([[2, 5, 6, 3, 0], [2, 7, 8, 9, 3]])
MASK = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
SEGMENTS = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 1, 1, 1]])
GIVEN = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": SEGMENTS}


def test_the_body_gives_what_transformers_gives(tiny_model: Path, tmp_path: Path) -> None:
    theirs = transformers.AlbertModel.from_pretrained(tiny_model / "model").eval()
    ours = AlbertModel.from_pretrained(tiny_model / "model")
    with torch.no_grad():
        expected, found = theirs(**GIVEN), ours(**GIVEN, output_hidden_states=True)
    real = MASK.bool()
    torch.testing.assert_close(found.last_hidden_state[real], expected[0][real], atol=2e-5, rtol=0)
    torch.testing.assert_close(found.pooler_output, expected.pooler_output, atol=2e-5, rtol=0)
    assert found[0] is found["last_hidden_state"] is found.hidden
    assert found[1] is found.pooled
    assert len(found.hidden_states) == ours.config.num_hidden_layers + 1
    ours.save_pretrained(tmp_path / "again")
    assert not Checkpoint.load(tmp_path / "again").has_masked_lm
    again = AlbertModel.from_pretrained(tmp_path / "again")(**GIVEN)
    torch.testing.assert_close(again.hidden, found.hidden)  # written out, attention differs


def test_every_position_has_its_logits_without_target_positions(tiny_model: Path) -> None:
    theirs = transformers.AlbertForMaskedLM.from_pretrained(tiny_model / "model").eval()
    with torch.no_grad():
        expected = theirs(**GIVEN).logits
        found = AlbertForMaskedLM.from_pretrained(tiny_model / "model")(**GIVEN).logits
    real = MASK.bool()
    torch.testing.assert_close(found[real], expected[real], atol=5e-5, rtol=0)


@pytest.mark.parametrize(
    ("ours", "options", "shape"),
    [
        (AlbertForSequenceClassification, {"num_labels": 3}, (2, 3)),
        (AlbertForSequenceClassification, {"num_labels": 1}, (2, 1)),
        (AlbertForTokenClassification, {"num_labels": 5}, (2, 5, 5)),
        (AlbertForQuestionAnswering, {}, (2, 5)),
        (AlbertForMultipleChoice, {}, (1, 2)),
    ],
)
def test_a_new_head_is_made_to_be_trained(
    ours: type[AlbertForTaskHead],
    options: dict[str, int],
    shape: tuple[int, ...],
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    with pytest.warns(UserWarning, match="new, to be trained: (classifier|span).bias"):
        model = ours.from_pretrained(tiny_model / "model", **options)
    given = dict(GIVEN)
    if ours is AlbertForMultipleChoice:
        given = {name: value[None] for name, value in GIVEN.items()}
    found = model(**given)
    logits = found.start_logits if model.head.kind == "span" else found.logits
    assert logits.shape == shape
    weight = model.get_submodule(model.head.part).weight
    assert 0 < weight.abs().max() <= 2 * model.config.initializer_range
    logits.sum().backward()
    assert weight.grad is not None
    model.save_pretrained(tmp_path / "saved")
    again = ours.from_pretrained(tmp_path / "saved")  # no warning: the head is there
    assert again.head == model.head
    theirs = getattr(transformers, ours.__name__).from_pretrained(tmp_path / "saved").eval()
    with torch.no_grad():
        expected, found = theirs(**given)[0], again(**given)[0]
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_a_head_of_another_task_or_size_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="pass num_labels=2"):
        AlbertForSequenceClassification.from_pretrained(tiny_model / "model")
    with pytest.warns(UserWarning, match="classifier"):
        model = AlbertForSequenceClassification.from_pretrained(tiny_model / "model", num_labels=3)
    model.save_pretrained(tmp_path / "saved")
    for ours, options in (
        (AlbertForTokenClassification, {}),
        (AlbertForSequenceClassification, {"num_labels": 2}),
    ):
        with pytest.raises(CheckpointError, match="classification with 3"):
            ours.from_pretrained(tmp_path / "saved", **options)


def test_two_names_of_one_argument_are_an_error(tiny_model: Path) -> None:
    model = AlbertModel.from_pretrained(tiny_model / "model")
    with pytest.raises(TypeError):
        model(IDS, ids=IDS, input_ids=IDS)
    with pytest.raises(TypeError):
        model(ids=IDS, input_ids=IDS)


TEXTS = ["the cat sat on the mat .", "a [MASK] ran"]


def test_a_call_of_the_tokenizer_is_all_that_a_model_takes(tiny_model: Path) -> None:
    place = tiny_model / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    theirs = transformers.AlbertForMaskedLM.from_pretrained(place).eval()
    ours, model = Tokenizer.load(place), load_model(place)
    assert isinstance(model, AlbertForMaskedLM)
    for texts, pairs in ((TEXTS, None), (TEXTS, TEXTS[::-1])):
        given = tokenizer(texts, pairs, padding=True, return_tensors="pt")
        with torch.no_grad():
            expected = theirs(**given).logits
            found = model(**ours(texts, pairs, padding=True, return_tensors="pt")).logits
        real = given["attention_mask"].bool()
        torch.testing.assert_close(found[real], expected[real], atol=5e-5, rtol=0)


def test_a_model_its_tokenizer_and_its_config_are_saved_and_opened_again(
    tiny_model: Path, tmp_path: Path
) -> None:
    place = tiny_model / "model"
    model, tokenizer = load_model(place), AlbertTokenizer.from_pretrained(place)
    model.save_pretrained(tmp_path / "again")
    tokenizer.save_pretrained(tmp_path / "again")
    assert AlbertConfig.from_pretrained(tmp_path / "again") == model.config
    model.config.save_pretrained(tmp_path / "config" / "alone")
    assert AlbertConfig.load(tmp_path / "config" / "alone" / "config.json") == model.config
    again = Checkpoint.load(tmp_path / "again")
    assert again.tokenizer is not None
    assert again.tokenizer.fingerprint == tokenizer.fingerprint
    assert set(again.tensors) == set(Checkpoint.load(place).tensors)
    assert transformers.AlbertForPreTraining.from_pretrained(tmp_path / "again")
    body = load_model(tiny_model / "body")
    assert type(body) is AlbertModel
    vocabulary = next(place.glob("vocab.txt"))
    assert AlbertTokenizer.from_pretrained(vocabulary).kind == tokenizer.kind


def test_a_checkpoint_without_tokenizer_says_so(tiny_model: Path, tmp_path: Path) -> None:
    load_model(tiny_model / "model").save_pretrained(tmp_path / "bare")
    with pytest.raises(VocabularyError, match=r"spiece\.model"):
        AlbertTokenizer.from_pretrained(tmp_path / "bare")


def test_labels_are_refused_with_the_function_that_takes_them(tiny_model: Path) -> None:
    with pytest.raises(TypeError, match="cross_entropy"):
        load_model(tiny_model / "model")(**GIVEN, labels=IDS)
