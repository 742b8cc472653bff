"""Pairs, segments, truncation, padding, masks: what both kinds of tokenizer share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albertkit.errors import TokenizationError
from albertkit.text.encoding import Truncation
from albertkit.text.tokenizer import Tokenizer


@pytest.fixture(scope="module", params=["english", "chinese"])
def tokenizer(
    request: pytest.FixtureRequest, small_english: Path, small_chinese: Path
) -> Tokenizer:
    return Tokenizer.load(small_english if request.param == "english" else small_chinese)


def test_a_text_stands_between_cls_and_sep_and_a_pair_is_segment_1(tokenizer: Tokenizer) -> None:
    a, b = tokenizer.ids("python is"), tokenizer.ids("good")
    assert a
    assert b
    cls, sep = tokenizer.cls_id, tokenizer.sep_id
    one = tokenizer.encode("python is")
    assert (one.ids, one.segment_ids) == ([cls, *a, sep], [0] * (len(a) + 2))
    two = tokenizer.encode("python is", "good")
    assert two.ids == [cls, *a, sep, *b, sep]
    assert two.segment_ids == [0] * (len(a) + 2) + [1] * (len(b) + 1)
    assert len(two) == len(two.offsets) == len(two.word_starts) == len(two.segment_ids)
    assert two.offsets[0] == two.offsets[len(a) + 1] == two.offsets[-1] == (0, 0)
    assert two.offsets[1][0] == 0
    assert two.offsets[len(a) + 2][0] == 0  # of the pair's own text
    assert two.word_starts[1]
    assert tokenizer.encode_batch(["python is", ("python is", "good")]) == [one, two]
    assert tokenizer.encode("", "").ids == [cls, sep, sep]


@settings(max_examples=200, deadline=None)
@given(
    a=st.integers(0, 30),
    b=st.one_of(st.none(), st.integers(0, 30)),
    limit=st.integers(0, 40),
    how=st.sampled_from(["longest_first", "only_first", "only_second"]),
)
def test_truncation_takes_away_one_token_after_another_from_the_right_end(
    small_chinese: Path, a: int, b: int | None, limit: int, how: Truncation
) -> None:
    tokenizer = Tokenizer.load(small_chinese)
    text, pair = "\u4e2d" * a, None if b is None else "\u5b66" * b
    # The rule in its slow form: take one away until it fits.
    kept_a, kept_b = a, b or 0
    room = limit - (2 if b is None else 3)
    possible = True
    while kept_a + kept_b > room and possible:
        if b is None or how == "only_first":
            first = True
        elif how == "only_second":
            first = False
        else:
            first = kept_a > kept_b
        kept_a, kept_b = (kept_a - 1, kept_b) if first else (kept_a, kept_b - 1)
        possible = min(kept_a, kept_b) >= 0
    if not possible:
        with pytest.raises(TokenizationError, match="no room"):
            tokenizer.encode(text, pair, max_tokens=limit, truncate=how)
        return
    found = tokenizer.encode(text, pair, max_tokens=limit, truncate=how)
    assert len(found) <= limit or limit >= a + (b or 0) + 3
    whole_a, whole_b = tokenizer.ids(text)[:kept_a], tokenizer.ids(pair or "")[:kept_b]
    wanted = [tokenizer.cls_id, *whole_a, tokenizer.sep_id]
    assert found.ids == (wanted if pair is None else [*wanted, *whole_b, tokenizer.sep_id])
    assert len(found.ids) == len(found.segment_ids) == len(found.offsets) == len(found.word_starts)


def test_an_unknown_way_to_truncate_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizationError, match="longest_first, only_first, only_second"):
        tokenizer.encode("a b c", max_tokens=3, truncate="last")  # type: ignore[arg-type]


def test_padding_fills_up_behind_with_the_pad_token_and_segment_0(tokenizer: Tokenizer) -> None:
    encodings = [tokenizer.encode("python", "is good"), tokenizer.encode("", "")]
    padded = tokenizer([("python", "is good"), ("", "")], padding=True, return_tensors="np")
    width = len(encodings[0])
    ids, segments, mask = padded.values()
    assert ids.shape == segments.shape == mask.shape == (2, width)
    assert ids[0].tolist() == encodings[0].ids
    assert segments[0].tolist() == encodings[0].segment_ids
    cls, sep = tokenizer.cls_id, tokenizer.sep_id
    assert ids[1].tolist() == [cls, sep, sep, *[tokenizer.pad_id] * (width - 3)]
    assert segments[1].tolist() == [0, 0, 1, *[0] * (width - 3)]
    assert mask.sum(1).tolist() == [width, 3]


def test_a_mask_is_a_token_only_where_it_is_asked_for(tokenizer: Tokenizer) -> None:
    text = "python [MASK] good [mask][MASK]"
    assert tokenizer.mask_id not in tokenizer.encode(text).ids
    found = tokenizer.encode(text, allow_mask=True)
    places = [n for n, i in enumerate(found.ids) if i == tokenizer.mask_id]
    assert len(places) == 2
    assert [found.offsets[n] for n in places] == [(7, 13), (25, 31)]
    assert all(found.word_starts[n] for n in places)
    others = {tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id}
    assert not others & set(tokenizer.encode("[CLS] [SEP] [PAD] <pad>", allow_mask=True).ids[1:-1])


@pytest.mark.shared
def test_the_text_around_a_mask_is_cut_as_transformers_cuts_it(english: Tokenizer) -> None:
    # Section 4.1 of the reference: "the [MASK] of" gives _the [MASK] _of.
    found = english.encode("the [MASK] of", allow_mask=True).ids[1:-1]
    assert [english.pieces[i] for i in found] == ["\u2581the", "[MASK]", "\u2581of"]


def test_equal_files_and_settings_have_one_fingerprint_and_others_another(
    small_english: Path, small_chinese: Path
) -> None:
    prints = {
        Tokenizer.load(small_english).fingerprint,
        Tokenizer.load(small_english, lower_case=False).fingerprint,
        Tokenizer.load(small_english, quotes="rewrite").fingerprint,
        Tokenizer.load(small_chinese).fingerprint,
        Tokenizer.load(small_chinese, lower_case=False).fingerprint,
    }
    assert len(prints) == 5
    assert Tokenizer.load(small_english / "spiece.model").fingerprint in prints
