"""Lines to beat: what word frequencies and bags of words alone achieve on the held-out rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from albertkit.data.loader import PretrainingBatch

# The regression of sentence order: updates at this rate, and pull of the weights towards 0.
_UPDATES = 100
_RATE = 0.1
_PRIOR = 2.0

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Baselines:
    """Figures of models that know no word order."""

    unigram_entropy: float  # nats per held-out masked token
    unigram_accuracy: float  # share of targets that are the most frequent token
    # Share of held-out pairs whose order the bag of words judges right; None for masked-LM alone.
    order_accuracy: float | None


def unigram_entropy(counts: Ints, targets: Ints) -> float:
    """Mean -ln p(target), p = (count + 1) / (sum of counts + vocabulary), in nats.

    counts (V,): occurrences in the training text. targets (M,): held-out masked tokens.
    """
    probabilities = (counts + 1.0) / (counts.sum() + len(counts))
    return float(-np.log(probabilities[targets]).mean())


def order_accuracy(
    training: Iterable[PretrainingBatch], held_out: Iterable[PretrainingBatch], *, vocab_size: int
) -> float:
    """Accuracy of logistic regression on (bag of words of A) - (bag of words of B).

    Trained on the training pairs, measured on the held-out pairs, all with their masked tokens put
    back. Takes seconds for 20,000 pairs.
    """
    weights = _fit(_Bags.of(training), vocab_size)
    bags = _Bags.of(held_out)
    return float(((bags.scores(weights) > 0) == bags.swapped).mean())


@dataclass(frozen=True)
class _Bags:
    """Tokens of all pairs in one line: their ids, the pair of each, +1 in A and -1 in B.

    The signs are divided by the root of the pair's length, which keeps long pairs comparable.
    """

    ids: Ints
    pairs: Ints
    values: Floats
    swapped: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, batches: Iterable[PretrainingBatch]) -> _Bags:
        ids, pairs, values, swapped = [], [], [], []
        before = 0
        for batch in batches:
            true = batch.ids.copy()
            true[batch.target_positions] = batch.targets
            ids.append(true)
            pairs.append(before + np.repeat(np.arange(len(batch)), batch.lengths))
            weights = np.repeat(batch.lengths**-0.5, batch.lengths)
            values.append((1 - 2 * batch.segment_ids) * weights)
            swapped.append(batch.swapped == 1)
            before += len(batch)
        return cls(*(np.concatenate(part) for part in (ids, pairs, values, swapped)))

    def scores(self, weights: Floats) -> Floats:
        """Sum of weight * value over the tokens of each pair."""
        weighted = self.values * weights[self.ids]
        return np.bincount(self.pairs, weighted, len(self.swapped)).astype(np.float64)


def _fit(bags: _Bags, vocab_size: int) -> Floats:
    """One weight for each token, by Adam on all pairs at once; A and B need no constant."""
    weights, mean, square = np.zeros((3, vocab_size))
    decay = _PRIOR / len(bags.swapped)
    for step in range(1, _UPDATES + 1):
        error = 1 / (1 + np.exp(-bags.scores(weights))) - bags.swapped
        total = np.bincount(bags.ids, bags.values * error[bags.pairs], vocab_size)
        slope = total / len(bags.swapped) + decay * weights
        mean = 0.9 * mean + 0.1 * slope
        square = 0.99 * square + 0.01 * slope**2
        size = np.sqrt(square / (1 - 0.99**step)) + 1e-12
        weights = weights - _RATE * (mean / (1 - 0.9**step)) / size
    return weights
