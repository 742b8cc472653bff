"""Character offsets into the original text, whatever normalisation did to it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from unicodedata import category

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albertkit.text import memo
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.unigram import UnigramTokenizer
from albertkit.text.wordpiece import WordPieceTokenizer

SPACE = "\u2581"
ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
# Characters that normalisation makes longer, shorter, or removes, among ordinary ones.
HARD = st.text(
    st.sampled_from(
        "abAB 19,.'`\"-\t\n\u00e9e\u0301\u0327\u00bd\u2126\ufb01\u3300\u1e9e\u0130\u00ad\u200b"
        "\u4e2d\u56fd\uac00\u1100\u1161\U0001f600\u3000\u00a0\x00\x01\u03a3\u2026\ufdfa\u20ac"
    ),
    max_size=40,
)


def check(tokenizer: Tokenizer, text: str) -> list[tuple[int, int]]:
    """What holds for any text: in range, in order, one for each id, the ids of the fast path."""
    ids, offsets = tokenizer.align(text)
    assert ids == tokenizer.ids(text)
    assert len(ids) == len(offsets)
    last_start, last_end = 0, 0
    for start, end in offsets:
        assert 0 <= start <= end <= len(text)
        assert start >= last_start
        assert end >= last_end
        last_start, last_end = start, end
    return offsets


@cache
def opened(english: Path, chinese: Path) -> list[Tokenizer]:
    """The small vocabularies under every choice."""
    return [
        Tokenizer.load(english),
        Tokenizer.load(english, quotes="rewrite"),
        Tokenizer.load(english, lower_case=False),
        Tokenizer.load(chinese),
        Tokenizer.load(chinese, lower_case=False),
    ]


@settings(max_examples=400, deadline=None)
@given(st.one_of(ANY_TEXT, HARD))
def test_offsets_of_any_text_are_in_range_and_in_order(
    small_english: Path, small_chinese: Path, text: str
) -> None:
    for tokenizer in opened(small_english, small_chinese):
        check(tokenizer, text)


@cache
def own(golden: Path) -> list[Tokenizer]:
    """The vocabularies of the repository; the first has number pieces without a space mark."""
    return [
        Tokenizer.load(golden / "tokenization_own" / "spiece.model"),
        Tokenizer.load(golden / "tokenization_own" / "spiece.model", comma_rule="transformers"),
        Tokenizer.load(golden / "tokenization_own" / "spiece_cased.model", lower_case=False),
    ]


def left_out(text: str, offsets: list[tuple[int, int]]) -> str:
    """Visible characters that stand in no slice."""
    covered = {place for start, end in offsets for place in range(start, end)}
    hidden = ("Cc", "Cf", "Zs", "Zl", "Zp")
    return "".join(c for n, c in enumerate(text) if n not in covered and category(c) not in hidden)


DIGITS = "0123456789,."
# What SentencePiece's normalizer drops or takes for a space, among numbers with their comma.
DROPPED = st.text(
    st.sampled_from("in2009,1x. ,0,\u2581\u2581\u200b\u200c\u200d\u200e\ufeff\x02\x00\t\ufffd"),
    max_size=30,
)
PARTS = st.lists(
    st.sampled_from(
        [
            "in",
            " ",
            "2009,",
            "2010,",
            "1,",
            "3.0,",
            "50,",
            "x",
            "\u2581",
            "\u200b",
            "\u200e",
            "\ufeff",
            "\x02",
        ]
    ),
    max_size=12,
).map("".join)


@settings(max_examples=600, deadline=None)
@given(st.one_of(DROPPED, PARTS))
def test_no_visible_character_is_left_out_of_all_slices(golden: Path, text: str) -> None:
    for tokenizer in own(golden):
        offsets = check(tokenizer, text)
        if offsets:
            assert left_out(text, offsets) == ""
        # A comma that a number was cut from is a comma in the text, and the number is before it.
        for number, (start, end) in zip(tokenizer.ids(text), offsets, strict=True):
            piece = tokenizer.pieces[number].removeprefix(SPACE)
            if piece.strip(DIGITS) == "":
                visible = [c for c in text[start:end] if c.isalnum() or c in ",."]
                assert "".join(visible) == piece


@pytest.mark.parametrize("between", ["\u200b", " \x02", "\u200e ", "\ufeff", "\x02 \x02", " "])
def test_what_is_invisible_in_front_of_a_number_stays_outside_of_its_slice(
    golden: Path, between: str
) -> None:
    for tokenizer in own(golden):
        text = f"in{between}2009, x"
        ids, offsets = tokenizer.align(text)
        found = [text[a:b] for a, b in offsets if text[a:b]]
        assert "".join(found) == "in2009,x", ids
        assert (found[0], found[-2:]) == ("in", [",", "x"])


def test_a_literal_space_mark_belongs_to_the_piece_that_it_stands_for(golden: Path) -> None:
    for tokenizer in own(golden):
        for text in ("in\u25812009,x", "\u2581\u25812009,", "in2009,\u2581"):
            _, offsets = tokenizer.align(text)
            assert "".join(text[a:b] for a, b in offsets) == text


@pytest.mark.shared
@settings(max_examples=400, deadline=None)
@given(st.one_of(ANY_TEXT, HARD))
def test_offsets_with_the_released_vocabularies_are_in_range_and_in_order(
    english: Tokenizer, chinese: Tokenizer, text: str
) -> None:
    check(english, text)
    check(chinese, text)


@pytest.mark.shared
def test_each_slice_of_a_golden_text_normalises_to_its_piece(
    shared: Path, english: Tokenizer, chinese: Tokenizer
) -> None:
    assert isinstance(english, UnigramTokenizer)
    checked = 0
    golden = shared / "golden/tokenization_en/google_fulltokenizer.jsonl"
    for line in golden.read_text(encoding="utf-8").splitlines():
        text = json.loads(line)["text"]
        ids, offsets = english.align(text)
        check(english, text)
        if not text.isascii() or not text.isprintable():
            continue
        for number, (start, end) in zip(ids, offsets, strict=True):
            piece = english.pieces[number].removeprefix(SPACE)
            if number != english.unk_id:
                assert english.prepare(text[start:end]) == piece
                checked += 1
    assert checked > 5000
    golden = shared / "golden/tokenization_zh/fulltokenizer.jsonl"
    for line in golden.read_text(encoding="utf-8").splitlines():
        text = json.loads(line)["text"]
        ids, offsets = chinese.align(text)
        for number, (start, end) in zip(ids, offsets, strict=True):
            # A Korean syllable falls into letters that all have the place of the syllable.
            if number != chinese.unk_id and offsets.count((start, end)) == 1:
                slice_ids = chinese.ids(text[start:end])
                piece = chinese.pieces[number].removeprefix("##")
                assert chinese.decode(slice_ids).replace(" ", "") == piece
                checked += 1
    assert checked > 15000


@pytest.mark.shared
@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        # A number with its comma: one piece of the vocabulary, cut in two by ALBERT's rule.
        ("in 2009, x", [("in", 0, 2), ("2009", 3, 7), (",", 7, 8), ("x", 9, 10)]),
        ("1,234", [("1", 0, 1), (",", 1, 2), ("234", 2, 5)]),
        # White space in front and behind, more than one space between.
        ("  the \t cat\n", [("the", 2, 5), ("cat", 8, 11)]),
        # An accent as a character of its own belongs to its letter.
        ("cafe\u0301 x", [("cafe", 0, 5), ("x", 6, 7)]),
        ("caf\u00e9 x", [("cafe", 0, 4), ("x", 5, 6)]),
        # A fraction falls into three characters that all come from one.
        ("\u00bd", [("1", 0, 1), ("<unk>", 0, 1), ("2", 0, 1)]),
        # A ligature that SentencePiece or NFKD takes apart.
        ("\ufb01ne", [("fine", 0, 3)]),
        ("NA\u00cfVE", [("naive", 0, 5)]),
    ],
)
def test_english_offsets_by_hand(
    english: Tokenizer, text: str, tokens: list[tuple[str, int, int]]
) -> None:
    ids, offsets = english.align(text)
    pieces = [english.pieces[i].removeprefix(SPACE) for i in ids]
    found = [(p, *o) for p, o in zip(pieces, offsets, strict=True) if p]
    assert found == tokens


@pytest.mark.shared
def test_a_rewritten_quote_covers_both_of_its_characters(shared: Path) -> None:
    tokenizer = Tokenizer.load(shared / "vocab/en/30k-clean.model", quotes="rewrite")
    ids, offsets = tokenizer.align("a ``b'' c")
    found = [
        (tokenizer.pieces[i].removeprefix(SPACE), *o)
        for i, o in zip(ids, offsets, strict=True)
        if tokenizer.pieces[i] != SPACE
    ]
    assert found == [("a", 0, 1), ('"', 2, 4), ("b", 4, 5), ('"', 5, 7), ("c", 8, 9)]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (
            "\u6211 love\u4e2d\u56fd",
            [("\u6211", 0, 1), ("love", 2, 6), ("\u4e2d", 6, 7), ("\u56fd", 7, 8)],
        ),
        ("unaffable", [("u", 0, 1), ("##na", 1, 3), ("##ff", 3, 5), ("##able", 5, 9)]),
        ("Cafe\u0301!", [("cafe", 0, 5), ("!", 5, 6)]),
        ("\u4e2d\u200b\x00\u56fd", [("\u4e2d", 0, 1), ("\u56fd", 3, 4)]),
        ("\U0002a700 a", [("[UNK]", 0, 1), ("a", 2, 3)]),
        ("a" * 201, [("[UNK]", 0, 201)]),
    ],
)
def test_chinese_offsets_by_hand(
    chinese: Tokenizer, text: str, tokens: list[tuple[str, int, int]]
) -> None:
    ids, offsets = chinese.align(text)
    assert [(chinese.pieces[i], *o) for i, o in zip(ids, offsets, strict=True)] == tokens


SOFT = st.text(st.sampled_from("abcdeAB 19,,.ntheing'\u00e9\u4e2d\u56fd\u20ac\u2014  \x1c\u3000"))


@settings(max_examples=400, deadline=None)
@given(st.one_of(ANY_TEXT, HARD, SOFT, DROPPED, PARTS))
def test_the_short_way_to_offsets_gives_those_of_the_long_one(
    golden: Path, small_english: Path, small_chinese: Path, text: str
) -> None:
    for tokenizer in (*own(golden), *opened(small_english, small_chinese)):
        assert tokenizer.align(text) == tokenizer._align(text)


def test_most_texts_go_the_short_way(small_english: Path, small_chinese: Path) -> None:
    for tokenizer in opened(small_english, small_chinese):
        with pytest.MonkeyPatch.context() as patch:
            patch.delattr(type(tokenizer), "_align")
            texts = ["The caf\u00e9 \u2014 on 5 May", "\u4e2d\u56fd abc, \u5317\u4eac"]
            for (ids, offsets), text in zip(tokenizer.align_batch(texts), texts, strict=True):
                assert ids == tokenizer.ids(text)
                assert left_out(text, offsets) == ""


def test_what_is_kept_for_speed_stays_small(
    small_chinese: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memo, "MAX_KEPT", 50)
    tokenizer = Tokenizer.load(small_chinese)
    assert isinstance(tokenizer, WordPieceTokenizer)
    texts = [f"word{number} {'x' * number}" for number in range(400)]
    for text in texts:
        assert tokenizer.align(text) == tokenizer._align(text)
        for kept in (tokenizer._chunk_ids, tokenizer._chunk_lengths):
            assert len(kept) <= 50
            assert max(map(len, kept), default=0) <= memo.MAX_KEY_LENGTH


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(HARD, SOFT), max_size=6))
def test_a_batch_of_texts_is_encoded_as_they_are_one_by_one(
    small_english: Path, small_chinese: Path, texts: list[str]
) -> None:
    for tokenizer in opened(small_english, small_chinese):
        given = [*texts, *zip(texts, reversed(texts), strict=True), "a [MASK] b[MASK]"]
        for options in ({}, {"allow_mask": True}, {"add_special_tokens": False, "max_tokens": 9}):
            one_by_one = [
                tokenizer.encode(*((x,) if isinstance(x, str) else x), **options) for x in given
            ]
            assert tokenizer.encode_batch(given, **options) == one_by_one
        for row in tokenizer.encode_batch(texts, add_special_tokens=False):
            assert row.word_starts == [tokenizer.starts_word(each) for each in row.ids]
