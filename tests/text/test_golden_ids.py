"""Ids equal those of the original programs, line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from albertkit.text.tokenizer import Tokenizer
from albertkit.text.words import segmenter_for

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
ENGLISH = ("vocab/en/30k-clean.model", "golden/tokenization_en/google_fulltokenizer.jsonl")
CHINESE = ("vocab/zh/vocab.txt", "golden/tokenization_zh/fulltokenizer.jsonl")
# Vocabularies and text of our own: in the repository, whatever lies beside it.
OWN = "golden/tokenization_own/"
OWN_ENGLISH = OWN + "english.jsonl"
OWN_CHINESE = (OWN + "vocab.txt", OWN + "chinese.jsonl")
OTHERS = [
    pytest.param(*ENGLISH, True, "uncased", 679, id="english-uncased"),
    pytest.param(*ENGLISH, False, "cased", 679, id="english-cased"),
    pytest.param(*CHINESE, True, "lower", 622, id="chinese-lower"),
    pytest.param(*CHINESE, False, "cased", 622, id="chinese-cased"),
]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


CASES = [
    *(pytest.param(*case.values, id=case.id, marks=pytest.mark.shared) for case in OTHERS),
    pytest.param(OWN + "spiece.model", OWN_ENGLISH, True, "uncased", 153, id="own-uncased"),
    pytest.param(OWN + "spiece_cased.model", OWN_ENGLISH, False, "cased", 153, id="own-cased"),
    pytest.param(*OWN_CHINESE, True, "lower", 158, id="own-chinese-lower"),
    pytest.param(*OWN_CHINESE, False, "cased", 158, id="own-chinese-cased"),
]


def place(shared: Path, name: str) -> Path:
    """A file of the repository, or of the folder beside it."""
    return (GOLDEN.parent if name.startswith(OWN) else shared) / name


@pytest.mark.parametrize(("vocabulary", "lines", "lower_case", "key", "count"), CASES)
def test_every_way_to_encode_gives_the_ids_of_the_original_on_every_line(
    shared: Path, vocabulary: str, lines: str, lower_case: bool, key: str, count: int
) -> None:
    tokenizer = Tokenizer.load(place(shared, vocabulary), lower_case=lower_case)
    golden = read(place(shared, lines))
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
    tokenizer = Tokenizer.load(place(shared, vocabulary), lower_case=lower_case)
    name = "pieces" if vocabulary.endswith(".model") else "tokens"
    checked = 0
    for line in read(place(shared, lines)):
        for number, piece in zip(line[key]["ids"], line[key][name], strict=True):
            # The original shows an unknown piece as the text it stands for.
            if number != tokenizer.unk_id:
                assert tokenizer.pieces[number] == piece
                checked += 1
    assert checked > (5000 if count > 200 else 1500)


def test_the_space_mark_that_google_leaves_before_a_number_is_a_named_choice(
    golden: Path, tmp_path: Path
) -> None:
    model = golden / "tokenization_own" / "spiece.model"
    lines = read(golden / "tokenization_own" / "english.jsonl")
    texts = [line["text"] for line in lines]
    wanted = [line["uncased"]["ids"] for line in lines]
    google, other = Tokenizer.load(model), Tokenizer.load(model, comma_rule="transformers")
    # The README of the reference lists the lines where the mark is left.
    found = zip(lines, other.ids_batch(texts), wanted, strict=True)
    differing = [line["n"] for line, a, b in found if a != b]
    assert len(differing) == 36
    assert differing[:4] == [30, 32, 33, 34]
    assert google.fingerprint != other.fingerprint
    for tokenizer in (google, other):
        folder = tmp_path / tokenizer.fingerprint
        folder.mkdir()
        tokenizer.save(folder)
        assert Tokenizer.load(folder).fingerprint == tokenizer.fingerprint


def test_a_folder_saved_before_the_choice_existed_keeps_the_ids_it_gave(
    golden: Path, tmp_path: Path
) -> None:
    model = golden / "tokenization_own" / "spiece.model"
    Tokenizer.load(model, comma_rule="transformers").save(tmp_path)
    settings = tmp_path / "tokenizer_config.json"
    values = json.loads(settings.read_text())
    del values["albertkit_comma_rule"]
    settings.write_text(json.dumps(values))
    old = Tokenizer.load(tmp_path)
    assert old.ids("in 3.0, x") == Tokenizer.load(model, comma_rule="transformers").ids("in 3.0, x")
    # What stood in the indexes of data folders before, so that these stay readable.
    assert old.settings() == {"kind": "sentencepiece", "lower_case": True, "quotes": "keep"}


@pytest.mark.shared
def test_the_two_line_separators_of_the_chinese_vocabulary_are_read_as_google_reads_them(
    shared: Path,
) -> None:
    pieces = Tokenizer.load(shared / CHINESE[0]).pieces
    assert len(pieces) == 21128
    assert (pieces[343], pieces[13502]) == (" ", "##")
    # Behind both nothing is moved: the first Chinese character, alone and inside a word.
    assert (pieces[671], pieces[13728]) == ("\u4e00", "##\u4e00")
