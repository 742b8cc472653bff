"""Find NaN and infinity in weights: a run that diverged leaves them, and so does a bad copy."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from albertkit.checkpoint.formats.memory_map import Array, chunk_slices
from albertkit.errors import listed

_AT_ONCE = 2  # threads: numpy lets go of Python's lock while it adds up


def not_finite(tensors: Mapping[str, Array], counted: Mapping[int, int] | None = None) -> list[str]:
    """A sentence about the tensors with NaN or infinity; nothing if all numbers are finite.

    counted: what `count_not_finite` gave for a tensor that was walked through already, by its id().
    """
    known, bad = counted or {}, []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for name, tensor in tensors.items():
            count = known.get(id(tensor))
            if count is None:
                rows = np.atleast_1d(tensor.T if tensor.flags.f_contiguous else tensor)
                count = sum(pool.map(count_not_finite, [rows[x] for x in chunk_slices(rows)]))
            if count:
                bad.append(f"{name} ({count:,} of {tensor.size:,} numbers)")
    return [f"NaN or infinity in {listed(bad)}; take an earlier checkpoint"] if bad else []


def count_not_finite(numbers: Array) -> int:
    """How many are NaN or infinite.

    The sum of squares says whether any is, in one pass and without an array of answers. Finite
    numbers whose squares overflow are looked at one by one.
    """
    flat = numbers.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.dot(flat, flat)):
            return 0
    return int(np.count_nonzero(~np.isfinite(numbers)))
