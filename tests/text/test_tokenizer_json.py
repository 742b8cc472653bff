"""tokenizer.json alone, which is all that transformers 5 saves: the ids of the library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer as RustTokenizer

from albertkit.errors import VocabularyError
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
