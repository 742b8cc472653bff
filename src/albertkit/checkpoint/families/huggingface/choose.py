"""Which of the usual files of a folder holds the weights; two that disagree are an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from albertkit.checkpoint.families.huggingface.old_names import current_names
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.checkpoint.formats.sharded import INDEX, read_any
from albertkit.errors import AlbertkitError, CheckpointError

USUAL = (
    "model.safetensors",
    f"model.safetensors{INDEX}",
    "pytorch_model.bin",
    f"pytorch_model.bin{INDEX}",
)
_SAFETENSORS = USUAL[:2]
_SAMPLE = 4096  # numbers of each tensor that are compared
_ROUNDING = 2.0**-8  # relative; bfloat16 rounds by half of this


def usual_file(folder: Path) -> Path | None:
    """The first of the usual files in a folder, as transformers takes it; None if there is none.

    Raises:
        CheckpointError: a file of the other format beside it holds other weights.
    """
    there = [folder / name for name in USUAL if (folder / name).is_file()]
    if not there:
        return None
    first = there[0]
    others = [x for x in there if (x.name in _SAFETENSORS) != (first.name in _SAFETENSORS)]
    difference = _difference(first, others[0]) if others else None
    if difference is not None:
        raise CheckpointError(
            "There are two files of weights here, and they disagree.",
            expected="one set of weights",
            found=f"{first.name} and {others[0].name}: {difference}",
            where=folder,
            fix=f"give the path of one of them, such as {first}",
        )
    return first


def _difference(first: Path, second: Path) -> str | None:
    """What two files disagree on, by the first numbers of each tensor; None if on nothing.

    A file that cannot be read disagrees with nothing: its error comes when it is asked for.
    """
    try:
        left, right = (current_names(read_any(path)[0]).tensors for path in (first, second))
    except AlbertkitError:
        return None
    common = [name for name in left if name in right]
    if not common:
        return "no tensor has the same name"
    for name in common:
        if left[name].shape != right[name].shape:
            return f"{name} is {tuple(left[name].shape)} and {tuple(right[name].shape)}"
        if not _same(left[name], right[name]):
            return f"{name} has other numbers"
    return None


def _same(a: Array, b: Array) -> bool:
    """Whether two tensors begin alike, but for the rounding of a shorter dtype."""
    first, second = (x.reshape(-1)[:_SAMPLE].astype(np.float32) for x in (a, b))
    return bool(np.allclose(first, second, rtol=_ROUNDING, atol=1e-6, equal_nan=True))
