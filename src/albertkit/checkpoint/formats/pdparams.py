"""Paddle's .pdparams, read and written without Paddle: a pickled dict of numpy arrays.

Older files hold (name, array) pairs, and files of Python 2 or protocol 2 hold the numbers as text.
numpy has no bfloat16: Paddle keeps its bits in uint16.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from albertkit.checkpoint.formats.memory_map import Array, map_file
from albertkit.checkpoint.formats.safetensors_file import Weights, narrow_chunks
from albertkit.checkpoint.formats.torch_save import Widened, text, whole
from albertkit.checkpoint.formats.unpickle import expect_dict, load
from albertkit.checkpoint.formats.unpickle_allowed import Stored, damaged
from albertkit.errors import CheckpointError

NAMES_ENTRY = "StructuredToParameterName@@"
_SPLIT = "UnpackBigParamInfor@@"
_CODES = {"float32": "f4", "float16": "f2", "bfloat16": "u2", "int64": "i8"}


def read_weights(path: Path) -> Weights:
    """The arrays of a .pdparams file.

    Raises:
        CheckpointError: damaged, or it holds something other than arrays.
    """
    data = map_file(path)
    value, place = load(data)
    if place != len(data):
        raise damaged(f"{len(data) - place} bytes behind the pickle", 0)
    read = Weights()
    widened = Widened(len(data))
    for name, entry in expect_dict(value).items():
        if name == NAMES_ENTRY:
            read.ignored[name] = "Paddle's own numbering of the parameters"
            continue
        if isinstance(entry, tuple) and len(entry) == 2:  # (Paddle's own name, array)
            entry = entry[1]
        if not isinstance(entry, Stored) or entry.array is None:
            raise CheckpointError(
                "The file holds more than arrays.",
                expected="a dict of arrays, as paddle.save writes parameters",
                found="an array cut in pieces" if name == _SPLIT else f"{name[:80]}, no array",
                fix="save the parameters alone, with protocol 4",
            )
        array = entry.array
        bits = array.dtype.kind == "u" and array.itemsize == 2
        kind = "bfloat16" if bits else array.dtype.name
        read.kinds[name] = kind, tuple(array.shape)
        read.tensors[name] = widened(array, kind)
    return read


def list_names(path: Path) -> list[str]:
    """Names of the entries of a .pdparams file; no numbers are read.

    Raises:
        CheckpointError: damaged.
    """
    return list(expect_dict(load(map_file(path))[0]))


def write_weights(path: Path, tensors: Mapping[str, Array], dtype: str = "float32") -> None:
    """Write arrays as paddle.save does; paddle.load and pickle.load open the file.

    dtype: float32, float16 or bfloat16, for the float32 arrays; int64 ones stay.
    """
    with path.open("wb") as file:
        file.write(b"\x80\x04}(")
        for name, tensor in tensors.items():
            file.write(text(name))
            _write_array(file, tensor, dtype)
        file.write(text(NAMES_ENTRY) + b"}(")
        for number, name in enumerate(tensors):
            file.write(text(name) + text(f"parameter_{number}"))
        file.write(b"uu.")


def _write_array(file: BinaryIO, tensor: Array, dtype: str) -> None:
    """The steps that make one array, in row order."""
    if tensor.dtype == np.int64:
        dtype = "int64"
    code = _CODES[dtype]
    size = tensor.size * int(code[1])
    file.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R")
    shape = b"(" + b"".join(map(whole, tensor.shape)) + b"t"
    kind = b"cnumpy\ndtype\n" + text(code) + b"\x89\x88\x87R"
    kind += b"(K\3" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    file.write(b"(K\1" + shape + kind + b"\x89" + _bytes_step(size))
    if dtype == "int64":
        file.write(tensor.astype("<i8").tobytes())
    else:
        for piece in narrow_chunks(tensor, dtype):
            file.write(piece)
    file.write(b"tb")


def _bytes_step(size: int) -> bytes:
    if size < 1 << 32:
        return b"B" + size.to_bytes(4, "little")
    return b"\x8e" + size.to_bytes(8, "little")
