"""tokenizer.json alone, which is all that transformers 5 saves: the ids of the library."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models

from albertkit.errors import VocabularyError
from albertkit.text import tokenizer_json
from albertkit.text.tokenizer import Tokenizer

OWN = "tokenization_own"
Change = Callable[[dict[str, Any], dict[str, Any]], None]


@pytest.mark.parametrize(
    ("vocabulary", "lines"), [("spiece.model", "english"), ("vocab.txt", "chinese")]
)
def test_ids_are_those_of_the_library_and_stay_when_saved(
    golden: Path, tmp_path: Path, vocabulary: str, lines: str
) -> None:
    whole, alone, copy = tmp_path / "whole", tmp_path / "alone", tmp_path / "copy"
    for folder in (whole, alone, copy):
        folder.mkdir()
    original = Tokenizer.load(golden / OWN / vocabulary)
    original.save(whole)
    (alone / "tokenizer.json").write_bytes((whole / "tokenizer.json").read_bytes())
    rust = RustTokenizer.from_file(str(alone / "tokenizer.json"))
    rust.encode_special_tokens = True  # names of special tokens in text are text
    ours = Tokenizer.load(alone)
    ours.save(copy)
    again = Tokenizer.load(copy / "tokenizer.json")
    assert ours.kind == original.kind
    assert ours.lower_case is True
    assert ours.special_ids == original.special_ids
    content = (golden / OWN / f"{lines}.jsonl").read_text(encoding="utf-8")
    texts = [json.loads(line)["text"] for line in content.split("\n") if line]
    for text in texts:
        wanted = rust.encode(text, add_special_tokens=False).ids
        ids, offsets = ours.align(text)
        assert ids == ours.ids(text) == again.ids(text) == wanted
        assert all(0 <= start <= end <= len(text) for start, end in offsets)
    masked = ours.encode("a [MASK] b", allow_mask=True).ids
    assert masked.count(ours.mask_id) == 1
    assert ours.mask_id not in ours.ids("a [MASK] b")
    assert again.fingerprint == ours.fingerprint


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"model": {"type": "Unigram", "vocab": 1}}', '{"model": {}}']
)
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(VocabularyError) as caught:
        Tokenizer.load(path)
    assert caught.value.facts["where"] == str(path)


@pytest.mark.parametrize("kind", [["WordPiece"], {"WordPiece": 1}, None, 3])
def test_a_kind_that_is_no_name_is_refused(
    small_chinese: Path, tmp_path: Path, kind: object
) -> None:
    changed = changed_file(small_chinese, tmp_path, lambda model, _: model.update(type=kind))
    with pytest.raises(VocabularyError, match="a model of type"):
        Tokenizer.load(changed)


def test_an_id_far_away_takes_no_memory(
    small_chinese: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library makes a place for each id below the highest one: gigabytes for 2**31."""
    changed = changed_file(
        small_chinese, tmp_path, lambda model, _: model["vocab"].update({"[UNK]": 2**31 - 1})
    )
    monkeypatch.setattr(tokenizer_json, "RustTokenizer", None)
    with pytest.raises(VocabularyError, match="ids up to 2147483647"):
        Tokenizer.load(changed)


TABLE_OF_4_GB = base64.b64encode(b"\xff" * 64).decode()


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ([{"type": "Precompiled", "precompiled_charsmap": TABLE_OF_4_GB}], "a trie of 4294967295"),
        ([{"type": "Precompiled", "precompiled_charsmap": "?"}], "Error: .*base64"),
        ([{"type": "Replace", "pattern": {"String": ""}, "content": "x" * 4097}], "up to 4,097"),
        ([{"type": "Replace", "pattern": {"String": "x"}, "content": "x" * 300}] * 2, "90,000"),
        ([{"type": "Sequence", "normalizers": [{"content": "x" * 300}] * 2}], "90,000"),
        ([{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}] * 90, "1,099,5"),
    ],
)
def test_a_normalizer_that_would_take_all_memory_does_not_reach_the_library(
    small_chinese: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[dict[str, Any]],
    found: str,
) -> None:
    """The library allocates what a table claims to have, and ends the process if it cannot."""
    normalizer = {"type": "Sequence", "normalizers": steps}
    changed = changed_file(
        small_chinese, tmp_path, lambda _, whole: whole.update(normalizer=normalizer)
    )
    monkeypatch.setattr(tokenizer_json, "RustTokenizer", None)
    with pytest.raises(VocabularyError, match=found):
        Tokenizer.load(changed)


def test_a_table_behind_a_second_key_of_its_name_is_walked_too(
    small_chinese: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(_: dict[str, Any], whole: dict[str, Any]) -> None:
        whole["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": TABLE_OF_4_GB, "z": 1}

    changed = changed_file(small_chinese, tmp_path, twice)
    text = changed.read_text(encoding="utf-8").replace('"z": 1', '"precompiled_charsmap": ""')
    changed.write_text(text, encoding="utf-8")
    monkeypatch.setattr(tokenizer_json, "RustTokenizer", None)
    with pytest.raises(VocabularyError, match="a trie of 4294967295"):
        Tokenizer.load(changed)


def test_a_text_has_the_same_ids_each_time(tmp_path: Path) -> None:
    """BPE's dropout, which is for training, makes the library take other pieces each time."""
    pieces = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "t", "h", "e", "th", "the"]
    rust = RustTokenizer(
        models.BPE(
            {piece: number for number, piece in enumerate(pieces)},
            [("t", "h"), ("th", "e")],
            dropout=0.5,
            unk_token="<unk>",
        )
    )
    rust.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    assert [tokenizer.ids("thethe") for _ in range(20)] == [[9, 9]] * 20


def changed_file(source: Path, folder: Path, change: Change) -> Path:
    """A tokenizer.json of which the model, or the whole, was changed."""
    Tokenizer.load(source).save(folder)
    values = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    change(values["model"], values)
    changed = folder / "changed" / "tokenizer.json"
    changed.parent.mkdir()
    changed.write_text(json.dumps(values), encoding="utf-8")
    return changed
