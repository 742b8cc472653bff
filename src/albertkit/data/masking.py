"""Which tokens of a batch are to be predicted, and what stands in their place.

The rules are those of create_masked_lm_predictions in google's create_pretraining_data.py:
- A row of L tokens, specials included, has a budget of min(max_predictions, max(1,
  round(0.15 L))).
- Every word of the row is a candidate once, in random order. A candidate stands for the n words
  that begin there, n drawn with p(n) ~ 1/n, n <= 3; at the row's end there may be fewer.
- If those words hold more tokens than the budget has left, fewer words are tried, down to one.
- If one of them is already taken, or not even one fits, the candidate is skipped.
- A chosen token becomes [MASK] (80 %), stays (10 %) or becomes any id of the vocabulary (10 %).

The walk over candidates is sequential by nature, but rows do not depend on each other: all rows
of a batch take their k-th candidate at the same time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from albertkit.data.random_hash import Keys, Purpose, bits, uniform

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def prediction_budget(lengths: Ints, *, probability: float, max_predictions: int) -> Ints:
    """How many tokens of each row are predicted; `lengths` (B,) counts the special tokens too."""
    wanted = np.rint(lengths * probability).astype(np.int64)  # halves to even, like Python's round
    return np.asarray(np.minimum(max_predictions, np.maximum(1, wanted)))


def choose_targets(
    starts: Flags, maskable: Flags, budget: Ints, keys: Keys, *, max_ngram: int
) -> Flags:
    """Mark the tokens to predict, (B, T).

    `starts` (B, T): the token begins a word. `maskable` (B, T): it is text, not a special token or
    padding. The first maskable token of a row begins a word in any case. `budget` (B,).
    """
    words = Words.of(starts & maskable, maskable, max_ngram)
    taken = _walk(words, budget, keys, max_ngram)
    chosen = np.take_along_axis(taken, words.word_of_token, axis=1)
    return np.asarray(chosen & maskable)


class Words:
    """The words of each row: `edges` (B, W + max_ngram) counts the text tokens before each word.

    `word_of_token` (B, T) is the word a token belongs to, `num_words` (B,) how many there are.
    Beyond a row's last word `edges` repeats the row's number of text tokens, so an n-gram that
    reaches over the end is cut there.
    """

    def __init__(self, edges: Ints, word_of_token: Ints, num_words: Ints) -> None:
        self.edges = edges
        self.word_of_token = word_of_token
        self.num_words = num_words

    @classmethod
    def of(cls, starts: Flags, maskable: Flags, max_ngram: int) -> Words:
        """Number the words of each row from the marks of their first tokens."""
        before = np.cumsum(maskable, axis=1, dtype=np.int64)
        total = before[:, -1]
        starts = starts | (maskable & (before == 1))
        word = np.cumsum(starts, axis=1, dtype=np.int64)
        num_words = word[:, -1].copy()
        word = np.maximum(word - 1, 0)
        row, column = np.nonzero(starts)
        edges = np.repeat(total[:, None], int(num_words.max(initial=0)) + max_ngram, axis=1)
        edges[row, word[row, column]] = before[row, column] - 1
        return cls(edges, word, num_words)


def _walk(words: Words, budget: Ints, keys: Keys, max_ngram: int) -> Flags:
    """Take words until each row's budget is filled; (B, W + max_ngram), true = taken."""
    num_rows, width = words.edges.shape
    most_words = width - max_ngram
    order, sizes = _candidates(words, keys, max_ngram, most_words)
    edges = words.edges.ravel()
    taken = np.zeros(num_rows * width, dtype=np.bool_)
    room = budget.copy()
    active = np.flatnonzero((room > 0) & (words.num_words > 0))
    for turn in range(most_words):
        if not len(active):
            break
        # `place` is the candidate's first word in the flattened (B, W) arrays.
        place = active * width + order[turn, active]
        size = sizes[turn, active]
        begin, left = edges[place], room[active]
        fitting = np.zeros(len(active), dtype=np.int64)
        for n in range(1, max_ngram + 1):
            fitting += (n <= size) & (edges[place + n] - begin <= left)
        free = fitting > 0
        for n in range(max_ngram):
            free &= ~(taken[place + n] & (n < fitting))
        place, fitting, rows = place[free], fitting[free], active[free]
        for n in range(max_ngram):
            taken[place + n] |= n < fitting
        room[rows] -= edges[place + fitting] - edges[place]
        active = active[(room[active] > 0) & (turn + 1 < words.num_words[active])]
    return taken.reshape(num_rows, width)


def _candidates(
    words: Words, keys: Keys, max_ngram: int, most_words: int
) -> tuple[Ints, npt.NDArray[np.int64]]:
    """Each row's words in random order, and how many words each candidate asks for; both (W, B)."""
    word = np.arange(most_words)
    # Sorting random numbers that carry the word's index in their low bits orders the words.
    index_bits = np.uint64(max(1, most_words.bit_length()))
    ticket = (bits(keys[:, None], Purpose.WORD_ORDER, word) >> index_bits) << index_bits
    ticket |= word.astype(np.uint64)
    ticket[word >= words.num_words[:, None]] |= ~np.uint64((1 << int(index_bits)) - 1)
    ticket.sort(axis=1)
    order = (ticket & np.uint64((1 << int(index_bits)) - 1)).astype(np.int64)

    weight = 1.0 / np.arange(1, max_ngram + 1)
    limits = np.cumsum(weight / weight.sum())[:-1]
    draw = uniform(keys[:, None], Purpose.NGRAM, word)
    sizes = 1 + np.searchsorted(limits, draw, side="right")
    return np.ascontiguousarray(order.T), np.ascontiguousarray(sizes.T)


def corrupt(
    ids: Ints, positions: Ints, keys: Keys, *, mask_id: int, vocab_size: int
) -> npt.NDArray[np.int64]:
    """What the model sees at the predicted places: [MASK], the token itself, or a random one.

    `ids` and `positions` (M,): true tokens and their columns; `keys` (M,): their rows' keys.
    The random id is drawn from the whole vocabulary, special tokens included, as in the original.
    """
    draw = uniform(keys, Purpose.CHANGE, positions)
    other = (uniform(keys, Purpose.RANDOM_ID, positions) * vocab_size).astype(np.int64)
    return np.where(draw < 0.8, mask_id, np.where(draw < 0.9, ids, other))
