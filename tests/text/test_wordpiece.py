"""Chinese: the table of characters against a second, plain writing of google's rules."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albertkit.errors import TokenizationError
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.wordpiece import WordPieceTokenizer

HAN = (
    *(range(0x4E00, 0xA000), range(0x3400, 0x4DC0), range(0x20000, 0x2A6E0)),
    *(range(0x2A700, 0x2B740), range(0x2B740, 0x2B820), range(0x2B820, 0x2CEB0)),
    *(range(0xF900, 0xFB00), range(0x2F800, 0x2FA20)),
)


def reference_words(text: str, lower_case: bool) -> list[str]:
    """BasicTokenizer step by step, as section 4.2 of the reference tells it."""
    cleaned = ""
    for c in text:
        category = unicodedata.category(c)
        if c in (" ", "\t", "\n", "\r") or category == "Zs":
            cleaned += " "
        elif c in ("\0", "\ufffd") or category in ("Cc", "Cf"):
            continue
        else:
            is_han = category in ("Lo", "Cn") and any(ord(c) in block for block in HAN)
            cleaned += f" {c} " if is_han else c
    words = []
    for word in cleaned.split():
        if lower_case:
            decomposed = unicodedata.normalize("NFD", word.lower())
            word = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
        for c in word:
            is_symbol = c.isascii() and not c.isalnum() and c.isprintable() and c != " "
            if is_symbol or unicodedata.category(c)[0] == "P":
                word = word.replace(c, f" {c} ")
        words += word.split()
    return words


@cache
def code_points() -> list[int]:
    """Each assigned code point but for the bulk of Chinese and Korean; some of all the rest."""
    chosen = []
    for code in range(sys.maxunicode + 1):
        dull = any(code in block for block in HAN) or 0xAC00 <= code <= 0xD7A3
        category = unicodedata.category(chr(code))
        if category != "Cs" and (code % 199 == 0 or not (dull or category in ("Cn", "Co"))):
            chosen.append(code)
    return chosen


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hand-made vocabulary."""
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "a", "##a"]
    path.write_text("\n".join([*words, ",", "\u4e2d", "##\u4e2d"]) + "\n", encoding="utf-8")
    return path


def open_kind(path: Path, lower_case: bool) -> WordPieceTokenizer:
    tokenizer = Tokenizer.load(path, lower_case=lower_case)
    assert isinstance(tokenizer, WordPieceTokenizer)
    return tokenizer


@pytest.mark.parametrize("lower_case", [True, False])
def test_every_assigned_character_is_treated_as_google_treats_it(
    vocabulary: Path, lower_case: bool
) -> None:
    tokenizer = open_kind(vocabulary, lower_case)
    wrong = []
    for code in code_points():
        # At the begin and the end of a text, between letters, and between Chinese characters.
        text = f"{chr(code)}x{chr(code)}y \u4e2d{chr(code)}\u4e2d A{chr(code)}"
        if tokenizer.words(text) != reference_words(text, lower_case):
            wrong.append(hex(code))
    assert wrong == []


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=40), st.booleans())
def test_any_text_falls_into_the_words_of_google(
    vocabulary: Path, text: str, lower_case: bool
) -> None:
    assert open_kind(vocabulary, lower_case).words(text) == reference_words(text, lower_case)


@pytest.mark.parametrize(
    "text",
    [
        "\u039f\u0394\u039f\u03a3 \u039f\u03a3\u0399 \u03a3",  # sigma at the end, inside, alone
        "\u039f\u03a3\u4e2d\u03a3\u0391",  # a Chinese character ends the word before it
        "\u039f\u03a3, \u039f\u03a3.\u0391",  # punctuation does not, as lower-casing comes first
        "\u0130stanbul \u1e9e \ufb01 \u01c5",
        "a\u0301\u0327 e\u302e\u0301x a\u0315\u0300\u05ae\u0300b",  # marks that change places
        "\ue000a\uf8ff\U000f0000",  # private use is kept
        "a\u200b\u200db\ufeff\x00\x01\x7f\ufffdc",
        "a\u2028b\u2029c\x85d\x1ce\u3000f\u00a0g",
    ],
)
def test_known_traps_of_unicode_fall_into_the_words_of_google(vocabulary: Path, text: str) -> None:
    for lower_case in (True, False):
        words = open_kind(vocabulary, lower_case).words(text)
        assert words == reference_words(text, lower_case)


def test_the_longest_piece_is_taken_from_the_left_and_an_unmatched_rest_makes_the_word_unknown(
    vocabulary: Path,
) -> None:
    tokenizer = open_kind(vocabulary, True)
    names = [tokenizer.pieces[i] for i in tokenizer.ids("Unaffable, un\u4e2da unx aaa")]
    assert names == ["un", "##aff", "##able", ",", "un", "\u4e2d", "a", "[UNK]", "a", "##a", "##a"]


@pytest.mark.parametrize(("length", "count"), [(100, 100), (101, 101), (200, 200), (201, 1)])
def test_words_up_to_200_characters_are_cut_into_pieces(
    vocabulary: Path, length: int, count: int
) -> None:
    tokenizer = open_kind(vocabulary, True)
    ids = tokenizer.ids("a" * length)
    assert len(ids) == count
    assert (tokenizer.unk_id in ids) == (length > 200)


def test_the_names_of_special_tokens_in_a_text_are_ordinary_text(vocabulary: Path) -> None:
    tokenizer = open_kind(vocabulary, True)
    forbidden = {tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id}
    ids = tokenizer.ids("[CLS] a [SEP] [PAD][MASK] [MASK]")
    assert not forbidden & set(ids)


def test_half_of_a_surrogate_pair_is_refused_with_its_place(vocabulary: Path) -> None:
    with pytest.raises(TokenizationError, match="character 2"):
        open_kind(vocabulary, True).ids("ab\ud800c")
