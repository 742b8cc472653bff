"""Random numbers without state: every draw is a hash of (seed, epoch, index, purpose, counter).

So any sample can be made at any time, in any order, by any number of workers, and a run resumes
exactly from its step alone. The hash is the finalizer of SplitMix64 (Steele, Lea and Flood 2014,
"Fast splittable pseudorandom number generators"), applied to whole arrays.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTOR_1 = np.uint64(0xBF58476D1CE4E5B9)
_FACTOR_2 = np.uint64(0x94D049BB133111EB)
_TWO_TO_MINUS_53 = 2.0**-53


class Purpose(IntEnum):
    """What a draw decides; each purpose has its own stream, so that draws never meet."""

    TARGET_LENGTH = 1
    SHORT_LENGTH = 2
    SPLIT = 3
    SWAP = 4
    CUT_FIRST = 5
    CUT_SECOND = 6
    WORD_ORDER = 7
    NGRAM = 8
    CHANGE = 9
    RANDOM_ID = 10
    SAMPLE_ORDER = 11


def _mix(bits: Keys) -> Keys:
    """Scramble 64-bit values; a bijection."""
    bits = bits ^ (bits >> np.uint64(30))
    bits *= _FACTOR_1
    bits ^= bits >> np.uint64(27)
    bits *= _FACTOR_2
    bits ^= bits >> np.uint64(31)
    return bits


def _as_bits(value: int | npt.NDArray[np.integer]) -> Keys:
    """Non-negative integers as an array of 64 bits, at least one-dimensional."""
    return np.atleast_1d(np.asarray(value)).astype(np.uint64)


def keys_of(seed: int, epoch: int, index: int | npt.NDArray[np.integer] = 0) -> Keys:
    """One key for each index: where all draws of that sample (or document) start.

    `seed` and `epoch` are integers >= 0; `index` is one number or an array of them.
    """
    key = _mix(_as_bits(seed % 2**64) + _STEP)
    key = _mix(key + _as_bits(epoch + 1) * _STEP)
    return _mix(key + (_as_bits(index) + np.uint64(1)) * _STEP)


def bits(keys: Keys, purpose: Purpose, counter: int | npt.NDArray[np.integer] = 0) -> Keys:
    """64 random bits for each key; `counter` is broadcast against the keys for several draws."""
    stream = _mix(keys + _as_bits(int(purpose)) * _STEP)
    return _mix(stream + (_as_bits(counter) + np.uint64(1)) * _STEP)


def uniform(
    keys: Keys, purpose: Purpose, counter: int | npt.NDArray[np.integer] = 0
) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1), shaped like `bits`."""
    return (bits(keys, purpose, counter) >> np.uint64(11)).astype(np.float64) * _TWO_TO_MINUS_53


def integers(
    limits: npt.NDArray[np.integer], keys: Keys, purpose: Purpose
) -> npt.NDArray[np.int64]:
    """Integers in [0, limit), one for each key."""
    return (uniform(keys, purpose) * limits).astype(np.int64)


def binomial(tosses: npt.NDArray[np.int64], keys: Keys, purpose: Purpose) -> npt.NDArray[np.int64]:
    """How many of `tosses` fair coins fall heads, one count for each key: Binomial(tosses, 1/2)."""
    words = int(tosses.max(initial=0) + 63) // 64
    if words == 0:
        return np.zeros_like(tosses)
    random = bits(keys[:, None], purpose, np.arange(words))
    # Keep as many bits as there are tosses: whole words, then part of one, then none.
    kept = np.clip(tosses[:, None] - 64 * np.arange(words), 0, 64)
    random >>= (64 - np.maximum(kept, 1)).astype(np.uint64)
    random[kept == 0] = 0
    return np.asarray(_ones_in(random).sum(axis=1))


def _ones_in(value: Keys) -> npt.NDArray[np.int64]:
    """Number of one bits in each 64-bit word (numpy has this only from 2.0 on)."""
    value = value - ((value >> np.uint64(1)) & np.uint64(0x5555555555555555))
    value = (value & np.uint64(0x3333333333333333)) + (
        (value >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    value = (value + (value >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((value * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.int64)


def permutation(
    positions: npt.NDArray[np.int64], size: int, seed: int, epoch: int
) -> npt.NDArray[np.int64]:
    """Where each position of the range [0, size) goes in this epoch's shuffled order.

    A Feistel network permutes the next power of four; values that fall outside the range are sent
    through again until they are inside (cycle walking), which keeps it a permutation of the range.
    """
    half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    low = np.uint64((1 << int(half)) - 1)
    rounds = bits(keys_of(seed, epoch), Purpose.SAMPLE_ORDER, np.arange(6))
    value = positions.astype(np.uint64)
    todo = np.arange(len(value))
    while len(todo):
        part = value[todo]
        for key in rounds:
            right = part & low
            left = (part >> half) ^ (_mix(right + key) & low)
            part = (right << half) | left
        value[todo] = part
        todo = todo[part >= size]
    return value.astype(np.int64)
