"""Where the tokens of many texts stand, by arrays: no loop over characters or tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Sized
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from albertkit.text.alignment import SPACE, Segments
from albertkit.text.encoding import IdsAndOffsets

Ids = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]
Objects = npt.NDArray[Any]

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


def _pairs(starts: Places, ends: Places) -> Objects:
    pairs = zip(starts.tolist(), ends.tolist(), strict=True)
    return np.fromiter(pairs, dtype=object, count=len(starts))


@cache
def _kept() -> Objects:
    starts, sizes = np.divmod(np.arange(_STARTS * _LENGTHS), _LENGTHS)
    return _pairs(starts, starts + sizes)


def shared_offsets(starts: Places, ends: Places) -> Objects:
    """Starts (T,) and ends (T,) as pairs (T,).

    Most pairs are short and near the start of a text. They are kept and given again, ten times as
    fast as new ones are made, which take memory and the garbage collector's time besides.
    """
    if len(starts) < _FEW:
        return _pairs(starts, ends)
    sizes = ends - starts
    kept = (starts >= 0) & (starts < _STARTS) & (sizes >= 0) & (sizes < _LENGTHS)
    made = _kept().take(np.where(kept, starts * _LENGTHS + sizes, 0))
    made[~kept] = _pairs(starts[~kept], ends[~kept])
    return made


def starts_of(counts: Sequence[int] | Places) -> Places:
    """Where each of some runs begins behind the others, and the end: (N + 1,) of counts (N,)."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def bounds_of(rows: Sequence[Sized]) -> Places:
    """(N + 1,): joined, row n is [bounds[n], bounds[n + 1])."""
    return starts_of(list(map(len, rows)))


def split_rows(values: npt.NDArray[Any], bounds: Places) -> list[list[Any]]:
    """The rows that `bounds_of` joined."""
    edges = bounds.tolist()
    return [values[begin:end].tolist() for begin, end in zip(edges, edges[1:], strict=False)]


def rows_of(places: npt.NDArray[np.intp], bounds: Places) -> set[int]:
    """The rows in which some places of all stand."""
    found: list[int] = (np.searchsorted(bounds, places, "right") - 1).tolist()
    return set(found)


def codes_of(text: str) -> npt.NDArray[np.uint32]:
    """The code points (characters,) of a text."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


class PieceParts:
    """The tokens that stand for the pieces of a SentencePiece model, and their characters.

    pieces: the vocabulary. unk_id: the one of them that stands for any characters that none has.
    cut: (id, start, end) in characters of the piece, for each piece that other tokens stand for;
    every other piece is a token.
    """

    def __init__(self, pieces: Sequence[str], unk_id: int, cut: Mapping[int, Segments]) -> None:
        self._pieces, self._sizes, self._unk_id = pieces, np.array(list(map(len, pieces))), unk_id
        single = re.escape("".join(piece for piece in pieces if len(piece) == 1))
        self._unknown = re.compile(f"[^{SPACE}{single}]+")
        parts = [cut.get(n, [(n, 0, len(piece))]) for n, piece in enumerate(pieces)]
        self._counts, self._first = np.array(list(map(len, parts))), bounds_of(parts)
        flat = [
            # No token has a space mark of the text among its characters.
            (each, start + piece.startswith(SPACE, start), len(piece) - end)
            for piece, of_piece in zip(pieces, parts, strict=True)
            for each, start, end in of_piece
        ]
        self._ids, self._starts, self._rests = np.array(flat, dtype=np.int64).T.copy()

    def ids(self, ids: Ids, bounds: Places) -> list[list[int]]:
        """Ids of the tokens of each text; its pieces are [bounds[n], bounds[n + 1]) of ids (P,)."""
        counts = self._counts[ids]
        return split_rows(self._ids[self._index(ids, counts)], starts_of(counts)[bounds])

    def align(
        self, ids: Ids, bounds: Places, texts: Sequence[str]
    ) -> Iterator[IdsAndOffsets | None]:
        """The same, with their offsets in the texts, which SentencePiece cut as they are.

        What stands in front of a text is one space mark. None: it is not certain which characters
        its pieces are.
        """
        sizes = self._sizes_in(ids, bounds, texts)
        fits = np.diff(starts_of(sizes)[bounds]) == [1 + len(text) for text in texts]
        counts = self._counts[ids]
        index = self._index(ids, counts)
        starts = starts_of(sizes)
        ends = starts[1:] - np.repeat(starts[bounds[:-1]] + 1, np.diff(bounds))
        starts = np.repeat(ends - sizes, counts) + self._starts[index]
        offsets = shared_offsets(starts, np.repeat(ends, counts) - self._rests[index])
        inside = starts_of(counts)[bounds]
        rows = zip(split_rows(self._ids[index], inside), split_rows(offsets, inside), strict=True)
        return (row if fit else None for row, fit in zip(rows, fits.tolist(), strict=True))

    def _sizes_in(self, ids: Ids, bounds: Places, texts: Sequence[str]) -> Places:
        """How many characters the pieces (P,) have."""
        sizes = self._sizes[ids]
        unknown = ids == self._unk_id
        sizes[unknown] = 0
        for row in rows_of(np.flatnonzero(unknown), bounds):
            part = slice(bounds[row], bounds[row + 1])
            self._measure_unknown(np.flatnonzero(unknown[part]), sizes[part], texts[row])
        return sizes

    def _measure_unknown(self, unknown: Places, sizes: Places, text: str) -> None:
        """Fill in the sizes of unknown pieces among the sizes (P,) of a text's pieces.

        An unknown piece is a run of characters of which none is in the vocabulary. The longest run
        is taken: if its end belongs to the next piece, the sizes add up to more than the text. If
        no run starts there, all sizes become 0, so that the text takes the slow way.
        """
        text, longer = SPACE + text.replace(" ", SPACE), 0
        for number, place in zip(unknown.tolist(), starts_of(sizes)[unknown].tolist(), strict=True):
            run = self._unknown.match(text, place + longer)
            if run is None:
                sizes[:] = 0
                return
            sizes[number] = len(run[0])
            longer += len(run[0])

    def _index(self, ids: Ids, counts: Places) -> Places:
        """Which part of all parts each token of pieces (P,) is; counts: tokens of each."""
        made = np.repeat(self._first[ids] - np.cumsum(counts) + counts, counts)
        made += np.arange(len(made))
        return made
