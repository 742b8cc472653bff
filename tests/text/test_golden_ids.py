"""Ids equal those of the original programs, line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from albertkit.text.tokenizer import Tokenizer
from albertkit.text.words import segmenter_for

pytestmark = pytest.mark.shared

ENGLISH = ("vocab/en/30k-clean.model", "golden/tokenization_en/google_fulltokenizer.jsonl")
CHINESE = ("vocab/zh/vocab.txt", "golden/tokenization_zh/fulltokenizer.jsonl")
CASES = [
    pytest.param(*ENGLISH, True, "uncased", 679, id="english-uncased"),
    pytest.param(*ENGLISH, False, "cased", 679, id="english-cased"),
    pytest.param(*CHINESE, True, "lower", 622, id="chinese-lower"),
    pytest.param(*CHINESE, False, "cased", 622, id="chinese-cased"),
]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.mark.parametrize(("vocabulary", "lines", "lower_case", "key", "count"), CASES)
def test_every_way_to_encode_gives_the_ids_of_the_original_on_every_line(
    shared: Path, vocabulary: str, lines: str, lower_case: bool, key: str, count: int
) -> None:
    tokenizer = Tokenizer.load(shared / vocabulary, lower_case=lower_case)
    golden = read(shared / lines)
    assert len(golden) == count
    texts = [line["text"] for line in golden]
    wanted = [line[key]["ids"] for line in golden]
    ways = {
        "batch": tokenizer.ids_batch(texts),
        "one": [tokenizer.ids(text) for text in texts],
        "aligned": [tokenizer.align(text)[0] for text in texts],
        "encoded": [encoding.ids[1:-1] for encoding in tokenizer.encode_batch(texts)],
        "with word starts": [ids.tolist() for ids, _ in segmenter_for(tokenizer).encode(texts)],
    }
    wrong = {
        way: [text for text, a, b in zip(texts, ids, wanted, strict=True) if a != b]
        for way, ids in ways.items()
    }
    assert wrong == dict.fromkeys(ways, [])


@pytest.mark.parametrize(("vocabulary", "lines", "lower_case", "key", "count"), CASES)
def test_pieces_are_those_of_the_original(
    shared: Path, vocabulary: str, lines: str, lower_case: bool, key: str, count: int
) -> None:
    tokenizer = Tokenizer.load(shared / vocabulary, lower_case=lower_case)
    name = "pieces" if key in ("cased", "uncased") and "30k" in vocabulary else "tokens"
    checked = 0
    for line in read(shared / lines):
        for number, piece in zip(line[key]["ids"], line[key][name], strict=True):
            # The original shows an unknown piece as the text it stands for.
            if number != tokenizer.unk_id:
                assert tokenizer.pieces[number] == piece
                checked += 1
    assert checked > 5000


def test_the_two_line_separators_of_the_chinese_vocabulary_are_read_as_google_reads_them(
    shared: Path,
) -> None:
    pieces = Tokenizer.load(shared / CHINESE[0]).pieces
    assert len(pieces) == 21128
    assert (pieces[343], pieces[13502]) == (" ", "##")
    # Behind both nothing is moved: the first Chinese character, alone and inside a word.
    assert (pieces[671], pieces[13728]) == ("\u4e00", "##\u4e00")
