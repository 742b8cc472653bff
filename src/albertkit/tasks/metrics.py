"""How good predictions are: classes, numbers, and how sure a score is.

Values are those of scikit-learn (accuracy, F1, Matthews) and scipy (Pearson, Spearman), as floats
from 0 to 1 or -1 to 1; a division by zero in F1 and Matthews counts as 0, as there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from albertkit.errors import PredictionError

Average = Literal["binary", "macro", "micro", "weighted"]
AVERAGES: tuple[Average, ...] = ("binary", "macro", "micro", "weighted")
Ints = npt.NDArray[np.int64]


def accuracy(gold: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Share of examples (N,) whose class is right; also of multiple choice, by option index."""
    a, b = _aligned(gold, predicted)
    return float(np.mean(a == b))


def confusion(gold: npt.ArrayLike, predicted: npt.ArrayLike, num_classes: int) -> Ints:
    """How often each class (row) was predicted as each class (column), (C, C) of integers."""
    a, b = _aligned(gold, predicted)
    table = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(table, (a.astype(np.int64), b.astype(np.int64)), 1)
    return table


def f1(gold: npt.ArrayLike, predicted: npt.ArrayLike, average: Average = "binary") -> float:
    """F1 of classes (N,), or of yes/no for each class (N, C) where a text has several classes.

    average: binary: of class 1 alone, as MRPC and QQP are scored. macro: mean over the classes
    that occur in `gold` or `predicted` (over every column of (N, C)). weighted: the same, weighted
    by how often a class occurs in `gold`. micro: of all decisions together.
    """
    if average not in AVERAGES:
        raise PredictionError(
            f"average must be one of {', '.join(AVERAGES)}; got {average!r}.",
            fix="pass average='macro'",
            command_fix="leave it out",
        )
    a, b = _aligned(gold, predicted)
    if average == "binary":
        a, b = (x.reshape(-1, 1) == 1 for x in (a, b))
    elif a.ndim == 1:
        classes = np.union1d(a, b)
        a, b = a[:, None] == classes, b[:, None] == classes
    right = np.sum((a != 0) & (b != 0), axis=0)
    guessed, there = np.sum(b != 0, axis=0), np.sum(a != 0, axis=0)
    if average == "micro":
        return f1_of_counts(int(right.sum()), int(guessed.sum()), int(there.sum()))
    each = [f1_of_counts(*map(int, x)) for x in zip(right, guessed, there, strict=True)]
    if average == "weighted":
        return float(np.average(each, weights=there)) if there.sum() else 0.0
    return float(np.mean(each))


def f1_of_counts(right: int, predicted: int, gold: int) -> float:
    """Harmonic mean of precision and recall; 0 where nothing was predicted and nothing is there."""
    return 2 * right / (predicted + gold) if predicted + gold else 0.0


def matthews(gold: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Matthews' correlation of two or more classes (N,), -1 to 1; 0 if one side is constant."""
    a, b = _aligned(gold, predicted)
    _, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    n = len(a)
    table = confusion(codes[:n], codes[n:], int(codes.max()) + 1).astype(np.float64)
    there, guessed, right = table.sum(1), table.sum(0), float(np.trace(table))
    spread = (n * n - there @ there) * (n * n - guessed @ guessed)
    return float((right * n - there @ guessed) / math.sqrt(spread)) if spread > 0 else 0.0


def pearson(gold: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Linear correlation of numbers (N,), N at least 2; NaN if one side is constant."""
    a, b = (np.asarray(x, dtype=np.float64) for x in _aligned(gold, predicted))
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    a, b = a - a.mean(), b - b.mean()
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    return float(np.clip(a @ b, -1, 1))


def spearman(gold: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Correlation of the ranks of numbers (N,); equal numbers share the mean of their ranks."""
    a, b = _aligned(gold, predicted)
    return pearson(_ranks(a), _ranks(b))


def wilson_interval(right: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a share such as accuracy, `right` of `total` (Wilson 1927)."""
    if not 0 <= right <= total or total == 0:
        raise PredictionError(
            "There is no share of these counts.",
            expected="0 <= right <= total, total 1 or more",
            found=f"right={right}, total={total}",
            fix="give the counts of one set of examples",
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, shrink = right / total, 1 + z * z / total
    middle = (share + z * z / (2 * total)) / shrink
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / shrink
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap_interval(
    score: Callable[[Ints], float],
    total: int,
    *,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Where any score lies, by drawing the examples again with replacement (Efron 1979).

    score: the score of the examples with these indices (total,), which may repeat. The interval
    holds the middle `confidence` of the scores of all draws; draws without a score (NaN) are left
    out. The same seed gives the same interval.
    """
    generator = np.random.default_rng(seed)
    scores = [score(generator.integers(0, total, total)) for _ in range(draws)]
    low, high = np.nanquantile(scores, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _ranks(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of theirs."""
    _, code, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[code], dtype=np.float64)


def _aligned(
    gold: npt.ArrayLike | Sequence[Any], predicted: npt.ArrayLike | Sequence[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Both as arrays, of one shape and not empty."""
    a, b = np.asarray(gold), np.asarray(predicted)
    if a.shape != b.shape or a.ndim == 0 or len(a) == 0:
        raise PredictionError(
            "The predictions do not fit the examples.",
            expected="one prediction for each example, and at least one",
            found=f"examples of shape {a.shape}, predictions of shape {b.shape}",
            fix="predict the same examples that are scored",
        )
    return a, b
