"""Equally probable segmentations: the one that SentencePiece 0.2.0 chose."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from albertkit.text.ties import REPETITION, reorders, root_of
from albertkit.text.tokenizer import Tokenizer

# Made with sentencepiece 0.2.0 from PyPI, 30k-clean.model, and google's digit-and-comma rule; 0.2.3
# gives other pieces for each.
OF_SENTENCEPIECE_0_2_0 = [
    ("!!!!!!!", "_ !!! !!! !"),
    ("ooooooo ???? oooooo", "_o oo oooo _ ? ? ? ? _ oooo oo"),
    ("?? lolololololololo na !", "_ ? ? _lo lol olo lol olo lo _na _ !"),
    ("rararararararara !!!! tictic", "_r ara rar ara rar ara _ !!! ! _ tic tic"),
    ("lolololololololo lolololololololo", "_lo lol olo lo lol olo _lo lol olo lol olo lo"),
    (
        "39,30151772 69.451,2 4305 0362647 538008,666,8",
        "_39 , 30 15 177 2 _69 . 45 1,2 _4 305 _0 36 26 47 _5 380 08 , 66 6 , 8",
    ),
    (
        "............ rararararararararara na mmm ----- ----",
        "_ . . . . . . . . . . . . _ rar ara rar ara rar ar ara _na _ mmm _ - - - - - _ - - - -",
    ),
    (
        ",6619697610066679 9619,9,9009166,69 19176660066600,7 6",
        "_ , 66 1969 76 100 66 6 79 _96 19 , 9 , 900 9 166 , 69 _1917 66 600 66 600 , 7 _6",
    ),
]


@pytest.mark.shared
@pytest.mark.parametrize(("text", "wanted"), OF_SENTENCEPIECE_0_2_0)
def test_ties_go_as_the_release_decided_that_made_the_original_ids(
    english: Tokenizer, text: str, wanted: str
) -> None:
    for ids in (english.ids(text), english.align(text)[0], english.ids_batch(["a", text])[1]):
        assert " ".join(english.pieces[i] for i in ids).replace("\u2581", "_") == wanted


def test_roots_are_the_shortest_strings_that_repeat() -> None:
    words = ("6", "66", "haha", "hah", "ababab", "abaaba")
    assert [root_of(word) for word in words] == ["6", "6", "ha", "hah", "ab", "aba"]


def test_pieces_that_make_the_text_in_another_order_are_reported() -> None:
    assert reorders(["lo", "lol", "olo"])
    assert reorders(["6", "66"])
    assert reorders(["a", "b", "aba"])
    assert not reorders(["un", "be", "liev", "able"])
    assert not reorders(["la", "la", "la"])
    assert reorders(["x"] * 100)  # too long to search, so better looked at again


@pytest.mark.parametrize(("letters", "length"), [("ab", 8), ("abc", 6), ("abcd", 5)])
def test_a_word_without_repetition_has_no_tie(letters: str, length: int) -> None:
    for characters in product(letters, repeat=length):
        word = "".join(characters)
        if REPETITION.search(word):
            continue
        by_pieces: dict[tuple[str, ...], list[int]] = {}
        for cuts in range(1, 2 ** (length - 1)):
            edges = [0, *(k for k in range(1, length) if cuts >> (k - 1) & 1), length]
            pieces = sorted(word[a:b] for a, b in zip(edges, edges[1:], strict=False))
            by_pieces.setdefault(tuple(pieces), []).append(cuts)
        # Two orders of the same pieces always share a cut: each part between two shared cuts is
        # a shorter word, for which the same holds.
        for same in by_pieces.values():
            assert all(one & other for one, other in combinations(same, 2))
