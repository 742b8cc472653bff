"""Text to ids with a mark on every token that begins a word: what whole-word masking needs.

English follows google's rule, which looks at the piece alone. In Chinese a token begins a word
where a word of jieba begins; a ## piece never does.
Source: google-research/albert, create_pretraining_data.py (_is_start_piece_sp); albert_zh and UER
for masking whole words of jieba.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import accumulate, chain

import numpy as np
import numpy.typing as npt

from albertkit.errors import VocabularyError
from albertkit.text.encoding import refuse_surrogates
from albertkit.text.memo import MAX_KEPT
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.wordpiece import CAPITAL_SIGMA, WordPieceTokenizer

Ids = npt.NDArray[np.uint32]
Starts = npt.NDArray[np.bool_]

RULES_VERSION = 1  # raise it when the marks change for the same text
BOUNDARY = "\x01"  # a control character, which the tokenizer drops from any text
START_BIT = 1 << 31


class WordSegmenter(ABC):
    """Encodes texts and marks the tokens that begin a word."""

    name: str

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hex over all that decides ids and marks."""
        facts = [self.name, str(RULES_VERSION), *self.parts(), self.tokenizer.fingerprint]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()

    def parts(self) -> list[str]:
        """Versions of the libraries that decide marks."""
        return []

    @abstractmethod
    def encode(self, texts: list[str]) -> list[tuple[Ids, Starts]]:
        """Ids (n,) and word starts (n,) of each text, without special tokens."""


class PieceSegmenter(WordSegmenter):
    """The piece alone decides: google's rule for English, "no ##" for Chinese characters."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer)
        self.name = "pieces" if tokenizer.kind == "sentencepiece" else "none"
        self._table = np.array([tokenizer.starts_word(i) for i in range(tokenizer.vocab_size)])

    def encode(self, texts: list[str]) -> list[tuple[Ids, Starts]]:
        rows = self.tokenizer.ids_batch(texts)
        lengths = [len(row) for row in rows]
        ids = np.fromiter(chain.from_iterable(rows), dtype=np.uint32, count=sum(lengths))
        return list(split(ids, self._table[ids], lengths))


class JiebaSegmenter(WordSegmenter):
    """Chinese words by jieba (its default dictionary, with the model for unknown words)."""

    name = "jieba"

    def __init__(self, tokenizer: WordPieceTokenizer) -> None:
        super().__init__(tokenizer)
        import rjieba  # reads its dictionary: only where it is needed

        self._cut = rjieba.cut
        self._table = tokenizer.character_table()
        self._table[ord(BOUNDARY)] = BOUNDARY
        self._words = MarkedWords(tokenizer)
        self._wordpiece = tokenizer

    def parts(self) -> list[str]:
        return [version("rjieba")]

    def encode(self, texts: list[str]) -> list[tuple[Ids, Starts]]:
        if len(self._words) > MAX_KEPT:
            self._words.clear()
        rows = [self._marked_ids(text) for text in texts]
        lengths = [len(row) for row in rows]
        marked = np.fromiter(chain.from_iterable(rows), dtype=np.uint32, count=sum(lengths))
        return list(split(marked & np.uint32(START_BIT - 1), marked >= START_BIT, lengths))

    def _marked_ids(self, text: str) -> list[int]:
        """Ids, those that begin a word with their highest bit set."""
        refuse_surrogates(text)
        # The one letter whose lower case depends on its neighbours; tokens of more than a word.
        added = self._wordpiece.added.keys() - self._wordpiece.inside
        if CAPITAL_SIGMA in text or added or self._wordpiece.has_chinese_word(text):
            return self.marked_by_offsets(text)
        words = self._cut(text.replace(BOUNDARY, ""))
        # One boundary before each word of jieba. The tokenizer's table puts a space before a
        # Chinese character and before punctuation: the boundary moves behind that space.
        marked = (BOUNDARY + BOUNDARY.join(words)).translate(self._table)
        marked = marked.replace(BOUNDARY + " ", " " + BOUNDARY)
        return list(chain.from_iterable(map(self._words.__getitem__, marked.split())))

    def marked_by_offsets(self, text: str) -> list[int]:
        """Ids marked by the character offsets of every token: slow, and obvious."""
        text = text.replace(BOUNDARY, "")
        begins = [0, *accumulate(map(len, self._cut(text)))]
        ids, offsets = self.tokenizer.align(text)
        marked: list[int] = []
        behind = 0  # where the last token ended; what was dropped since belongs to the next one
        for each, (start, end) in zip(ids, offsets, strict=True):
            begun = bisect_right(begins, start) > bisect_left(begins, behind)
            begun = begun or each in self.tokenizer.inside  # jieba may see other words
            starts = begun and self.tokenizer.starts_word(each)
            marked.append(each | START_BIT if starts else each)
            behind = end
        return marked


class MarkedWords(dict[str, tuple[int, ...]]):
    """Ids of every word met so far, written with its boundaries; the highest bit marks a start."""

    def __init__(self, tokenizer: WordPieceTokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, marked: str) -> tuple[int, ...]:
        word = marked.replace(BOUNDARY, "")
        ids = self._tokenizer.match(word) if word else ()
        if ids and marked.startswith(BOUNDARY):
            ids = (ids[0] | START_BIT, *ids[1:])
        self[marked] = ids
        return ids


def split(ids: Ids, starts: Starts, lengths: Iterable[int]) -> Iterator[tuple[Ids, Starts]]:
    """Views of two arrays, cut into rows of these lengths."""
    begin = 0
    for length in lengths:
        yield ids[begin : begin + length], starts[begin : begin + length]
        begin += length


def segmenter_for(tokenizer: Tokenizer, name: str | None = None) -> WordSegmenter:
    """The word segmenter that belongs to a tokenizer.

    Args:
        tokenizer: what makes the ids.
        name: "pieces" (English), "jieba" or "none" (Chinese; "none": each character is a word);
            if left out, "pieces" or "jieba".

    Raises:
        VocabularyError: the segmenter does not go with this kind of vocabulary.
    """
    choices = ("pieces",) if tokenizer.kind == "sentencepiece" else ("jieba", "none")
    if name is not None and name not in choices:
        raise VocabularyError(
            "The word segmenter does not go with the vocabulary.",
            expected=" or ".join(choices) + f" for a {tokenizer.kind} vocabulary",
            found=repr(name),
            fix="choose one of these",
        )
    if isinstance(tokenizer, WordPieceTokenizer) and name != "none":
        return JiebaSegmenter(tokenizer)
    return PieceSegmenter(tokenizer)
