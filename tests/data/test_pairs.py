"""Chunks, splits, swaps and cuts, by hand and against the original loop."""

from __future__ import annotations

import random

import numpy as np

from albertkit.data.pairs import choose_pairs, plan_epoch, shares_of
from albertkit.data.random_hash import keys_of, permutation


def offsets(lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)])


def chunks_of(documents: list[list[int]], max_tokens: int = 13) -> list[tuple[int, int]]:
    plan = plan_epoch(
        offsets([length for document in documents for length in document]),
        offsets([len(document) for document in documents]),
        max_tokens=max_tokens,
        short_probability=0.0,
        seed=1,
        epoch=0,
    )
    return list(zip(plan.first.tolist(), plan.count.tolist(), strict=True))


def test_sentences_are_taken_until_the_row_is_full() -> None:
    # Room for 10 tokens: 4+4+4 reaches it, 6+5 reaches it, the last one alone is lost.
    assert chunks_of([[4, 4, 4, 6, 5, 9]]) == [(0, 3), (3, 2)]
    assert chunks_of([[10], [5, 5]]) == [(1, 2)]


def test_a_chunk_of_one_long_sentence_takes_the_next_one_too() -> None:
    assert chunks_of([[50, 3, 50, 3, 2]]) == [(0, 2), (2, 2)]


def test_a_short_rest_of_two_sentences_is_kept() -> None:
    assert chunks_of([[10, 1, 1, 1]]) == [(0, 2), (2, 2)]
    assert chunks_of([[], [1, 1], []]) == [(0, 2)]


def test_short_documents_have_lengths_from_two_to_the_room() -> None:
    plan = plan_epoch(
        np.arange(20_001),
        offsets([10] * 2000),
        max_tokens=11,
        short_probability=1.0,
        seed=3,
        epoch=5,
    )
    # Sentences of one token: a document's first chunk is as long as its target.
    first_of_document = plan.first % 10 == 0
    seen = np.bincount(plan.count[first_of_document], minlength=9)[2:]
    assert len(seen) == 7
    assert np.all(np.abs(seen - 2000 / 7) < 4 * np.sqrt(2000 / 7))


def test_the_shares_are_those_of_removing_one_token_at_a_time() -> None:
    generator = random.Random(0)
    for _ in range(500):
        a, b, room = (generator.randint(1, 40) for _ in range(3))
        kept = [a, b]
        while sum(kept) > room:  # truncate_seq_pair of the originals
            kept[0 if kept[0] > kept[1] else 1] -= 1
        assert [int(n[0]) for n in shares_of(room, np.array([a]), np.array([b]))] == kept


def test_splits_swaps_and_cuts_are_uniform() -> None:
    rows = 40_000
    sentences = offsets([10, 10, 10, 10])
    pairs = choose_pairs(
        np.zeros(rows, int),
        np.full(rows, 4),
        sentences,
        keys_of(7, 0, np.arange(rows)),
        max_tokens=23,
    )
    assert abs(pairs.swapped.mean() - 0.5) < 4 * 0.5 / np.sqrt(rows)
    straight, swapped = pairs.swapped == 0, pairs.swapped == 1
    # 40 tokens do not fit in 20: every split ends with 10 + 10, and 10 or 20 tokens are removed.
    assert np.all(pairs.first_length == 10)
    assert np.all(pairs.second_length == 10)
    assert np.all(pairs.first_start[straight] < pairs.second_start[straight])
    assert np.all(pairs.first_start[swapped] > pairs.second_start[swapped])


def test_the_place_of_the_split_is_uniform() -> None:
    rows = 30_000
    pairs = choose_pairs(
        np.zeros(rows, int),
        np.full(rows, 4),
        offsets([1, 1, 1, 1]),
        keys_of(7, 1, np.arange(rows)),
        max_tokens=23,
        swap_probability=0.0,
    )
    seen = np.bincount(pairs.first_length, minlength=5)
    assert seen[0] == seen[4] == 0
    assert np.all(np.abs(seen[1:4] - rows / 3) < 4 * np.sqrt(rows / 3))


def test_tokens_are_cut_in_front_or_behind_with_equal_chance() -> None:
    rows = 20_000
    pairs = choose_pairs(
        np.zeros(rows, int),
        np.full(rows, 2),
        offsets([205, 10]),
        keys_of(9, 0, np.arange(rows)),
        max_tokens=23,
        swap_probability=0.0,
    )
    removed = pairs.first_start.astype(float)  # Binomial(195, 1/2)
    assert abs(removed.mean() - 97.5) < 4 * np.sqrt(195 / 4 / rows)
    assert abs(removed.var() - 195 / 4) < 0.05 * 195 / 4


def test_the_order_of_samples_is_a_permutation_that_depends_on_the_epoch() -> None:
    for size in (1, 2, 3, 17, 1000, 4096, 4097):
        order = permutation(np.arange(size), size, seed=5, epoch=2)
        assert sorted(order.tolist()) == list(range(size))
    first, second = (permutation(np.arange(4000), 4000, 5, epoch) for epoch in (0, 1))
    assert (first == second).mean() < 0.01
    assert abs(np.corrcoef(first, np.arange(4000))[0, 1]) < 0.06
    # Any part of the order can be asked for alone.
    assert permutation(np.array([3999, 17]), 4000, 5, 0).tolist() == first[[3999, 17]].tolist()
