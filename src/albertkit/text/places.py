"""Where the tokens of many texts stand, by arrays: no loop over characters or tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from functools import cache
from itertools import compress
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from albertkit.text.alignment import SPACE, Segments
from albertkit.text.encoding import IdsAndOffsets, Offsets

T = TypeVar("T")
Ids = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]

_GROUP_CHARACTERS = 1 << 17  # few calls, and little memory for arrays
_STARTS, _LENGTHS = 2048, 16  # of the offsets that are kept: 3 MB
_FEW = 1000  # offsets that are made faster than the kept ones are looked up for the first time


def in_groups(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Texts in groups that are encoded together: of so many characters, or of one text."""
    begin = characters = 0
    for number, text in enumerate(texts):
        characters += len(text)
        if characters >= _GROUP_CHARACTERS:
            yield texts[begin : number + 1]
            begin, characters = number + 1, 0
    if begin < len(texts):
        yield texts[begin:]


@cache
def _kept() -> npt.NDArray[Any]:
    made = np.empty(_STARTS * _LENGTHS, dtype=object)
    made[:] = [(start, start + size) for start in range(_STARTS) for size in range(_LENGTHS)]
    return made


def shared_offsets(starts: Places, ends: Places) -> Offsets:
    """Starts (T,) and ends (T,) as pairs.

    Most pairs are short and near the start of a text. They are kept and given again, ten times as
    fast as new ones are made, which take memory and the garbage collector's time besides.
    """
    if len(starts) < _FEW:
        return list(zip(starts.tolist(), ends.tolist(), strict=True))
    sizes = ends - starts
    kept = (starts >= 0) & (starts < _STARTS) & (sizes >= 0) & (sizes < _LENGTHS)
    made: Offsets = _kept().take(np.where(kept, starts * _LENGTHS + sizes, 0)).tolist()
    others = np.flatnonzero(~kept)
    new = zip(others.tolist(), starts[others].tolist(), ends[others].tolist(), strict=True)
    for place, start, end in new:
        made[place] = (start, end)
    return made


def starts_of(counts: Sequence[int] | Places) -> Places:
    """Where each of some runs begins behind the others, and the end: (N + 1,) of counts (N,)."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def bounds_of(rows: Sequence[Sized]) -> Places:
    """(N + 1,): joined, row n is [bounds[n], bounds[n + 1])."""
    return starts_of(list(map(len, rows)))


def split_rows(values: list[T], bounds: Places) -> list[list[T]]:
    """The rows that `bounds_of` joined."""
    edges = bounds.tolist()
    return [values[begin:end] for begin, end in zip(edges, edges[1:], strict=False)]


def rows_of(places: npt.NDArray[np.intp], bounds: Places) -> set[int]:
    """The rows in which some places of all stand."""
    found: list[int] = (np.searchsorted(bounds, places, "right") - 1).tolist()
    return set(found)


def marked(prepared: str) -> str:
    """A prepared text as SentencePiece reads it: a space mark in front and for each space."""
    return SPACE + prepared.replace(" ", SPACE)


def codes_of(text: str) -> npt.NDArray[np.uint32]:
    """The code points (characters,) of a text."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


class PieceParts:
    """The tokens that stand for the pieces of a SentencePiece model, and their characters.

    pieces: the vocabulary. cut: (id, start, end) in characters of the piece, for each piece that
    other tokens stand for; every other piece is a token.
    """

    def __init__(self, pieces: Sequence[str], cut: Mapping[int, Segments]) -> None:
        self.sizes = np.array(list(map(len, pieces)))
        self._codes, self._begins = codes_of("".join(pieces)), bounds_of(pieces)
        parts = [cut.get(n, [(n, 0, len(piece))]) for n, piece in enumerate(pieces)]
        self._is_cut = np.array([n in cut for n in range(len(pieces))])
        self._ids_of_cut = {n: [each for each, _, _ in segments] for n, segments in cut.items()}
        self._counts, self._first = np.array(list(map(len, parts))), bounds_of(parts)
        flat = [
            # No token has a space mark of the text among its characters.
            (each, start + piece.startswith(SPACE, start), len(piece) - end)
            for piece, of_piece in zip(pieces, parts, strict=True)
            for each, start, end in of_piece
        ]
        self._ids, self._starts, self._rests = np.array(flat, dtype=np.int64).T.copy()

    def stand(self, ids: Ids, sizes: Places, bounds: Places, texts: Sequence[str]) -> list[bool]:
        """Whether a prepared text is made up of the characters of its pieces (see `marked`).

        ids, sizes: the pieces (P,) of all texts; those of text n are [bounds[n], bounds[n + 1]).
        """
        lengths = np.array([1 + len(text) for text in texts], dtype=np.int64)
        fits = np.diff(starts_of(sizes)[bounds]) == lengths
        fits &= [SPACE not in text for text in texts]
        if fits.any():
            of_these = np.repeat(fits, np.diff(bounds))
            ids, sizes = ids[of_these], sizes[of_these]
            index = np.repeat(self._begins[ids] - np.cumsum(sizes) + sizes, sizes)
            index += np.arange(len(index))
            codes = codes_of(marked(SPACE.join(compress(texts, fits))))
            other = np.flatnonzero(self._codes[index] != codes)
            rows = np.flatnonzero(fits)
            fits[rows[list(rows_of(other, starts_of(lengths[rows])))]] = False
        found: list[bool] = fits.tolist()
        return found

    def ids(self, ids: Ids, bounds: Places) -> list[list[int]]:
        """Ids of the tokens of each text, of whose pieces (P,) bounds (N + 1,) tell."""
        rows: list[list[int]] = split_rows(ids.tolist(), bounds)
        for row in rows_of(np.flatnonzero(self._is_cut[ids]), bounds):
            rows[row] = [x for piece in rows[row] for x in self._ids_of_cut.get(piece, (piece,))]
        return rows

    def align(self, ids: Ids, sizes: Places, bounds: Places) -> list[IdsAndOffsets]:
        """The same, with their offsets in the prepared texts.

        sizes: characters (P,) of the pieces. What stands in front of a text is one space mark.
        """
        counts = self._counts[ids]
        index = self._index(ids, counts)
        starts = starts_of(sizes)
        ends = starts[1:] - np.repeat(starts[bounds[:-1]] + 1, np.diff(bounds))
        starts = np.repeat(ends - sizes, counts) + self._starts[index]
        offsets = shared_offsets(starts, np.repeat(ends, counts) - self._rests[index])
        inside = starts_of(counts)[bounds]
        rows = split_rows(self._ids[index].tolist(), inside), split_rows(offsets, inside)
        return list(zip(*rows, strict=True))

    def _index(self, ids: Ids, counts: Places) -> Places:
        """Which part of all parts each token of pieces (P,) is; counts: tokens of each."""
        made = np.repeat(self._first[ids] - np.cumsum(counts) + counts, counts)
        made += np.arange(len(made))
        return made
