"""Which tokens begin a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rjieba
from hypothesis import given, settings
from hypothesis import strategies as st

from albertkit.errors import TokenizationError, VocabularyError
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.words import START_BIT, JiebaSegmenter, WordSegmenter, segmenter_for

MIXED = st.text(
    st.sampled_from(
        "\u6211\u4eec\u5317\u4eac\u5927\u5b66\u4e2d\u56fd\uff0c\u3002 aBc19.%+-_\n\t\u00e9\u0301"
        "\x00\x01\u200b\u03a3\u03c3\u0130\ufffd\U00020000\uf900\u3000\ufb01"
    ),
    max_size=40,
)


def shown(segmenter: WordSegmenter, text: str) -> str:
    """Pieces of a text, a bar before each that begins a word."""
    ((ids, starts),) = segmenter.encode([text])
    pieces = segmenter.tokenizer.pieces
    return " ".join(
        ("|" if s else "") + pieces[i] for i, s in zip(ids, starts, strict=True)
    ).replace("\u2581", "_")


@pytest.mark.shared
def test_english_words_follow_googles_rule_of_starts(english: Tokenizer) -> None:
    # Section 4.1: a space mark, "<", punctuation, or any character outside a-z begins a word.
    text = "The well-known caf\u00e9: 1,234 (unbelievable) x\u00bd."
    wanted = (
        "|_the |_well |- known |_cafe |: |_1 |, |234 |_ |( un be liev able |) |_x |1 |<unk> |2 |."
    )
    assert shown(segmenter_for(english), text) == wanted
    starts = {piece: english.starts_word(number) for number, piece in enumerate(english.pieces)}
    assert all(starts[p] for p in ("<pad>", "\u2581", ",", "-", "9", "\u20ac", "'"))
    assert not any(starts[p] for p in ("s", "ing", "able"))


@pytest.mark.shared
def test_chinese_words_are_those_of_jieba(chinese: Tokenizer) -> None:
    text = "\u6211\u4eec\u5728\u5317\u4eac\u5927\u5b66\uff0cHello unaffable 3.14\u4e16\u754c"
    assert rjieba.cut(text)[:3] == ["\u6211\u4eec", "\u5728", "\u5317\u4eac\u5927\u5b66"]
    wanted = (
        "|\u6211 \u4eec |\u5728 |\u5317 \u4eac \u5927 \u5b66 |\uff0c |hello |u ##na ##ff ##able "
        "|3 . 14 |\u4e16 \u754c"
    )
    assert shown(segmenter_for(chinese), text) == wanted
    single = shown(segmenter_for(chinese, "none"), text)
    assert single.startswith("|\u6211 |\u4eec |\u5728 |\u5317 |\u4eac")
    assert "|u ##na ##ff ##able |3 |. |14 |\u4e16" in single


@pytest.fixture(scope="module")
def jieba(small_chinese: Path) -> JiebaSegmenter:
    segmenter = segmenter_for(Tokenizer.load(small_chinese))
    assert isinstance(segmenter, JiebaSegmenter)
    return segmenter


@settings(max_examples=500, deadline=None)
@given(st.one_of(MIXED, st.text(st.characters(exclude_categories=("Cs",)), max_size=30)))
def test_marked_ids_are_the_ids_and_the_marks_those_found_by_offsets(
    jieba: JiebaSegmenter, text: str
) -> None:
    ((ids, starts),) = jieba.encode([text])
    assert ids.tolist() == jieba.tokenizer.ids(text)
    assert starts.tolist() == [i >= START_BIT for i in jieba.marked_by_offsets(text)]


def test_a_batch_gives_each_text_its_own_row(jieba: JiebaSegmenter, small_english: Path) -> None:
    for segmenter in (jieba, segmenter_for(Tokenizer.load(small_english))):
        texts = ["\u5317\u4eac python", "", "  ", "is good"]
        rows = segmenter.encode(texts)
        assert [len(ids) for ids, _ in rows][1:3] == [0, 0]
        for text, (ids, starts) in zip(texts, rows, strict=True):
            assert ids.tolist() == segmenter.tokenizer.ids(text)
            assert (ids.dtype, starts.dtype, ids.shape) == (np.uint32, np.bool_, starts.shape)
            assert starts[:1].all()
        assert segmenter.encode([]) == []
        with pytest.raises(TokenizationError, match="surrogate"):
            segmenter.encode(["a\ud800"])


def test_segmenters_have_names_and_fingerprints_of_their_own(
    small_english: Path, small_chinese: Path
) -> None:
    english, chinese = Tokenizer.load(small_english), Tokenizer.load(small_chinese)
    made = [segmenter_for(english), segmenter_for(chinese), segmenter_for(chinese, "none")]
    assert [each.name for each in made] == ["pieces", "jieba", "none"]
    assert len({each.fingerprint for each in made}) == 3
    assert segmenter_for(chinese, "jieba").fingerprint == made[1].fingerprint
    other = Tokenizer.load(small_chinese, lower_case=False)
    assert segmenter_for(other).fingerprint != made[1].fingerprint
    with pytest.raises(VocabularyError, match="'jieba'"):
        segmenter_for(english, "jieba")
