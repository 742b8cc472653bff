"""Offsets of many texts at once, by arrays: those of each text, character by character."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from albertkit.text import places
from albertkit.text.places import PieceParts, bounds_of, in_groups, shared_offsets
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.tokenizer_settings import AddedToken, TokenizerSettings
from albertkit.text.wordpiece import WordPieceTokenizer

SPACE = "\u2581"
SOFT = "abcdeAB 19,,.ntheing'\u00e9\u4e2d\u56fd\u20ac\u2014  \x1c\u3000"
# Control characters, a literal space mark, characters without width, marks, accents, full-width
# letters, ligatures, syllables that fall into letters, quotes, digits with a comma.
HOSTILE = (
    "ab AB 19,.``''\"-\t\n\x00\x01\x02\x7f\u2581\u200b\u200d\u200e\ufeff\u00ad\u0301\u0327\u20dd"
    "\u00e9\u00c5\u0130\u1e9e\u03a3\uff21\uff11\uff0c\u3000\u00a0\u2003\x85\x1f\u2026\u00bd\ufb01\u3300"
    "\uac00\u1100\u1161\u4e2d\u56fd\U0002a700\U0001f600\U0001d400\u0e33\ufdfa\ufffd"
)
TEXTS = st.lists(
    st.one_of(
        st.text(st.sampled_from(HOSTILE), max_size=30),
        st.text(st.sampled_from(SOFT), max_size=60),
        st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
        st.lists(
            st.sampled_from(("in", " ", "2009,", "1,", "x34,", "666", "777", "hahaha", SPACE)),
            max_size=9,
        ).map("".join),
    ),
    max_size=6,
)


def changed(model: Path, folder: Path, name: str) -> Tokenizer:
    """A SentencePiece model with one thing that ALBERT's models do not have."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.read_bytes())
    if name == "no piece for a space":
        [space] = [piece for piece in proto.pieces if piece.piece == SPACE]
        space.piece = "never"
    elif name == "a piece of two words":
        proto.pieces.add(piece=f"e{SPACE}a", score=-0.01)
        proto.pieces.add(piece=f"9{SPACE}1,", score=-0.01)
    elif name == "no space in front":
        proto.normalizer_spec.add_dummy_prefix = False
    elif name == "spaces behind":
        proto.trainer_spec.treat_whitespace_as_suffix = True
    elif name == "BPE":
        proto.trainer_spec.model_type = sentencepiece_model_pb2.TrainerSpec.BPE
    else:
        for piece in ("34,", f"{SPACE}2009,", "19,", "\u00bd,"):
            proto.pieces.add(piece=piece, score=-0.01)
    path = folder / f"{name}.model"
    path.write_bytes(proto.SerializeToString())
    return Tokenizer.load(path)


CHANGES = (
    "no piece for a space",
    "a piece of two words",
    "no space in front",
    "spaces behind",
    "BPE",
    "numbers with a comma",
)


@pytest.fixture(scope="session")
def tokenizers(
    tmp_path_factory: pytest.TempPathFactory, golden: Path, small_english: Path, small_chinese: Path
) -> list[Tokenizer]:
    """Every choice of both kinds."""
    folder, model = tmp_path_factory.mktemp("changed"), small_english / "spiece.model"
    own = golden / "tokenization_own" / "spiece.model"
    return [
        *(Tokenizer.load(own, comma_rule=rule) for rule in ("google", "transformers")),
        *(Tokenizer.load(small_english, quotes=quotes) for quotes in ("keep", "rewrite")),
        *(changed(model, folder, name) for name in CHANGES),
        *(Tokenizer.load(small_chinese, lower_case=lower) for lower in (True, False)),
        WordPieceTokenizer(
            small_chinese / "vocab.txt",
            settings=TokenizerSettings({"tokenize_chinese_chars": False, "strip_accents": False}),
        ),
    ]


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_a_batch_has_the_ids_and_offsets_of_each_text_by_itself(
    tokenizers: list[Tokenizer], texts: list[str]
) -> None:
    for tokenizer in tokenizers:
        one_by_one = [tokenizer._align(text) for text in texts]
        assert tokenizer.align_batch(texts) == one_by_one
        assert [tokenizer.align(text) for text in texts] == one_by_one
        assert tokenizer.ids_batch(texts) == [ids for ids, _ in one_by_one]


def test_a_large_batch_and_a_long_text_are_those_of_each_text_by_itself(
    tokenizers: list[Tokenizer], english_lines: list[str]
) -> None:
    lines = english_lines[::60]
    texts = [*lines, "", " ".join(lines), "\u4e2d\u56fd " * 1000, "x" * 300] * 2
    for tokenizer in tokenizers:
        assert tokenizer.align_batch(texts) == [tokenizer._align(text) for text in texts]


def test_offsets_are_starts_and_ends_whether_they_are_kept_or_new() -> None:
    at = [0, 1, 2046, 2047, 2048, 10**6]
    pairs = [(start, start + size) for start in at for size in (0, 1, 15, 16, 10**5)] * 50
    starts, ends = np.array(pairs).T
    for count in (len(pairs), 999, 1):
        found = shared_offsets(starts[:count], ends[:count]).tolist()
        assert found == pairs[:count]
        assert {type(value) for pair in found for value in pair} == {int}


def test_groups_hold_every_text_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "_GROUP_CHARACTERS", 10)
    texts = ["a" * 4, "", "b" * 4, "c" * 4, "d" * 30, "e"]  # ten characters or more, or the rest
    assert list(in_groups(texts)) == [texts[:4], texts[4:5], texts[5:]]
    assert list(in_groups([])) == []


@cache
def grown(chinese: Path) -> Tokenizer:
    """A Chinese vocabulary to which a word and a Chinese word were added."""
    count = len((chinese / "vocab.txt").read_text(encoding="utf-8").splitlines())
    added = {count: AddedToken("abc"), count + 1: AddedToken("\u4e2d\u56fd")}
    return WordPieceTokenizer(chinese / "vocab.txt", settings=TokenizerSettings(added=added))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.sampled_from("abc \u4e2d\u56fd\u5317,\u0301"), max_size=12), max_size=5))
def test_texts_with_added_words_are_those_of_each_text_by_itself(
    small_chinese: Path, texts: list[str]
) -> None:
    tokenizer = grown(small_chinese)
    aligned = tokenizer.align_batch(texts)
    assert aligned == [tokenizer.align(text) for text in texts]
    assert tokenizer.ids_batch(texts) == [ids for ids, _ in aligned]


@pytest.mark.parametrize(
    ("text", "ids", "offsets"),
    [
        ("QQaR", [1, 0, 2, 0], [(0, 0), (0, 2), (2, 3), (3, 4)]),
        ("Q a", [1, 0, 1, 2], [(0, 0), (0, 1), (2, 2), (2, 3)]),
        ("Qxy", [1, 0, 3], None),  # the run takes letters of the next piece
        ("QxyaRS", [1, 0, 3, 2, 0], None),  # one size too long, another missing: the sum fits
        ("a", [1, 0], None),  # its characters are in the vocabulary
        ("Qa", [1, 0, 0], None),
    ],
)
def test_an_unknown_piece_is_the_run_between_its_neighbours_or_not_certain(
    text: str, ids: list[int], offsets: list[tuple[int, int]] | None
) -> None:
    parts = PieceParts(["<unk>", SPACE, "a", "xy"], unk_id=0, cut={})
    [found] = parts.align(np.array(ids, np.int32), bounds_of([ids]), [text])
    assert found == (None if offsets is None else (ids, offsets))
