"""Find NaN and infinity in weights: a run that diverged leaves them, and so does a bad copy."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from albertkit.checkpoint.formats.memory_map import Array, chunk_slices
from albertkit.errors import listed

_AT_ONCE = 2  # threads: numpy lets go of Python's lock while it adds up


def not_finite(tensors: Mapping[str, Array]) -> list[str]:
    """A sentence about the tensors with NaN or infinity; nothing if all numbers are finite."""
    bad = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for name, tensor in tensors.items():
            rows = np.atleast_1d(tensor)
            count = sum(pool.map(_count, [rows[part] for part in chunk_slices(rows)]))
            if count:
                bad.append(f"{name} ({count:,} of {tensor.size:,} numbers)")
    return [f"NaN or infinity in {listed(bad)}; take an earlier checkpoint"] if bad else []


def _count(numbers: Array) -> int:
    """How many are NaN or infinite.

    The sum tells whether any is, without an array of answers: both go through a sum. Finite numbers
    whose sum overflows are looked at one by one.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(numbers.sum()):
            return 0
    return int(np.count_nonzero(~np.isfinite(numbers)))
