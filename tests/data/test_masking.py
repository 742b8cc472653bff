"""Masking by hand, and its distribution against the original walk written out row by row."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from albertkit.data.masking import choose_targets, corrupt, prediction_budget
from albertkit.data.random_hash import keys_of


def original_walk(words: list[list[int]], budget: int, ngram: int, rng: random.Random) -> set[int]:
    """create_masked_lm_predictions of google's create_pretraining_data.py, positions only."""
    candidates = [[words[i : i + n] for n in range(1, ngram + 1)] for i in range(len(words))]
    rng.shuffle(candidates)
    weights = [1 / n for n in range(1, ngram + 1)]
    covered: set[int] = set()
    for candidate in candidates:
        if len(covered) >= budget:
            break
        n = rng.choices(range(ngram), weights)[0]
        chosen = sum(candidate[n], [])
        while len(covered) + len(chosen) > budget and n > 0:
            n -= 1
            chosen = sum(candidate[n], [])
        if len(covered) + len(chosen) > budget or any(i in covered for i in chosen):
            continue
        covered.update(chosen)
    return covered


def row_of(word_lengths: list[int]) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """A row [CLS] words [SEP]: starts, maskable, and the positions of each word."""
    starts, words = [False], []
    for length in word_lengths:
        words.append(list(range(len(starts), len(starts) + length)))
        starts += [True] + [False] * (length - 1)
    starts.append(False)
    maskable = np.ones(len(starts), bool)
    maskable[[0, -1]] = False
    return np.array(starts), maskable, words


@pytest.mark.parametrize("ngram", [1, 3])
def test_the_distribution_is_that_of_the_original_walk(ngram: int) -> None:
    rows, budget = 40_000, 6
    starts, maskable, words = row_of([1, 2, 1, 3, 1, 1, 5, 2, 1, 1, 7, 1])
    chosen = choose_targets(
        np.tile(starts, (rows, 1)),
        np.tile(maskable, (rows, 1)),
        np.full(rows, budget),
        keys_of(3, 0, np.arange(rows)),
        max_ngram=ngram,
    )
    ours = Counter(np.packbits(row).tobytes() for row in chosen)
    rng = random.Random(1)
    theirs: Counter[bytes] = Counter()
    for _ in range(rows):
        flags = np.zeros(len(starts), bool)
        flags[list(original_walk(words, budget, ngram, rng))] = True
        theirs[np.packbits(flags).tobytes()] += 1
    # Chi-square of two samples over every set of masked positions that is not rare.
    outcomes = [key for key in ours | theirs if ours[key] + theirs[key] >= 20]
    chi_square = sum((ours[k] - theirs[k]) ** 2 / (ours[k] + theirs[k]) for k in outcomes)
    assert len(outcomes) > 50
    assert abs(chi_square - len(outcomes)) < 4.5 * np.sqrt(2 * len(outcomes))


def test_only_whole_words_are_masked_and_never_more_than_the_budget() -> None:
    rng = np.random.default_rng(0)
    rows = [row_of(rng.integers(1, 6, 12).tolist()) for _ in range(200)]
    width = max(len(starts) for starts, _, _ in rows)
    starts, maskable = np.zeros((2, 200, width), bool)
    for i, (row_starts, row_maskable, _) in enumerate(rows):
        starts[i, : len(row_starts)] = row_starts
        maskable[i, : len(row_maskable)] = row_maskable
    budget = rng.integers(1, 12, 200)
    chosen = choose_targets(starts, maskable, budget, keys_of(0, 0, np.arange(200)), max_ngram=3)
    assert not (chosen & ~maskable).any()
    assert (chosen.sum(axis=1) <= budget).all()
    for flags, (_, _, words) in zip(chosen, rows, strict=True):
        assert all(len({bool(flags[i]) for i in word}) == 1 for word in words)


def test_a_word_longer_than_the_budget_is_left_alone() -> None:
    starts, maskable, _ = row_of([9])
    chosen = choose_targets(starts[None], maskable[None], np.array([3]), keys_of(0, 0), max_ngram=3)
    assert not chosen.any()


def test_a_row_that_begins_inside_a_word_masks_that_rest_as_a_word() -> None:
    starts, maskable, _ = row_of([3])
    starts[1] = False
    chosen = choose_targets(starts[None], maskable[None], np.array([3]), keys_of(0, 0), max_ngram=1)
    assert chosen[0].tolist() == [False, True, True, True, False]


def test_the_budget_rounds_like_python_and_counts_the_special_tokens() -> None:
    lengths = np.arange(4, 600)
    found = prediction_budget(lengths, probability=0.15, max_predictions=77)
    assert found.tolist() == [min(77, max(1, round(n * 0.15))) for n in lengths.tolist()]


def test_eight_of_ten_are_masked_one_kept_one_random_over_the_whole_vocabulary() -> None:
    count = 200_000
    ids = np.full(count, 7)
    seen = corrupt(
        ids, np.arange(count) % 128, keys_of(1, 0, np.arange(count)), mask_id=4, vocab_size=50
    )
    tally = np.bincount(seen, minlength=50)
    each = count * 0.1 / 50
    expected = np.full(50, each)
    expected[4] += 0.8 * count
    expected[7] += 0.1 * count
    assert len(tally) == 50
    assert np.all(np.abs(tally - expected) < 4.5 * np.sqrt(expected))
