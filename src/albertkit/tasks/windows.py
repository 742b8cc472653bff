"""Texts that are longer than a model reads: windows over them, so that nothing is cut silently.

A window is a sequence of its own. Windows of one text are spread evenly and overlap by a quarter;
together they hold every token. What a text gets is the mean of what its windows get.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from albertkit.text.encoding import Encoding
from albertkit.text.tokenizer import Tokenizer

OVERLAP = 0.25  # share of a window that the next one repeats
MIN_TOKENS = 5  # shortest window: specials, and a token of each text of a pair


@dataclass(frozen=True)
class Windows:
    """Windows of N texts: the encodings of all, and to which text (from 0) each belongs."""

    encodings: list[Encoding]
    owners: npt.NDArray[np.int64]  # (R,) ascending

    @classmethod
    def of(
        cls,
        tokenizer: Tokenizer,
        texts: Sequence[str],
        pairs: Sequence[str | None],
        max_tokens: int,
    ) -> Windows:
        """Windows of at most `max_tokens` tokens (5 or more) of texts, or of pairs of texts."""
        encodings: list[Encoding] = []
        owners: list[int] = []
        wholes = tokenizer.encode_batch(list(zip(texts, pairs, strict=True)))
        for number, whole in enumerate(wholes):
            made = windows_of(tokenizer, whole, max_tokens)
            encodings += made
            owners += [number] * len(made)
        return cls(encodings, np.array(owners, dtype=np.int64))

    @classmethod
    def whole(cls, encodings: list[Encoding]) -> Windows:
        """Texts of one window each."""
        return cls(encodings, np.arange(len(encodings)))


def windows_of(tokenizer: Tokenizer, whole: Encoding, max_tokens: int) -> list[Encoding]:
    """The windows of an encoded text, or of two: one if all of it fits.

    Of a pair the shorter one stands in each window whole if it leaves the longer one half of the
    room; else both are windowed, and their windows go side by side.
    """
    assert max_tokens >= MIN_TOKENS, "checked where the limit comes from"
    if len(whole.ids) <= max_tokens:
        return [whole]
    if 1 not in whole.segment_ids:
        return [window for window, _ in cut_windows(tokenizer, whole, max_tokens)]
    end = whole.segment_ids.index(1) - 1  # of the first text
    first, second = slice(1, end), slice(end + 1, len(whole.ids) - 1)
    a, b = first.stop - first.start, second.stop - second.start
    room = max_tokens - 3
    short = min(a, b, room // 2)
    cuts_a = spread(a, short if a <= b else room - short)
    cuts_b = spread(b, room - short if a <= b else short)
    count = max(len(cuts_a), len(cuts_b))
    return [
        _joined(
            tokenizer,
            [
                _part(whole, first, cuts_a[_beside(n, count, len(cuts_a))]),
                _part(whole, second, cuts_b[_beside(n, count, len(cuts_b))]),
            ],
        )
        for n in range(count)
    ]


def cut_windows(
    tokenizer: Tokenizer, whole: Encoding, max_tokens: int
) -> list[tuple[Encoding, slice]]:
    """Windows of an encoded text with its special tokens, each with its part of the others."""
    inner = slice(1, len(whole.ids) - 1)
    return [
        (_joined(tokenizer, [_part(whole, inner, cut)]), cut)
        for cut in spread(len(whole.ids) - 2, max_tokens - 2)
    ]


def spread(size: int, room: int) -> list[slice]:
    """The fewest slices of `room` of `size` tokens that overlap by a quarter, evenly spread."""
    if size <= room:
        return [slice(0, size)]
    step = max(1, room - int(room * OVERLAP))
    count = 1 + -(-(size - room) // step)
    starts = [round(n * (size - room) / (count - 1)) for n in range(count)]
    return [slice(start, start + room) for start in starts]


def _beside(number: int, count: int, others: int) -> int:
    """Which of `others` windows goes with window `number` of `count`; each goes with one."""
    return number * others // count


def _part(whole: Encoding, text: slice, cut: slice) -> Encoding:
    """Some tokens of one text of an encoding."""
    part = slice(text.start + cut.start, text.start + cut.stop)
    return Encoding(
        whole.ids[part], whole.segment_ids[part], whole.offsets[part], whole.word_starts[part]
    )


def _joined(tokenizer: Tokenizer, parts: Sequence[Encoding]) -> Encoding:
    """[CLS] part [SEP], or [CLS] part [SEP] part [SEP]."""
    made = Encoding([tokenizer.cls_id], [0], [(0, 0)], [True])
    for number, part in enumerate(parts):
        made.ids += [*part.ids, tokenizer.sep_id]
        made.segment_ids += [number] * (len(part.ids) + 1)
        made.offsets += [*part.offsets, (0, 0)]
        made.word_starts += [*part.word_starts, True]
    return made
