"""Ties between segmentations, decided as SentencePiece 0.2.0 and older decided them.

"666" as 6 + 66 and as 66 + 6 has the same probability. Which one wins depends on how sums are
rounded: releases up to 0.2.0, with which the original ids were made, keep them in float32; later
ones do not. Ties need text that repeats itself, which is easy to find and rare; such rows are
decoded here again.
Source: google/sentencepiece v0.2.0, unigram_model.cc (Model::EncodeOptimized).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

UNKNOWN_PENALTY = 10.0
USER_DEFINED_MALUS = 0.1
MIN_FLOAT = 2.0**-126  # FLT_MIN: where the original begins to look for the highest score

MAX_CACHED_RUNS = 1_000_000
MAX_SEARCHED_PIECES = 12
SPACE = "\u2581"
# What stands twice, and its first character once more.
REPETITION = re.compile(r"((.).{0,31}?)\1\2", re.DOTALL)

Ids = npt.NDArray[np.int32]


class TieFinder:
    """Finds where a segmentation may be one of several equally probable ones.

    Equally probable means: the same pieces in another order. Two neighbours can be exchanged if
    both are powers of one root. Three or more pieces inside a word can be put in another order only
    where the text repeats itself, twice and one character more ("lo lol olo", "lol olo lo"); a
    search of all words of two to four letters up to eleven characters bears this out.
    """

    def __init__(self, pieces: Sequence[str], special_ids: frozenset[int]) -> None:
        self._pieces = pieces
        self._roots = root_numbers(pieces, special_ids)
        self._inside = np.array([not piece.startswith(SPACE) for piece in pieces])
        self._repeating: dict[bytes, bool] = {}

    def places(self, ids: Ids) -> npt.NDArray[np.intp]:
        """Places in `ids` (n,), one or more for each tie that is possible."""
        left, right = self._roots[ids[:-1]], self._roots[ids[1:]]
        powers = np.flatnonzero((left == right) & (left > 0) & (ids[:-1] != ids[1:]))
        # Runs of three or more pieces inside a word: [begin, end).
        edges = np.flatnonzero(np.diff(self._inside[ids], prepend=False, append=False))
        begins, ends = edges[::2], edges[1::2]
        long = ends - begins > 2
        repeating = [
            begin
            for begin, end in zip(begins[long].tolist(), ends[long].tolist(), strict=True)
            if self._repeats(ids[begin:end].tobytes())
        ]
        return np.concatenate([powers, np.array(repeating, dtype=np.intp)])

    def _repeats(self, run: bytes) -> bool:
        known = self._repeating.get(run)
        if known is None:
            if len(self._repeating) > MAX_CACHED_RUNS:
                self._repeating.clear()
            pieces = [self._pieces[i] for i in np.frombuffer(run, dtype=np.int32)]
            known = REPETITION.search("".join(pieces)) is not None and reorders(pieces)
            self._repeating[run] = known
        return known


def reorders(pieces: list[str]) -> bool:
    """Whether the same pieces make the text in another order, too; long lists count as such."""
    if len(pieces) > MAX_SEARCHED_PIECES:
        return True
    text = "".join(pieces)
    left = Counter(pieces)

    def count(place: int) -> int:
        """Orders of what is left that make the rest of the text, counted up to two."""
        if place == len(text):
            return 1
        found = 0
        for piece in [piece for piece, number in left.items() if number]:
            if found < 2 and text.startswith(piece, place):
                left[piece] -= 1
                found += count(place + len(piece))
                left[piece] += 1
        return found

    return count(0) > 1


def root_of(piece: str) -> str:
    """The shortest string that repeats to make the piece: "ha" of "haha"."""
    return piece[: (piece + piece).index(piece, 1)]


def root_numbers(pieces: Sequence[str], special_ids: frozenset[int]) -> npt.NDArray[np.int32]:
    """For each piece a number of its root, 0 where no other piece has the same root."""
    by_root: dict[str, list[int]] = defaultdict(list)
    for number, piece in enumerate(pieces):
        if number not in special_ids:
            by_root[root_of(piece)].append(number)
    numbers = np.zeros(len(pieces), dtype=np.int32)
    for place, members in enumerate(by_root.values(), 1):
        if len(members) > 1:
            numbers[members] = place
    return numbers


class Segmenter:
    """Best segmentation under a unigram model, with sums rounded to float32 after every piece.

    `scores` by id; `user_defined` are ids that always win where they occur.
    """

    def __init__(
        self,
        pieces: Sequence[str],
        scores: Sequence[float],
        *,
        unk_id: int,
        unmatched: frozenset[int],
        user_defined: frozenset[int],
    ) -> None:
        self._pieces = pieces
        self._unk_id = unk_id
        normal = [
            score
            for number, score in enumerate(scores)
            if number not in unmatched and number not in user_defined
        ]
        highest = max([MIN_FLOAT, *normal])
        self._unknown_score = float(np.float32(min(normal, default=0.0) - UNKNOWN_PENALTY))
        self._scores = {
            piece: (
                number,
                len(piece.encode()) * highest - USER_DEFINED_MALUS
                if number in user_defined
                else float(scores[number]),
            )
            for number, piece in enumerate(pieces)
            if number not in unmatched
        }
        self._longest = max(map(len, self._scores), default=0)

    def segment(self, normalized: str) -> list[tuple[int, int, int]]:
        """(id, start, end) of the pieces of a normalized text; unknown neighbours are joined."""
        size = len(normalized)
        best: list[tuple[float, int, int] | None] = [None] * (size + 1)  # score, start, id
        best[0] = (0.0, 0, 0)
        for start in range(size):
            here = best[start]
            assert here is not None, "every character can be reached: this is a bug in albertkit"
            alone = False
            for end in range(start + 1, min(start + self._longest, size) + 1):
                known = self._scores.get(normalized[start:end])
                if known is None:
                    continue
                alone = alone or end == start + 1
                candidate, there = known[1] + here[0], best[end]
                if there is None or candidate > there[0]:
                    best[end] = (float(np.float32(candidate)), start, known[0])
            if not alone:
                candidate = float(np.float32(self._unknown_score + here[0]))
                there = best[start + 1]
                if there is None or candidate > there[0]:
                    best[start + 1] = (candidate, start, self._unk_id)
        return self._walk_back(best)

    def _walk_back(self, best: list[tuple[float, int, int] | None]) -> list[tuple[int, int, int]]:
        path: list[tuple[int, int, int]] = []
        end = len(best) - 1
        while end > 0:
            node = best[end]
            assert node is not None, "a path reaches the end: this is a bug in albertkit"
            if path and node[2] == path[-1][0] == self._unk_id:
                path[-1] = (self._unk_id, node[1], path[-1][2])
            else:
                path.append((node[2], node[1], end))
            end = node[1]
        return path[::-1]
