"""Find NaN and infinity in weights: a run that diverged leaves them, and so does a bad copy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from albertkit.checkpoint.formats.memory_map import Array
from albertkit.errors import listed


def not_finite(tensors: Mapping[str, Array]) -> list[str]:
    """A sentence about the tensors with NaN or infinity; nothing if all numbers are finite.

    The sum of a tensor tells, without an array of answers: both go through a sum. A finite tensor
    whose sum overflows is looked at number by number.
    """
    bad = []
    for name, tensor in tensors.items():
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(tensor.sum()):
                continue
        count = int(np.count_nonzero(~np.isfinite(tensor)))
        if count:
            bad.append(f"{name} ({count:,} of {tensor.size:,} numbers)")
    return [f"NaN or infinity in {listed(bad)}; take an earlier checkpoint"] if bad else []
