"""Sentence-order pairs: which sentences make a sample, where they are split, swapped and cut.

The rules are those of google's and brightmart's create_pretraining_data.py:
1. A document gets a target length: `max_tokens` - 3 (room for [CLS] and two [SEP]); with
   probability `short_probability` a shorter one, uniform in [2, max_tokens - 3].
2. Its sentences are taken in order until the target is reached: a chunk. A chunk of one sentence
   is extended by the next one (brightmart); what is left at the document's end and is one
   sentence gives no sample. google instead takes a random second segment from another document
   and calls it "swapped", which mixes topic prediction into the sentence-order task.
3. The chunk is split between two sentences, uniformly; with probability 1/2 the two segments are
   swapped (label 1).
4. While the pair is too long, a token is removed from the longer segment, at its front or back
   with equal chance.

Without sentence order (masked-LM alone) a chunk may be one sentence, and all of it is segment A.

Everything is a pure function of (seed, epoch, index): see random_hash.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from albertkit.data.random_hash import Keys, Purpose, binomial, integers, keys_of, uniform

Ints = npt.NDArray[np.int64]

SPECIALS_PER_PAIR = 3  # [CLS] A [SEP] B [SEP]
SPECIALS_PER_SEGMENT = 2  # [CLS] A [SEP]


@dataclass(frozen=True)
class EpochPlan:
    """All chunks of one epoch in corpus order; chunk i is sample i of that epoch.

    `first` (int64): index of the chunk's first sentence. `count` (int32): its number of sentences,
    at least two where pairs are made.
    """

    first: Ints
    count: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True)
class Pairs:
    """Two spans of tokens for each sample: offsets into the token file and lengths, all (B,).

    `swapped` is 1 where the first segment is the later one in the text (google's label).
    """

    first_start: Ints
    first_length: Ints
    second_start: Ints
    second_length: Ints
    swapped: Ints


def plan_epoch(
    sentence_offsets: Ints,
    document_offsets: Ints,
    *,
    max_tokens: int,
    short_probability: float,
    seed: int,
    epoch: int,
    sentence_order: bool = True,
) -> EpochPlan:
    """Cut every document into chunks of whole sentences; for `sentence_order` of two or more.

    `sentence_offsets` (num_sentences + 1): first token of each sentence, then the number of tokens;
    `document_offsets` (num_documents + 1): the same from documents to sentences.
    All documents are walked at the same time, one chunk of each per round.
    """
    room = max_tokens - (SPECIALS_PER_PAIR if sentence_order else SPECIALS_PER_SEGMENT)
    fewest = 2 if sentence_order else 1
    keys = keys_of(seed, epoch, np.arange(len(document_offsets) - 1))
    short = uniform(keys, Purpose.TARGET_LENGTH) < short_probability
    lengths = np.full(len(keys), room - 1, dtype=np.int64)
    target = np.where(short, 2 + integers(lengths, keys, Purpose.SHORT_LENGTH), room)

    begin = np.array(document_offsets[:-1])
    end = np.array(document_offsets[1:])
    firsts, counts = [], []
    while True:
        going = begin + fewest <= end  # one sentence alone makes no pair
        if not going.all():
            begin, end, target = begin[going], end[going], target[going]
        if not len(begin):
            break
        reached = np.searchsorted(sentence_offsets, sentence_offsets[begin] + target)
        stop = np.minimum(np.maximum(reached, begin + fewest), end)
        firsts.append(begin)
        counts.append((stop - begin).astype(np.int32))
        begin = stop
    if not firsts:
        return EpochPlan(np.zeros(0, np.int64), np.zeros(0, np.int32))
    first = np.concatenate(firsts)
    order = np.argsort(first, kind="stable")
    return EpochPlan(first[order], np.concatenate(counts)[order])


def choose_pairs(
    first: Ints,
    count: Ints,
    sentence_offsets: Ints,
    keys: Keys,
    *,
    max_tokens: int,
    swap_probability: float = 0.5,
) -> Pairs:
    """Split, swap and cut the chunks that begin at sentences `first` (B,), `count` (B,) long."""
    split = first + 1 + integers(count - 1, keys, Purpose.SPLIT)
    edges = sentence_offsets[first], sentence_offsets[split], sentence_offsets[first + count]
    swapped = uniform(keys, Purpose.SWAP) < swap_probability
    a_start = np.where(swapped, edges[1], edges[0])
    a_length = np.where(swapped, edges[2] - edges[1], edges[1] - edges[0])
    b_start = np.where(swapped, edges[0], edges[1])
    b_length = edges[2] - edges[0] - a_length

    a_kept, b_kept = shares_of(max_tokens - SPECIALS_PER_PAIR, a_length, b_length)
    return Pairs(
        first_start=a_start + binomial(a_length - a_kept, keys, Purpose.CUT_FIRST),
        first_length=a_kept,
        second_start=b_start + binomial(b_length - b_kept, keys, Purpose.CUT_SECOND),
        second_length=b_kept,
        swapped=swapped.astype(np.int64),
    )


def choose_segments(
    first: Ints, count: Ints, sentence_offsets: Ints, keys: Keys, *, max_tokens: int
) -> Pairs:
    """Whole chunks as first segments without a second one, cut at both ends where too long."""
    start, end = sentence_offsets[first], sentence_offsets[first + count]
    kept = np.minimum(end - start, max_tokens - SPECIALS_PER_SEGMENT)
    nothing = np.zeros_like(start)
    return Pairs(
        first_start=start + binomial(end - start - kept, keys, Purpose.CUT_FIRST),
        first_length=kept,
        second_start=end,
        second_length=nothing,
        swapped=nothing,
    )


def shares_of(room: int, a_length: Ints, b_length: Ints) -> tuple[Ints, Ints]:
    """Lengths of both segments after tokens were removed one at a time from the longer one.

    The original loop removes from B when both are equally long, so A keeps the odd token: A ends at
    half the room (rounded up) unless it was shorter, or B leaves it more.
    """
    half = (room + 1) // 2
    a_kept = np.minimum(a_length, np.maximum(room - b_length, half))
    return a_kept, np.minimum(b_length, room - a_kept)
