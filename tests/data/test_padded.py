"""A batch as a rectangle."""

from __future__ import annotations

import numpy as np

from albertkit.data.batch import Batch
from albertkit.data.padded import Padded

# [CLS] a [SEP] b c [SEP], and [CLS] d [SEP]
BATCH = Batch(
    np.array([2, 10, 3, 11, 12, 3, 2, 13, 3]),
    np.array([0, 0, 0, 1, 1, 1, 0, 0, 0]),
    np.array([6, 3]),
)


def test_rows_are_filled_up_at_their_ends() -> None:
    padded = Padded.of(BATCH)
    assert padded.ids.tolist() == [[2, 10, 3, 11, 12, 3], [2, 13, 3, 0, 0, 0]]
    assert padded.segment_ids.tolist() == [[0, 0, 0, 1, 1, 1], [0] * 6]
    assert padded.real.sum(1).tolist() == [6, 3]
    assert (padded.ids[padded.real] == BATCH.ids).all()
    assert padded.positions(np.array([4, 7])).tolist() == [4, 7 - 6 + 6]


def test_an_answer_stands_in_the_second_segment_or_at_cls() -> None:
    allowed = Padded.of(BATCH).answer_places
    assert allowed.tolist() == [
        [True, False, False, True, True, False],
        [True, True, True, False, False, False],
    ]


def test_a_row_whose_second_segment_is_empty_may_be_answered_everywhere() -> None:
    segments = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0, 1])
    batch = Batch(np.arange(10), segments, np.array([6, 4]))
    allowed = Padded.of(batch).answer_places
    assert allowed.astype(int).tolist() == [[1, 0, 0, 1, 1, 0], [1, 1, 1, 1, 0, 0]]
