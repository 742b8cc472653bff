"""Damage inside HDF5 files: well-formed files that hold what they must not."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator

import h5py
import numpy as np
from damage_tf import Case


def small_hdf5() -> bytes:
    """A file with two arrays, as small as h5py makes one."""
    raw = io.BytesIO()
    with h5py.File(raw, "w", libver="earliest") as file:
        file["a/x"] = np.arange(3, dtype=np.float32)
        file["y"] = np.zeros((2, 2), np.float16)
    return raw.getvalue()


def small_tf_model() -> bytes:
    """A file with three of the weights of transformers' TFAlbertModel."""
    raw, root = io.BytesIO(), "albert/tf_albert_model/albert"
    layer = f"{root}/encoder/albert_layer_groups_._0/albert_layers_._0"
    with h5py.File(raw, "w", libver="earliest") as file:
        file[f"{root}/embeddings/word_embeddings/weight:0"] = np.zeros((4, 2), np.float32)
        file[f"{layer}/ffn/kernel:0"] = np.zeros((2, 3), np.float32)
        file[f"{layer}/attention/LayerNorm/gamma:0"] = np.ones(2, np.float32)
    return raw.getvalue()


def hdf5_cases(whole: bytes) -> Iterator[Case]:
    """The same weights with one array or one part changed."""
    name = "layers/layer_normalization/vars/0"

    def changed(change: Callable[[h5py.File], None]) -> bytes:
        raw = io.BytesIO(whole)
        with h5py.File(raw, "r+", libver="earliest") as file:
            change(file)
        return raw.getvalue()

    def replaced(value: np.ndarray, **options: object) -> bytes:
        def change(file: h5py.File) -> None:
            del file[name]
            file.create_dataset(name, data=value, **options)

        return changed(change)

    def link(file: h5py.File) -> None:
        del file[name]
        file[name] = h5py.SoftLink("/layers/layer_normalization/vars/1")

    def outside(file: h5py.File) -> None:
        del file[name]
        file[name] = h5py.ExternalLink("/etc/passwd", "/")

    def hard(file: h5py.File) -> None:
        twin = file["layers/layer_normalization/vars/1"]
        del file[name]
        file[name] = twin

    def gone(file: h5py.File) -> None:
        del file[name]

    good = np.zeros(3, np.float32)
    with h5py.File(io.BytesIO(whole)) as file:
        good = file[name][:]
        offsets = [file[f"layers/layer_normalization/vars/{n}"].id.get_offset() for n in (0, 1)]
    yield "written anew", replaced(good), None
    yield "in double precision", replaced(good.astype(np.float64)), None
    yield "whole numbers", replaced(good.astype(np.int32)), "not a floating-point number"
    yield "complex numbers", replaced(good.astype(np.complex64)), "unknown kind"
    yield "the other order of bytes", replaced(good.astype(">f4")), "unknown kind"
    yield "another shape", replaced(np.zeros((3, 1), np.float32)), "\n"
    yield "more numbers", replaced(np.zeros(4, np.float32)), "\n"
    yield "no numbers", replaced(np.zeros(0, np.float32)), "without numbers"
    yield "in chunks", replaced(good, chunks=(2,)), "HDF5"
    yield "compressed", replaced(good, compression="gzip"), "HDF5"
    yield "a bomb", replaced(np.zeros(9_000_000, np.float32), compression="gzip"), "HDF5"
    yield "texts", replaced(np.array([b"a", b"b", b"c"])), "unknown kind"
    yield "a link", changed(link), "HDF5"
    yield "a link to another file", changed(outside), "HDF5"
    yield "one array under two names", changed(hard), "reached twice"
    yield "an array left out", changed(gone), "\n"
    for what, value in [
        ("another array's place", offsets[1]),
        ("half of another array's place", offsets[1] + 4),
        ("the place of the header", 0),
        ("a place behind the end", len(whole)),
        ("the place 2 ** 63", 1 << 63),
        ("no place", 2**64 - 1),
    ]:
        old, new = struct.pack("<Q", offsets[0]), struct.pack("<Q", value)
        assert whole.count(old) == 1
        yield what, whole.replace(old, new), "\n"
    end = struct.pack("<Q", len(whole))
    assert whole[40:48] == end
    yield "an end beyond the end", whole[:40] + struct.pack("<Q", 1 << 50) + whole[48:], "the first"
    yield "a base elsewhere", whole[:24] + struct.pack("<Q", 8) + whole[32:], "count from the start"
