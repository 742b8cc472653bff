"""Sentences of a text with one content word masked, to look at what a model guesses."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from albertkit.data.folder import DataFolder
from albertkit.data.shards import Shards
from albertkit.text.characters import is_han
from albertkit.text.tokenizer import MASK, Tokenizer

_LENGTHS = range(8, 41)  # tokens of a sentence that reads as one and fits a line or two
_LETTERS = 0.8  # share of letters and spaces, or it is a table, a rule or code
_MOST_FREQUENT = 200  # pieces that are grammar rather than content, at most a tenth of all
# So that a large corpus takes no longer than a small one.
_COUNTED = 1 << 22  # tokens
_LOOKED_AT = 5_000  # sentences


class MaskedSentence(NamedTuple):
    """A sentence with one [MASK], and the word that stands there in truth."""

    text: str
    word: str


def masked_examples(data: DataFolder, count: int) -> list[MaskedSentence]:
    """At most `count` held-out sentences with one content word masked; always the same ones.

    The word is one piece: a word of at least three letters, or a Chinese character. It occurs in
    the text that is trained on, but is not among its most frequent pieces. Fewer where the text
    has no more sentences of 8 to 40 tokens with one to mask.
    """
    looked_at = np.arange(min(data.train.num_tokens, _COUNTED))
    counts = np.bincount(data.train.tokens_at(looked_at)[0], minlength=data.tokenizer.vocab_size)
    frequent = np.argsort(-counts, kind="stable")[: min(_MOST_FREQUENT, len(counts) // 10)]
    is_content = counts > 0
    is_content[frequent] = False
    return list(islice(_masked(data.validation, data.tokenizer, is_content), count))


def _masked(
    shards: Shards, tokenizer: Tokenizer, is_content: np.ndarray
) -> Iterator[MaskedSentence]:
    """Sentences in an order drawn by a fixed seed, each with a word of it drawn the same way."""
    rng = random.Random(0)
    total = shards.num_sentences
    for number in rng.sample(range(total), min(total, _LOOKED_AT)):
        stored = shards.sentence(number)[0].tolist()
        text = tokenizer.decode(stored)
        letters = sum(character.isalpha() or character == " " for character in text)
        if tokenizer.unk_id in stored or letters < _LETTERS * len(text):
            continue
        if tokenizer.mask_spans(text):
            continue  # it speaks of masks itself
        ids, offsets = tokenizer.align(text)
        spans = [
            _word_at(text, ids, offsets, n, tokenizer) if is_content[ids[n]] else None
            for n in range(len(ids) - 1)
        ]
        found = [span for span in spans if span is not None]
        if len(ids) in _LENGTHS and found:
            begin, end = rng.choice(found)
            yield MaskedSentence(text[:begin] + MASK + text[end:], text[begin:end])


def _word_at(
    text: str,
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    n: int,
    tokenizer: Tokenizer,
) -> tuple[int, int] | None:
    """Where the word stands that the n-th piece is by itself; None if it is a part of one."""
    begin, end = offsets[n]
    word = text[begin:end].strip()
    begin = end - len(word)
    if len(word) == 1 and is_han(ord(word)):
        return begin, end
    apart = not text[begin - 1 : begin].isalnum() and not text[end : end + 1].isalnum()
    whole = tokenizer.starts_word(ids[n]) and apart
    return (begin, end) if whole and len(word) >= 3 and word.isalpha() else None
