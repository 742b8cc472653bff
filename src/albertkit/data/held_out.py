"""Held-out parts of small corpora: spans of sentences where whole documents are too few.

A hash of its text decides on which side a document falls. With few documents that leaves a side
empty, or without a pair of sentences, by chance alone; then every document is cut into spans of
consecutive sentences, and the spans are divided. Copies stay on one side, as with documents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from albertkit.data.shards import TRAIN, VALIDATION, Shards
from albertkit.errors import CorpusError

SPANS_HELD_OUT = 4  # aimed at; a single span would measure one passage
MAX_SPAN_TOKENS = 2048  # four rows of 512


@dataclass(frozen=True)
class Counts:
    """Documents of a split, and those that hold a pair of sentences."""

    documents: int
    with_pairs: int


def too_few_documents(train: Counts, validation: Counts, fraction: float) -> bool:
    """Whether the hash of whole documents could not, or did not, make two usable splits.

    True when less than one document is expected to be held out, when a split is empty, and when
    only one of them has a document of two sentences.
    """
    expected = fraction * (train.documents + validation.documents)
    empty = not train.documents or not validation.documents
    return expected < 1 or empty or (train.with_pairs == 0) != (validation.with_pairs == 0)


@dataclass(frozen=True)
class Span:
    """Sentences [begin, end) of one document of some shards."""

    shards: Shards
    document: int
    begin: int
    end: int
    num_tokens: int
    digest: bytes  # of its tokens: equal for copies

    @property
    def has_pair(self) -> bool:
        """Whether two sentences are in it."""
        return self.end - self.begin >= 2


def divide(shards: Sequence[Shards], fraction: float) -> Iterator[tuple[str, list[Span]]]:
    """Yield (split, spans that follow one another in a document): the documents of both splits.

    About `fraction` of the tokens is held out, and at least one span stays on each side. Raises
    CorpusError for a text of one sentence.
    """
    spans = _spans(shards, fraction, min_sentences=2)
    if len({span.digest for span in spans}) < 2:
        spans = _spans(shards, fraction, min_sentences=1)
    if len(spans) < 2:
        raise CorpusError(
            "The text is too short to hold a part of it out.",
            expected="at least two sentences with tokens",
            found=f"{len(spans)}",
            fix="give more text; sentences end in a full stop, or at the end of a line",
        )
    chosen = _choose(spans, fraction)

    def place(numbered: tuple[int, Span]) -> tuple[int, int, str]:
        number, span = numbered
        return id(span.shards), span.document, VALIDATION if number in chosen else TRAIN

    for (_, _, split), group in groupby(enumerate(spans), place):
        yield split, [span for _, span in group]


def _spans(shards: Sequence[Shards], fraction: float, *, min_sentences: int) -> list[Span]:
    total = sum(part.num_tokens for part in shards)
    size = min(MAX_SPAN_TOKENS, max(1, int(fraction * total / SPANS_HELD_OUT)))
    return [span for part in shards for span in _spans_of(part, size, min_sentences)]


def _spans_of(shards: Shards, size: int, min_sentences: int) -> Iterator[Span]:
    """Spans of at least `size` tokens and `min_sentences`; the rest of a document may be shorter.

    The cuts depend on the document alone, so copies of it are cut alike.
    """
    offsets = shards.sentence_offsets
    edges = shards.document_offsets.tolist()
    for document, (first, last) in enumerate(zip(edges, edges[1:], strict=False)):
        begin = first
        while begin < last:
            reached = int(np.searchsorted(offsets, offsets[begin] + size))
            end = min(max(reached, begin + min_sentences), last)
            if 0 < last - end < min_sentences:
                end = last
            tokens = np.arange(offsets[begin], offsets[end])
            digest = hashlib.blake2b(shards.tokens_at(tokens)[0].tobytes(), digest_size=16)
            yield Span(shards, document, begin, end, len(tokens), digest.digest())
            begin = end


def _choose(spans: list[Span], fraction: float) -> set[int]:
    """Numbers of the spans to hold out: in the order of their hashes, those with pairs first."""
    copies: dict[bytes, list[int]] = {}
    for number, span in enumerate(spans):
        copies.setdefault(span.digest, []).append(number)
    if len(copies) == 1:  # one sentence over and over: both sides hold it whatever is chosen
        copies = {number.to_bytes(8, "big"): [number] for number in range(len(spans))}
    order = sorted(copies, key=lambda digest: (not spans[copies[digest][0]].has_pair, digest))
    with_pairs = sum(spans[copies[digest][0]].has_pair for digest in order)
    if with_pairs:  # one of them is left to train on
        order.append(order.pop(with_pairs - 1))
    wanted = fraction * sum(span.num_tokens for span in spans)
    chosen: set[int] = set()
    held_out = 0
    for digest in order[:-1]:
        chosen.update(copies[digest])
        held_out += sum(spans[number].num_tokens for number in copies[digest])
        if held_out >= wanted:
            break
    return chosen
