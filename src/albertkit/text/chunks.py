"""Chinese characters, and runs of others between white space, in many texts at once.

Tokens of one are made by itself, so those of each different one are made once; where they stand in
texts is found by arrays, with no loop over characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from albertkit.text.encoding import IdsAndOffsets
from albertkit.text.places import Places, bounds_of, shared_offsets, split_rows, starts_of

# What becomes of a character: not known yet, none or several, white space, one that stands alone,
# one of a run.
UNKNOWN, CHANGES, WHITE, ALONE, RUN = range(5)

Kinds = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Chunks:
    """Chunks (C,) of N texts, joined to one.

    begins (C,): first character of each. alone (C,): whether it is one that stands alone, else it
    is one of `runs`. texts (N + 1,): text n has the characters [texts[n], texts[n + 1]).
    """

    begins: Places
    alone: npt.NDArray[np.bool_]
    runs: list[str]
    texts: Places

    @classmethod
    def of(cls, texts: Sequence[str], kinds: Kinds) -> Chunks:
        """kinds: WHITE, ALONE or RUN for each character of all texts."""
        joined, bounds = "".join(texts), bounds_of(texts)
        of_run = kinds == RUN
        goes_on = np.zeros(len(kinds) + 1, dtype=np.bool_)  # whether a run goes on at a character
        goes_on[1:-1] = of_run[1:] & of_run[:-1]
        goes_on[bounds] = False
        begins = np.flatnonzero((kinds != WHITE) & ~goes_on[:-1])
        alone = kinds[begins] == ALONE
        ends = np.flatnonzero(of_run & ~goes_on[1:]) + 1
        edges = zip(begins[~alone].tolist(), ends.tolist(), strict=True)
        return cls(begins, alone, [joined[begin:end] for begin, end in edges], bounds)

    def align(
        self,
        alone: npt.NDArray[np.int32],
        ids: Sequence[tuple[int, ...]],
        sizes: Sequence[tuple[int, ...]],
    ) -> Iterator[IdsAndOffsets]:
        """Ids and offsets of each text.

        alone: the id of each character that stands alone. ids, sizes: tokens of each run, and how
        many of its characters each of them has.
        """
        counts = np.ones(len(self.begins), dtype=np.int64)  # tokens of each chunk
        counts[~self.alone] = list(map(len, ids))
        first = starts_of(counts)
        in_run = np.repeat(~self.alone, counts)
        made, lengths = np.empty(len(in_run), dtype=np.int64), np.ones(len(in_run), dtype=np.int64)
        made[~in_run] = alone
        made[in_run] = list(chain.from_iterable(ids))
        lengths[in_run] = list(chain.from_iterable(sizes))
        bounds = first[np.searchsorted(self.begins, self.texts)]
        before = starts_of(lengths)
        starts = np.repeat(self.begins - before[first[:-1]], counts) + before[:-1]
        starts -= np.repeat(self.texts[:-1], np.diff(bounds))
        offsets = shared_offsets(starts, starts + lengths)
        return zip(split_rows(made, bounds), split_rows(offsets, bounds), strict=True)
