"""Ties between segmentations, decided as SentencePiece 0.2.0 and older decided them.

"666" as 6 + 66 and as 66 + 6 has the same probability. Which one wins depends on how sums are
rounded: releases up to 0.2.0, with which the original ids were made, keep them in float32; later
ones do not. Only neighbouring pieces that are powers of one root (6 and 66, ha and haha) can be
exchanged so, which makes the rows in question easy to find and rare; those are decoded here anew.
Source: google/sentencepiece v0.2.0, unigram_model.cc (Model::EncodeOptimized).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

UNKNOWN_PENALTY = 10.0
USER_DEFINED_MALUS = 0.1
SMALLEST_FLOAT = 2.0**-126  # FLT_MIN: where the original begins to look for the highest score

Ids = npt.NDArray[np.int32]


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


def tied_places(ids: Ids, roots: npt.NDArray[np.int32]) -> npt.NDArray[np.intp]:
    """Places k where ids[k] and ids[k + 1] differ and could stand in the other order."""
    left, right = ids[:-1], ids[1:]
    same = (roots[left] == roots[right]) & (roots[left] > 0) & (left != right)
    return np.flatnonzero(same)


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
        highest = max([SMALLEST_FLOAT, *normal])
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
