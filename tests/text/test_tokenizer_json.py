"""tokenizer.json alone, which is all that transformers 5 saves: the ids of the library."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as RustTokenizer

from albertkit.errors import VocabularyError
from albertkit.text import tokenizer_json
from albertkit.text.tokenizer import Tokenizer

OWN = "tokenization_own"


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
    changed = changed_file(small_chinese, tmp_path, lambda model: model.update(type=kind))
    with pytest.raises(VocabularyError, match="a model of type"):
        Tokenizer.load(changed)


def test_an_id_far_away_takes_no_memory(
    small_chinese: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library makes a place for each id below the highest one: gigabytes for 2**31."""
    changed = changed_file(
        small_chinese, tmp_path, lambda model: model["vocab"].update({"[UNK]": 2**31 - 1})
    )
    monkeypatch.setattr(tokenizer_json, "RustTokenizer", None)
    with pytest.raises(VocabularyError, match="ids up to 2147483647"):
        Tokenizer.load(changed)


def changed_file(source: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A tokenizer.json whose model was changed."""
    Tokenizer.load(source).save(folder)
    values = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    change(values["model"])
    changed = folder / "changed" / "tokenizer.json"
    changed.parent.mkdir()
    changed.write_text(json.dumps(values), encoding="utf-8")
    return changed
