"""Every row once in an epoch, another order in each, and no more tokens than fit."""

from __future__ import annotations

import numpy as np
import pytest

from albertkit.data.batch import Batch
from albertkit.data.row_batches import RowBatches, within_budget


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("rows", [1, 7, 64, 101])
def test_an_epoch_holds_every_row_once(rows: int, window: int) -> None:
    lengths = np.arange(rows) * 37 % 50 + 3
    plan = RowBatches(lengths, 8, seed=5, sort_window=window)
    epochs = [plan.epoch(n) for n in range(3)]
    for batches in epochs:
        assert len(batches) == plan.steps_per_epoch == -(-rows // 8)
        assert sorted(np.concatenate(batches)) == list(range(rows))
        assert {len(batch) for batch in batches[:-1]} <= {8}
    if rows > 7:
        assert not np.array_equal(np.concatenate(epochs[0]), np.concatenate(epochs[1]))
    again = RowBatches(lengths, 8, seed=5, sort_window=window).epoch(2)
    assert all(np.array_equal(a, b) for a, b in zip(again, epochs[2], strict=True))


def test_a_window_puts_rows_of_like_length_together() -> None:
    lengths = np.arange(256) * 77 % 256
    spreads = [
        np.mean([np.ptp(lengths[b]) for b in RowBatches(lengths, 8, 1, window).epoch(0)])
        for window in (1, 8)
    ]
    assert spreads[1] < spreads[0] / 4


def test_micro_batches_keep_to_the_budget_with_their_padding() -> None:
    lengths = [5, 9, 3, 20, 4, 4]
    assert within_budget(lengths, 120) == [[0, 1, 2, 3, 4, 5]]
    made = within_budget(lengths, 20)
    assert made == [[3], [1, 0], [4, 5, 2]]  # 20; 2 * 9; 3 * 4
    assert within_budget([30], 20) == [[0]]


def test_rows_are_taken_out_of_a_batch() -> None:
    batch = Batch(np.arange(9), np.array([0, 0, 1, 0, 0, 0, 1, 1, 0]), np.array([3, 1, 4, 1]))
    taken = batch.take([2, 0])
    assert taken.ids.tolist() == [4, 5, 6, 7, 0, 1, 2]
    assert taken.segment_ids.tolist() == [0, 0, 1, 1, 0, 0, 1]
    assert taken.lengths.tolist() == [4, 3]
    joined = Batch.joined([taken, batch])
    assert joined.take([2, 3, 4, 5]).ids.tolist() == batch.ids.tolist()
