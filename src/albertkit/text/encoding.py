"""What a tokenizer gives: token ids with offsets, and how a text is cut to a length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, overload

from albertkit.errors import TokenizationError

Truncation = Literal["longest_first", "only_first", "only_second"]
Offsets = list[tuple[int, int]]
IdsAndOffsets = tuple[list[int], Offsets]  # ids, and where each stands

TRUNCATIONS = ("longest_first", "only_first", "only_second")


@dataclass(slots=True)
class Encoding(Sequence[int]):
    """One text or pair, ready for the model: lists of equal length; as a sequence, its ids.

    `segment_ids` are 0, and 1 for the second text of a pair. `offsets` are (start, end) in
    characters of the original text (of the second one in segment 1); (0, 0) for special tokens.
    `word_starts` marks tokens that do not continue a word.
    """

    ids: list[int]
    segment_ids: list[int]
    offsets: Offsets
    word_starts: list[bool]

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        return self.ids[index]


def cut(
    first: Encoding,
    second: Encoding | None,
    max_tokens: int,
    truncate: Truncation,
    num_special: int,
) -> None:
    """Shorten one or both segments, in place, so that they fit with their special tokens.

    Raises:
        TokenizationError: the segment to cut is too short for that, or the choice is unknown.
    """
    if truncate not in TRUNCATIONS:
        raise TokenizationError(
            f"truncate must be one of {', '.join(TRUNCATIONS)}.",
            found=truncate,
            fix=f"pass truncate={TRUNCATIONS[0]!r}",
        )
    a, b = len(first.ids), 0 if second is None else len(second.ids)
    room = max_tokens - num_special
    excess = a + b - room
    if excess <= 0:
        return
    if second is None or truncate == "only_first":
        keep_a, keep_b = a - excess, b
    elif truncate == "only_second":
        keep_a, keep_b = a, b - excess
    else:
        keep_a = min(a, max(room - b, (room + 1) // 2))
        keep_b = room - keep_a
    if keep_a < 0 or keep_b < 0:
        raise TokenizationError(
            "The limit leaves no room for the text.",
            expected=f"room for {a + b} tokens besides the special ones, or a segment to cut",
            found=f"max_tokens={max_tokens}, truncate={truncate!r}",
            fix="raise max_tokens or truncate the longer segment",
        )
    for part, kept in ((first, keep_a), (second, keep_b)):
        if part is not None:
            del part.ids[kept:], part.offsets[kept:], part.word_starts[kept:]


def joined(
    segments: Sequence[Encoding],
    ends: tuple[int, int] | None,
    max_tokens: int | None = None,
    truncate: Truncation = "longest_first",
) -> Encoding:
    """One or two segments, cut, with the special tokens `ends` ([CLS], [SEP]) or without any.

    It is the first segment, changed in place.

    Raises:
        TokenizationError: see `cut`.
    """
    if max_tokens is not None:
        second = segments[1] if len(segments) > 1 else None
        cut(segments[0], second, max_tokens, truncate, 0 if ends is None else 1 + len(segments))
    if ends is not None:
        for part in segments:
            part.ids.append(ends[1])
            part.offsets.append((0, 0))
            part.word_starts.append(True)
        segments[0].ids.insert(0, ends[0])
        segments[0].offsets.insert(0, (0, 0))
        segments[0].word_starts.insert(0, True)
    result, *others = segments
    result.segment_ids = [0] * len(result.ids)
    for number, part in enumerate(others, 1):
        result.ids += part.ids
        result.segment_ids += [number] * len(part.ids)
        result.offsets += part.offsets
        result.word_starts += part.word_starts
    return result


def refuse_surrogates(text: str) -> None:
    """Raise for a lone surrogate: it is not a character, and no file can hold it.

    Raises:
        TokenizationError: with the place of the first one.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TokenizationError(
            "The text holds a lone surrogate, which is not a character.",
            expected="valid Unicode text",
            found=f"{text[error.start]!a} at character {error.start}",
            fix="decode the source with errors='replace', or remove the character",
            command_fix="remove the character",
        ) from error
