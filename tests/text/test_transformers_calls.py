"""The calls of transformers' tokenizers give what transformers gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError, DownloadError, TokenizationError, VocabularyError
from albertkit.text.tokenizer import Tokenizer

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")

KEYS = ("input_ids", "token_type_ids", "attention_mask")
OFFSETS = "offset_mapping"


@pytest.fixture(scope="module", params=["english", "chinese"])
def both(
    request: pytest.FixtureRequest,
    small_english: Path,
    small_chinese: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Tokenizer, Any]:
    """Our tokenizer, and the same files opened by transformers."""
    vocabulary = small_english if request.param == "english" else small_chinese
    ours = Tokenizer.load(vocabulary)
    folder = tmp_path_factory.mktemp("model")
    transformers.AlbertConfig(vocab_size=ours.vocab_size).save_pretrained(folder)
    ours.save_pretrained(folder)
    return ours, transformers.AutoTokenizer.from_pretrained(folder)


TEXTS = ["python is good", "a [MASK] statement, of 2009.", "x"]
PAIRS = ["an assignment", "it was [MASK]", "so the names are bound to the objects there"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": True},
        {"padding": "longest"},
        {"padding": False},
        {"padding": "max_length", "max_length": 40},
        {"padding": "max_length"},
        {"truncation": True, "max_length": 6},
        {"truncation": True},
        {"max_length": 6},
        {"padding": True, "truncation": True, "max_length": 7},
        {"padding": "max_length", "truncation": "longest_first", "max_length": 9},
        {"truncation": False, "max_length": 4},
        {"add_special_tokens": False, "padding": True},
        {"add_special_tokens": False, "truncation": True, "max_length": 3},
    ],
)
def test_texts_give_the_arguments_of_a_model_that_transformers_gives(
    both: tuple[Tokenizer, Any], options: dict[str, Any]
) -> None:
    ours, theirs = both
    assert dict(ours(TEXTS, **options)) == dict(theirs(TEXTS, **options))
    assert dict(ours(TEXTS[1], **options)) == dict(theirs(TEXTS[1], **options))


@pytest.mark.parametrize(
    "options",
    [
        {"padding": True},
        {"truncation": "only_first", "max_length": 14},
        {"truncation": "only_second", "max_length": 16},
        {"padding": "max_length", "truncation": "only_second", "max_length": 30},
    ],
)
def test_pairs_give_the_arguments_of_a_model_that_transformers_gives(
    both: tuple[Tokenizer, Any], options: dict[str, Any]
) -> None:
    ours, theirs = both
    texts, pairs = (TEXTS[:2], PAIRS[:2]) if "only" not in str(options) else (["x"] * 2, PAIRS[1:])
    if options.get("truncation") == "only_first":
        texts, pairs = pairs, texts
    expected = dict(theirs(texts, pairs, **options))
    assert dict(ours(texts, pairs, **options)) == expected
    assert dict(ours(list(zip(texts, pairs, strict=True)), **options)) == expected
    assert dict(ours(texts[0], pairs[0], **options)) == dict(theirs(texts[0], pairs[0], **options))


@pytest.mark.parametrize("room", range(5, 16))
def test_the_longer_text_of_a_pair_is_cut_first(both: tuple[Tokenizer, Any], room: int) -> None:
    ours, theirs = both
    options = {"truncation": True, "max_length": room}
    found = ours(TEXTS[1], PAIRS[2], **options)["token_type_ids"]
    expected = theirs(TEXTS[1], PAIRS[2], **options)["token_type_ids"]
    assert len(found) == len(expected)
    assert abs(sum(found) - sum(expected)) <= 1  # which text has the odd token: as google, not Rust


def test_tensors_are_what_was_asked_for(both: tuple[Tokenizer, Any]) -> None:
    ours, theirs = both
    found = ours(TEXTS, padding=True, return_tensors="pt")
    expected = theirs(TEXTS, padding=True, return_tensors="pt")
    arrays = ours(TEXTS, padding=True, return_tensors="np")
    assert tuple(found) == tuple(arrays) == tuple(expected) == KEYS
    for key in KEYS:
        assert torch.equal(found[key], expected[key])
        assert arrays[key].dtype == np.int64
        assert np.array_equal(arrays[key], found[key].numpy())
    assert found.input_ids is found["input_ids"]
    assert found.to("cpu").input_ids.device.type == "cpu"
    assert ours("python", return_tensors="np").input_ids.ndim == 2
    assert ours([], return_tensors="np").input_ids.shape == (0, 0)
    with pytest.raises(AttributeError):
        _ = found.offset_mapping


def test_offsets_are_characters_of_each_text(both: tuple[Tokenizer, Any]) -> None:
    ours, _ = both
    texts = ["python is good", "good"]
    lists = ours(texts, padding=True, return_offsets_mapping=True)
    for text, offsets, ids in zip(texts, lists.offset_mapping, lists.input_ids, strict=True):
        assert len(offsets) == len(ids)
        slices = [text[start:end] for start, end in offsets]
        assert "".join(slices) == text.replace(" ", "")
        assert {offsets[0], offsets[-1]} == {(0, 0)}
    arrays = ours(texts, padding=True, return_offsets_mapping=True, return_tensors="np")
    assert arrays.offset_mapping.shape == (*arrays.input_ids.shape, 2)
    assert arrays.offset_mapping.tolist() == [[list(x) for x in row] for row in lists[OFFSETS]]
    assert ours([], return_offsets_mapping=True, return_tensors="np")[OFFSETS].shape == (0, 0, 2)


def test_pieces_and_their_ids_have_the_names_of_transformers(both: tuple[Tokenizer, Any]) -> None:
    ours, theirs = both
    for role in ("cls", "sep", "pad", "unk", "mask"):
        for name in (f"{role}_token", f"{role}_token_id"):
            assert getattr(ours, name) == getattr(theirs, name)
    assert len(ours) == len(theirs)
    assert ours.get_vocab() == theirs.get_vocab()
    assert set(ours.all_special_ids) == set(theirs.all_special_ids)
    assert ours.tokenize(TEXTS[0]) == theirs.tokenize(TEXTS[0])
    ids = ours(TEXTS[1]).input_ids
    pieces = theirs.convert_ids_to_tokens(ids)
    assert ours.convert_ids_to_tokens(ids) == pieces
    assert ours.convert_ids_to_tokens(torch.tensor(ids)) == pieces
    assert ours.convert_ids_to_tokens(ids[1]) == pieces[1]
    assert ours.convert_tokens_to_ids(pieces) == ids
    assert ours.convert_tokens_to_ids("no such piece") == ours.unk_token_id
    without = theirs.convert_ids_to_tokens(ids, skip_special_tokens=True)
    assert ours.convert_ids_to_tokens(ids, skip_special_tokens=True) == without


def test_encoded_texts_are_sequences_of_ids(both: tuple[Tokenizer, Any]) -> None:
    ours, theirs = both
    text = "python"  # a letter that is unknown stays visible here, transformers drops it
    ids = theirs.encode(text, add_special_tokens=True)
    found = ours.encode(text, add_special_tokens=True)
    assert torch.tensor(found).tolist() == list(found) == ids
    assert found.index(ours.sep_token_id) == len(ids) - 1
    assert found[1:3] == ids[1:3]
    assert ours.encode(text, add_special_tokens=False).ids == ids[1:-1]
    decoded = theirs.decode(ids, skip_special_tokens=True)
    assert ours.decode(torch.tensor(ids), skip_special_tokens=True) == decoded
    assert ours.batch_decode(torch.tensor([ids, ids])) == [decoded] * 2
    assert ours.decode(np.int64(ids[1])) == theirs.decode(ids[1:2])


@pytest.mark.parametrize(
    ("texts", "options", "found"),
    [
        (None, {}, "NoneType"),
        ([None], {}, "None"),
        ([["cut", "into", "words"]], {}, "words"),
        (["a", "b"], {"text_pair": ["c"]}, "2 and 1"),
        ("a", {"text_pair": ["c"]}, "1 and 1"),
        ("a", {"padding": "longst"}, "longst"),
        ("a", {"padding": 1}, "1"),
        ("a", {"truncation": "last"}, "last"),
        ("a", {"return_tensors": "jax"}, "jax"),
        ("a", {"truncation": True, "max_length": 1}, "max_tokens=1"),
        (["a", "python is good"], {"return_tensors": "np"}, "tokens"),
    ],
)
def test_a_call_that_cannot_be_served_says_what_was_found(
    both: tuple[Tokenizer, Any], texts: Any, options: dict[str, Any], found: str
) -> None:
    with pytest.raises(TokenizationError) as error:
        both[0](texts, **options)
    assert found in error.value.facts["found"]


def test_ids_of_another_vocabulary_and_lists_without_tensors_are_refused(
    both: tuple[Tokenizer, Any],
) -> None:
    ours = both[0]
    for wrong in (-1, ours.vocab_size, [0, ours.vocab_size]):
        with pytest.raises(TokenizationError):
            ours.convert_ids_to_tokens(wrong)
    for shape in ([[1, 2]], [0.5]):
        with pytest.raises(TokenizationError):
            ours.decode(shape)  # type: ignore[arg-type]
    with pytest.raises(TokenizationError, match="return_tensors"):
        ours("a").to("cpu")


def test_the_limit_is_that_of_the_settings_or_of_every_albert(
    small_english: Path, tmp_path: Path
) -> None:
    (tmp_path / "spiece.model").write_bytes((small_english / "spiece.model").read_bytes())
    assert Tokenizer.from_pretrained(tmp_path).model_max_length == 512
    for said, expected in ((24, 24), (10**30, 512)):
        (tmp_path / "tokenizer_config.json").write_text(f'{{"model_max_length": {said}}}')
        assert Tokenizer.from_pretrained(tmp_path).model_max_length == expected
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 24}')
    assert len(Tokenizer.load(tmp_path)("a b c " * 30, truncation=True).input_ids) == 24


@pytest.mark.parametrize("bad", [None, 3, b"a", ["a"], ("a", "b")])
def test_encode_takes_texts_alone(both: tuple[Tokenizer, Any], bad: Any) -> None:
    for given in ((bad,), ("a", bad))[: 1 if bad is None else 2]:
        with pytest.raises(TokenizationError, match=type(bad).__name__):
            both[0].encode(*given)


def test_tokenizer_and_config_open_by_the_name_of_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(Tokenizer.from_pretrained("albertkit/tiny-en")) == 8_000
    assert AlbertConfig.from_pretrained("albertkit/tiny-zh").vocab_size == 8_000
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for kind in (Tokenizer, AlbertConfig):
        with pytest.raises(DownloadError, match="albert/albert-base-v2"):
            kind.from_pretrained("albert-base-v2")
    with pytest.raises(VocabularyError, match="name of a model"):
        Tokenizer.from_pretrained("no-such-thing")
    with pytest.raises(ConfigError, match="no-such-thing"):
        AlbertConfig.from_pretrained("no-such-thing")
    # What is here comes before a model of the same name.
    Tokenizer.load("albertkit/tiny-zh").save_pretrained("albertkit/tiny-en")
    assert Tokenizer.load("albertkit/tiny-en").kind == "wordpiece"


def test_arrays_of_numpy_need_no_torch(small_english: Path) -> None:
    code = (
        "import sys; from albertkit import Tokenizer;"
        f"Tokenizer.load({str(small_english)!r})(['a', 'b c'], padding=True, return_tensors='np');"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
