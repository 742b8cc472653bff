"""Texts longer than a model reads: windows hold every token, and their mean is the text's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from albertkit.tasks.rows import Rows
from albertkit.tasks.windows import spread, windows_of
from albertkit.text.encoding import Encoding
from albertkit.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Tokenizer:
    return Tokenizer.load(tiny_model / "model")


def covered(windows: list[Encoding], segment: int) -> set[tuple[int, int]]:
    """Characters of the tokens of one text that some window holds."""
    return {
        place
        for window in windows
        for place, of in zip(window.offsets, window.segment_ids, strict=True)
        if of == segment and place != (0, 0)
    }


def test_a_text_that_fits_is_encoded_as_it_is(tokenizer: Tokenizer) -> None:
    whole, pair = tokenizer.encode("the cat sat"), tokenizer.encode("the cat", "a dog")
    assert windows_of(tokenizer, whole, 5) == [whole]
    assert windows_of(tokenizer, pair, 7) == [pair]


@pytest.mark.parametrize("words", [7, 11, 40, 333])
def test_every_token_of_a_long_text_is_in_a_window(tokenizer: Tokenizer, words: int) -> None:
    text = " ".join(["the", "cat", "sat", "on", "a", "mat", "."][n % 7] for n in range(words))
    whole = tokenizer.encode(text)
    windows = windows_of(tokenizer, whole, 8)
    assert covered(windows, 0) == {place for place in whole.offsets if place != (0, 0)}
    assert all(len(w.ids) == 8 for w in windows)
    assert all((w.ids[0], w.ids[-1]) == (tokenizer.cls_id, tokenizer.sep_id) for w in windows)
    assert len(windows) == 1 + -(-(words - 6) // 5)  # 6 tokens each, one of which is the last's


@pytest.mark.parametrize(("a", "b"), [(3, 90), (90, 3), (60, 70), (30, 200), (200, 30)])
def test_every_token_of_both_texts_of_a_pair_is_in_a_window(
    tokenizer: Tokenizer, a: int, b: int
) -> None:
    first, second = " ".join(["cat"] * a), " ".join(["dog"] * b)
    whole = tokenizer.encode(first, second)
    windows = windows_of(tokenizer, whole, 24)
    for segment in (0, 1):
        of = zip(whole.offsets, whole.segment_ids, strict=True)
        assert covered(windows, segment) == {p for p, s in of if s == segment and p != (0, 0)}
    for window in windows:
        assert len(window.ids) <= 24
        assert window.ids.count(tokenizer.sep_id) == 2
        assert set(window.segment_ids) == {0, 1}
    if min(a, b) == 3:  # the short one is in each window, whole
        assert all(min(w.segment_ids.count(0) - 2, w.segment_ids.count(1) - 1) == 3
                   for w in windows)  # fmt: skip


def test_windows_are_spread_evenly() -> None:
    assert spread(6, 8) == [slice(0, 6)]
    assert spread(10, 8) == [slice(0, 8), slice(2, 10)]
    starts = [cut.start for cut in spread(100, 16)]
    assert starts == [0, 12, 24, 36, 48, 60, 72, 84]


def test_the_mean_over_the_windows_of_a_text_is_its_answer() -> None:
    rows = Rows.whole([Encoding([1], [0], [(0, 0)], [True])] * 6)
    rows = replace(rows, owners=np.array([0, 1, 1, 1, 2, 2]), sizes=np.ones(3, dtype=np.int64))
    outputs = np.array([[1, 2], [3, 0], [6, 0], [9, 3], [1, 1], [2, 5]], dtype=np.float32)
    assert rows.merge(outputs).tolist() == [[1, 2], [6, 1], [1.5, 3]]
    assert rows.weights.tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 0.5, 0.5])
