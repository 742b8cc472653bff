"""Words of a text that a vocabulary cuts into pieces: those that are worth pieces of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from albertkit.text.characters import is_han
from albertkit.text.tokenizer import Tokenizer

MIN_COUNT = 5  # a rarer word teaches its row too little
_LETTERS = re.compile(r"[^\W\d_]{2,}")


def learn_words(
    texts: Iterable[str], tokenizer: Tokenizer, count: int, *, min_count: int = MIN_COUNT
) -> list[str]:
    """The words that would save most tokens as pieces of their own, the best first.

    A word saves its occurrences times one less than its pieces. Words are runs of letters; in
    Chinese those of jieba with two characters or more.

    Args:
        texts: sentences or paragraphs.
        tokenizer: cuts them today.
        count: how many words, at most.
        min_count: rarer words are left out.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(words_of(text.lower() if tokenizer.lower_case else text))
    frequent = sorted(word for word, number in counts.items() if number >= min_count)
    pieces = map(len, tokenizer.ids_batch(frequent))
    saved = {
        word: counts[word] * (length - 1)
        for word, length in zip(frequent, pieces, strict=True)
        if length > 1
    }
    return sorted(saved, key=lambda word: (-saved[word], word))[:count]


def words_of(text: str) -> Iterator[str]:
    """Words of letters, and of two Chinese characters or more."""
    if not has_han(text):
        yield from _LETTERS.findall(text)
        return
    import rjieba  # reads its dictionary: only where it is needed

    for word in rjieba.cut(text):
        if len(word) > 1 and (_is_han(word) or (_LETTERS.fullmatch(word) and not has_han(word))):
            yield word


def has_han(text: str) -> bool:
    """Whether there are Chinese characters."""
    return any(is_han(ord(character)) for character in text)


def _is_han(word: str) -> bool:
    return all(is_han(ord(character)) for character in word)
