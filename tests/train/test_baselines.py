"""The lines to beat, on cases that can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from albertkit.data.loader import PretrainingBatch
from albertkit.train.baselines import order_accuracy, unigram_entropy


def test_unigram_entropy_is_the_mean_surprise_with_one_added_to_each_count() -> None:
    counts = np.array([3, 1, 0, 0])  # of 4 tokens; with one added: 4, 2, 1, 1 of 8
    expected = (math.log(8 / 4) + math.log(8 / 4) + math.log(8 / 2) + math.log(8 / 1)) / 4
    assert unigram_entropy(counts, np.array([0, 0, 1, 3])) == pytest.approx(expected)


def batch_of(rows: list[tuple[list[int], list[int], int]]) -> PretrainingBatch:
    """Rows of two segments of equal length, the first token of each row masked (id 4)."""
    ids = np.array([[2, *a, 3, *b, 3] for a, b, _ in rows])
    types = np.array([[0] * (len(a) + 2) + [1] * (len(b) + 1) for a, b, _ in rows])
    targets = ids[:, 1].copy()
    ids[:, 1] = 4
    return PretrainingBatch(
        ids=ids.ravel(),
        segment_ids=types.ravel(),
        lengths=np.full(len(rows), ids.shape[1]),
        target_positions=np.arange(len(rows)) * ids.shape[1] + 1,
        targets=targets,
        swapped=np.array([swapped for _, _, swapped in rows]),
    )


def test_words_that_open_a_text_tell_the_order_also_when_they_are_masked() -> None:
    chance = np.random.default_rng(0)
    rows = []
    for _ in range(200):
        opening, ending = [10, *chance.integers(20, 30, 3)], [11, *chance.integers(20, 30, 3)]
        swapped = int(chance.integers(2))
        rows.append((ending, opening, 1) if swapped else (opening, ending, 0))
    training, held_out = batch_of(rows[:150]), batch_of(rows[150:])
    found = order_accuracy([training], [held_out], vocab_size=40)
    assert found == 1.0


def test_words_that_tell_nothing_leave_a_coin() -> None:
    chance = np.random.default_rng(1)
    rows = [
        (list(chance.integers(20, 30, 4)), list(chance.integers(20, 30, 4)), int(i % 2))
        for i in range(2000)
    ]
    batch, held_out = batch_of(rows[:1000]), batch_of(rows[1000:])
    found = order_accuracy([batch], [held_out], vocab_size=40)
    assert found == pytest.approx(0.5, abs=0.06)
