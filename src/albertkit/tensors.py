"""Tensors in safetensors files, as float32 numpy arrays whatever the file holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.numpy import save_file

from albertkit.errors import CheckpointError

FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a file by its name; fractions become float32, whole numbers stay.

    Raises:
        CheckpointError: the file is missing, cut, or no safetensors file.
    """
    try:
        with safe_open(path, framework="np") as file:
            kinds = {name: str(file.get_slice(name).get_dtype()) for name in file.keys()}  # noqa: SIM118
            bad = sorted(set(kinds.values()) - {*FLOATS, "BF16", "I64", "I32"})
            if bad:
                raise CheckpointError(
                    "The file holds numbers of an unusual kind.",
                    expected="F32, F16, BF16 or F64",
                    found=", ".join(bad),
                    where=path,
                    fix="save the model in float32",
                )
            if "BF16" not in kinds.values():
                return {
                    name: _as_float32(file.get_tensor(name), kind) for name, kind in kinds.items()
                }
        return {  # numpy has no bfloat16
            name: _decode(entry)
            for name, entry in deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
        }
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            "The weights cannot be read.",
            expected="a whole safetensors file",
            found=str(error),
            where=path,
            fix="copy or download the file again",
        ) from error


def _as_float32(tensor: np.ndarray, kind: str) -> np.ndarray:
    return tensor.astype(np.float32, copy=False) if kind in FLOATS else tensor


def _decode(entry: Mapping[str, object]) -> np.ndarray:
    """One tensor from its bytes; a bfloat16 is the upper half of a float32."""
    kind, data, shape = entry["dtype"], entry["data"], entry["shape"]
    assert isinstance(data, bytearray)
    assert isinstance(shape, list)
    if kind == "BF16":
        upper = np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16
        return upper.view(np.float32).reshape(shape)
    plain = FLOATS.get(str(kind)) or {"I64": np.int64, "I32": np.int32}[str(kind)]
    return _as_float32(np.frombuffer(data, dtype=plain).reshape(shape), str(kind))


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write tensors; the note `format: pt` is what transformers looks for."""
    save_file(
        {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()},
        path,
        metadata={"format": "pt"},
    )
