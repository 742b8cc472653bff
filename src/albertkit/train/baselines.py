"""Lines to beat: what word frequencies and bags of words alone achieve on the held-out rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from albertkit.data.loader import Batch

_GROUP = 256
_LEAST_UPDATES = 400  # enough to converge at this rate

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Baselines:
    """Figures of models that know no word order."""

    unigram_entropy: float  # nats per held-out masked token
    unigram_accuracy: float  # share of targets that are the most frequent token
    order_accuracy: float  # share of held-out pairs whose order the bag of words tells


def unigram_entropy(counts: Ints, targets: Ints) -> float:
    """Mean -ln p(target), p = (count + 1) / (sum of counts + vocabulary), in nats.

    counts (V,): occurrences in the training text. targets (M,): held-out masked tokens.
    """
    probabilities = (counts + 1.0) / (counts.sum() + len(counts))
    return float(-np.log(probabilities[targets]).mean())


def order_accuracy(
    training: Iterable[Batch], held_out: Sequence[Batch], *, vocab_size: int, pairs: int, seed: int
) -> float:
    """Accuracy of logistic regression on (bag of words of A) - (bag of words of B).

    Trained on `pairs` training pairs, measured on the held-out pairs, all with their masked tokens
    put back. Takes seconds.
    """
    examples = list(islice(_examples(training), pairs))
    weights = _fit(examples, vocab_size, seed)
    right = total = 0
    for indices, values, offsets, swapped in _groups(list(_examples(held_out))):
        score = F.embedding_bag(indices, weights, offsets, mode="sum", per_sample_weights=values)
        right += int(((score[:, 0] > 0).long() == swapped).sum())
        total += len(swapped)
    return right / max(1, total)


_Example = tuple[Ints, npt.NDArray[np.float32], int]
_Group = tuple[Tensor, Tensor, Tensor, Tensor]


def _examples(batches: Iterable[Batch]) -> Iterable[_Example]:
    """Of each row: token ids, +1 for segment A and -1 for B, and whether it is swapped.

    Values are divided by the root of the row's length, which keeps long rows comparable.
    """
    for batch in batches:
        ids = batch.ids.copy()
        ids.flat[batch.target_positions] = batch.targets
        for row, length in enumerate(batch.lengths):
            signs = 1 - 2 * batch.types[row, :length].astype(np.float32)
            scale = np.float32(length) ** -0.5
            yield ids[row, :length], signs * scale, int(batch.swapped[row])


def _groups(examples: Sequence[_Example], size: int = _GROUP) -> Iterable[_Group]:
    """Batches in the form of embedding_bag."""
    for begin in range(0, len(examples), size):
        ids, values, swapped = zip(*examples[begin : begin + size], strict=True)
        lengths = np.array([len(row) for row in ids])
        yield (
            torch.from_numpy(np.concatenate(ids)),
            torch.from_numpy(np.concatenate(values)),
            torch.from_numpy(np.cumsum(lengths) - lengths),
            torch.tensor(swapped),
        )


def _fit(examples: Sequence[_Example], vocab_size: int, seed: int) -> Tensor:
    """One weight for each token (V, 1), by Adam with a little decay; A and B need no constant."""
    weights = nn.Parameter(torch.zeros(vocab_size, 1))
    optimizer = torch.optim.AdamW([weights], lr=0.02, weight_decay=0.1)
    order = np.random.default_rng(seed)
    for _ in range(max(4, _LEAST_UPDATES * _GROUP // len(examples))):
        shuffled = [examples[i] for i in order.permutation(len(examples))]
        for indices, values, offsets, swapped in _groups(shuffled):
            score = F.embedding_bag(
                indices, weights, offsets, mode="sum", per_sample_weights=values
            )
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(score[:, 0], swapped.float()).backward()
            optimizer.step()
    return weights.detach()
