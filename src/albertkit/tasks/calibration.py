"""How far probabilities can be trusted: of answers with 80 %, 80 % should be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NUM_BINS = 10


@dataclass(frozen=True)
class Bin:
    """Answers whose probability is above `low` and at most `high`.

    probability: their mean probability; right: the share of them that is right.
    """

    low: float
    high: float
    count: int
    probability: float
    right: float


def reliability(
    probabilities: npt.ArrayLike, right: npt.ArrayLike, num_bins: int = NUM_BINS
) -> list[Bin]:
    """Answers by their probability (N,), 0 to 1, in bins of equal width; empty bins are left out.

    right (N,): whether the answer is right.
    """
    stated, true = np.asarray(probabilities, np.float64), np.asarray(right, np.bool_)
    numbers = np.clip(np.ceil(stated * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    bins = []
    for n in np.unique(numbers).tolist():
        inside = numbers == n
        share, mean = float(true[inside].mean()), float(stated[inside].mean())
        bins.append(Bin(n / num_bins, (n + 1) / num_bins, int(inside.sum()), mean, share))
    return bins


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance of probability and share of right answers, 0 to 1: the ECE.

    Guo et al. 2017, "On calibration of modern neural networks", equation 3.
    """
    total = sum(of.count for of in bins)
    return sum(of.count * abs(of.right - of.probability) for of in bins) / total
