"""Probabilities against how often they are right, by hand."""

from __future__ import annotations

import pytest

from albertkit.tasks.calibration import Bin, expected_calibration_error, reliability


def test_answers_stand_in_the_bin_of_their_probability() -> None:
    # A bin has its upper edge and not its lower one; 0 is in the first.
    found = reliability([0.0, 0.5, 0.25, 0.75, 1.0], [False, True, False, True, False], num_bins=2)
    assert found == [
        Bin(0.0, 0.5, 3, 0.25, pytest.approx(1 / 3)),
        Bin(0.5, 1.0, 2, 0.875, 0.5),
    ]


def test_empty_bins_are_left_out() -> None:
    found = reliability([0.95, 0.91], [True, True])
    assert [(of.low, of.high, of.count) for of in found] == [(0.9, 1.0, 2)]


def test_the_expected_calibration_error_is_the_weighted_mean_of_the_gaps() -> None:
    bins = [Bin(0.5, 0.75, 3, 0.6, 1.0), Bin(0.75, 1.0, 1, 0.9, 0.0)]
    assert expected_calibration_error(bins) == pytest.approx((3 * 0.4 + 1 * 0.9) / 4)
    assert expected_calibration_error([Bin(0.9, 1.0, 5, 1.0, 1.0)]) == 0
