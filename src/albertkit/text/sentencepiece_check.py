"""What a SentencePiece model must be before the C++ program may see it.

That program trusts its files. Its normalizer walks a double array by the numbers in it, without
looking where the array ends, and keeps 32 matches however many there are; a NaN among the scores
breaks the search for the best pieces. So the file is walked here first.

The table of the normalizer (`precompiled_charsmap`): its size, a trie of texts as Darts-clone lays
it out (https://github.com/s-yata/darts-clone, double-array units), and the replacements, each ended
by a zero byte.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from sentencepiece import sentencepiece_model_pb2

from albertkit.text.vocabulary_files import MAX_PIECES

# Fields of ModelProto by number, and the most bytes of each.
_PIECE, _TRAINER, _NORMALIZER, _SELF_TEST, _DENORMALIZER = 1, 2, 3, 4, 5
_MAX_SIZES = {
    _PIECE: 1024,
    _TRAINER: 1 << 20,
    _NORMALIZER: 2 << 20,
    _SELF_TEST: 64 << 10,
    _DENORMALIZER: 2 << 20,
}
_MAX_SIZES_SCORE = 1e6
_BLOCK = 256  # units of a double array that belong together
_MAX_DEPTH = 64  # bytes of a text that the table replaces; in NFKC's some 30
_MAX_MATCHES = 32  # SentencePiece keeps no more
_MAX_REPLACEMENT_BYTES = 1024


def check_model(content: bytes) -> sentencepiece_model_pb2.ModelProto:
    """The message of a model that is safe to run.

    Raises:
        ValueError: with what is wrong; DecodeError of protobuf for a damaged message.
    """
    _check_parts(content)
    proto = sentencepiece_model_pb2.ModelProto.FromString(content)
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    for number, (piece, score) in enumerate(pieces):
        if not isinstance(piece, str):  # protobuf gives bytes then
            raise ValueError(f"piece {number} is not UTF-8")
        if not piece or "\0" in piece:
            raise ValueError(f"piece {number} is empty or holds a zero byte")
        if not math.isfinite(score) or abs(score) > _MAX_SIZES_SCORE:
            raise ValueError(f"piece {number} with the score {score}")
    if len(dict(pieces)) != len(pieces):
        twice = next(piece for piece, count in Counter(x for x, _ in pieces).items() if count > 1)
        raise ValueError(f"the piece {twice[:40]!r} twice")
    check_table(proto.normalizer_spec.precompiled_charsmap)
    check_table(proto.denormalizer_spec.precompiled_charsmap)
    return proto


def _check_parts(content: bytes) -> None:
    """Refuse what would take much memory to parse, and files without an end."""
    counts: Counter[int] = Counter()
    for number, size in _parts(content):
        if size > _MAX_SIZES.get(number, -1):
            raise ValueError(f"a part of kind {number} with {size} bytes")
        counts[number] += 1
        if counts[_PIECE] > MAX_PIECES:
            raise ValueError(f"more than {MAX_PIECES:,} pieces")
    if not counts[_PIECE]:
        raise ValueError(f"no pieces in {len(content)} bytes")
    wrong = [x for x in (_TRAINER, _NORMALIZER) if counts[x] != 1]
    if wrong or counts[_SELF_TEST] > 1 or counts[_DENORMALIZER] > 1:
        raise ValueError("not exactly one part on how it was trained, and one on how it reads text")


def _parts(content: bytes) -> Iterator[tuple[int, int]]:
    """Number and size of each field; all are messages."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        size, place = _varint(content, place)
        if key & 7 != 2 or size > len(content) - place:
            raise ValueError(f"no part of a model at byte {place}")
        yield key >> 3, size
        place += size


def _varint(content: bytes, place: int) -> tuple[int, int]:
    if place < len(content) and content[place] < 0x80:  # nearly all
        return content[place], place + 1
    value = shift = 0
    for byte in content[place : place + 5]:
        value |= (byte & 0x7F) << shift
        shift += 7
        place += 1
        if byte < 0x80:
            return value, place
    raise ValueError(f"a number without end at byte {place}")


def check_table(table: bytes) -> None:
    """Refuse a table of the normalizer that leads a walk outside of it.

    Raises:
        ValueError: with what is wrong.
    """
    if not table:
        return
    size = int.from_bytes(table[:4], "little")
    texts = table[4 + size :]
    if len(table) < 4 or size % (4 * _BLOCK) or size == 0 or not texts:
        raise ValueError(f"a normalizer of {len(table)} bytes with a trie of {size}")
    if not texts.endswith(b"\0") or max(map(len, texts.split(b"\0"))) > _MAX_REPLACEMENT_BYTES:
        raise ValueError("a normalizer with a replacement without end")
    texts.decode("utf-8")  # UnicodeDecodeError is a ValueError
    _walk(np.frombuffer(table, "<u4", size // 4, 4), len(texts))


def _walk(units: npt.NDArray[np.uint32], texts: int) -> None:
    """Follow every text of the trie, all of one length at a time.

    A place is where the units of the next byte begin: that of byte b is `place ^ b`. So a unit with
    the label b belongs to the place `index ^ b`, if bit 31 does not mark it as a value.
    """
    belongs = np.arange(len(units), dtype=np.uint32) ^ (units & np.uint32(0xFF))
    labelled = units < 1 << 31
    places, counts = _offset(units[:1]), np.zeros(1, np.int64)
    for _ in range(_MAX_DEPTH):
        if np.any(places >= len(units)):  # a block of 256 is inside or outside as a whole
            raise ValueError("a normalizer whose trie leaves its array")
        # How many texts of the table end on the way to a place, at most; -1: no way leads there.
        matches = np.full(len(units), -1, np.int64)
        np.maximum.at(matches, places, counts)
        child = np.flatnonzero(labelled & (matches[belongs] >= 0))
        if not len(child):
            return
        unit = units[child]
        ends = unit >> np.uint32(8) & np.uint32(1)
        places, counts = child.astype(np.uint32) ^ _offset(unit), matches[belongs[child]] + ends
        values = places[ends == 1]
        if np.any(values >= len(units)) or np.any(
            (units[values] & np.uint32(0x7FFF_FFFF)) >= texts
        ):
            raise ValueError("a normalizer with a replacement outside of it")
        if counts.max() > _MAX_MATCHES:
            raise ValueError(f"a normalizer with more than {_MAX_MATCHES} matches in a row")
    raise ValueError(f"a normalizer of texts longer than {_MAX_DEPTH} bytes")


def replaces_ascii(table: bytes) -> bool:
    """Whether a table that was checked replaces any text of printable ASCII characters."""
    units = np.frombuffer(table[4:], "<u4", int.from_bytes(table[:4], "little") // 4)
    labels = np.arange(0x20, 0x7F, dtype=np.uint32)
    places = _offset(units[:1])
    while len(places):
        children = places[:, None] ^ labels
        children = children[units[children] & np.uint32(0x8000_00FF) == labels]
        if np.any(units[children] >> np.uint32(8) & 1):
            return True
        places = children ^ _offset(units[children])
    return False


def _offset(unit: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """How far a unit's children are from it, by exclusive or."""
    wide = (unit & np.uint32(1 << 9)) >> np.uint32(6)
    return (unit >> np.uint32(10)) << wide
