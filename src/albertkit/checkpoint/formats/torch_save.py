"""torch's files of tensors, read and written without torch: zip archives, and the older streams.

A zip archive (torch 1.6 and later) holds a pickle with names and shapes, and one entry for
each storage. An older file is a row of pickles (magic number, version, machine, tensors, keys)
followed by the storages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from albertkit.checkpoint.formats.dtypes import STORED, as_float32, item_size
from albertkit.checkpoint.formats.memory_map import Array, Bytes, drop_pages, map_file, view
from albertkit.checkpoint.formats.safetensors_file import Weights, narrow_chunks
from albertkit.checkpoint.formats.state_dict import all_storages, state_dict_of
from albertkit.checkpoint.formats.stored_zip import ZipEntry, ZipWriter, check_crc, read_entries
from albertkit.checkpoint.formats.unpickle import load
from albertkit.checkpoint.formats.unpickle_allowed import (
    TORCH_KINDS,
    Storage,
    Stored,
    TorchTensor,
    damaged,
)
from albertkit.errors import CheckpointError

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_ROOT = "archive"
_WRITTEN = {"float32": "Float", "float16": "Half", "bfloat16": "BFloat16"}


def read_weights(path: Path) -> Weights:
    """The tensors of a file that torch.save wrote, or of a pickled dict of arrays.

    Raises:
        CheckpointError: damaged, or it holds something other than tensors.
    """
    data = map_file(path)
    if data[:4].tobytes() == b"PK\x03\x04":
        return _read_zip(data)
    return _read_stream(data)


def list_tensors(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Kind ("float32") and shape of every tensor of such a file; no numbers are read.

    Raises:
        CheckpointError: damaged, or it holds something other than tensors.
    """
    data = map_file(path)
    if data[:4].tobytes() == b"PK\x03\x04":
        value = _open_zip(data)[2]
    else:
        value, place = load(data, storages=True)
        for _ in range(3 if type(value) is int else 0):
            value, place = load(data, place, storages=True)
    return {name: kind_and_shape(name, entry) for name, entry in state_dict_of(value)[0].items()}


def _open_zip(data: Bytes) -> tuple[str, dict[str, ZipEntry], object]:
    """First part of the names, the entries, and the value of the pickle."""
    entries = read_entries(data)
    roots = {name.split("/")[0] for name in entries}
    root = next(iter(roots), "")
    pickled = entries.get(f"{root}/data.pkl")
    if len(roots) != 1 or pickled is None:
        raise damaged("an archive without data.pkl", 0)
    if any(name.endswith((".zip", ".pt", ".pth")) for name in entries):
        raise damaged("an archive inside an archive", 0)
    check_crc(data, pickled)
    return root, entries, load(_bytes(data, pickled), storages=True)[0]


def _read_zip(data: Bytes) -> Weights:
    root, entries, value = _open_zip(data)
    order = entries.get(f"{root}/byteorder")
    big = order is not None and _bytes(data, order).tobytes() == b"big"

    def find(storage: Storage) -> Bytes:
        entry = entries.get(f"{root}/data/{storage.key}")
        if entry is None:
            raise damaged(f"no entry for the storage {storage.key[:40]}", 0)
        check_crc(data, entry)
        found = _bytes(data, entry)
        drop_pages(found)
        return found

    return _weights(value, find, ">" if big else "<", len(data))


def _bytes(data: Bytes, entry: ZipEntry) -> Bytes:
    return data[entry.start : entry.start + entry.size]


def _read_stream(data: Bytes) -> Weights:
    value, place = load(data, storages=True)
    if type(value) is not int:  # no magic number: a plain pickle
        if place != len(data):
            raise damaged(f"{len(data) - place} bytes behind the pickle", 0)
        return _weights(value, _nowhere, "<", len(data))
    version, place = load(data, place)
    machine, place = load(data, place)
    if value != _MAGIC or version != _VERSION or not isinstance(machine, dict):
        raise damaged("a stream that is not of torch", 0)
    big = machine.get("little_endian") is False
    value, place = load(data, place, storages=True)
    keys, place = load(data, place)
    if not isinstance(keys, list) or not all(type(key) is str for key in keys):
        raise damaged("storages without keys", 0)
    order = ">" if big else "<"
    for name, entry in state_dict_of(value)[0].items():
        kind_and_shape(name, entry)
    known = {storage.key: storage for storage in all_storages(value)}
    if len(set(keys)) != len(keys) or set(known) - set(keys):
        raise damaged("tensors whose storages are not in the file", 0)
    places: dict[str, Bytes] = {}
    for key in keys:
        if key not in known:
            raise damaged(f"the storage {key[:40]} that no tensor uses", 0)
        size = known[key].count * item_size(TORCH_KINDS[known[key].kind])
        count = int(view(data, place, order + "i8", ())[()])
        if count != known[key].count:
            raise damaged(f"a storage of {count} numbers where {known[key].count} are named", 0)
        places[key] = _slice(data, place + 8, size)
        place += 8 + size
    if place != len(data):
        raise damaged(f"{len(data) - place} bytes behind the last storage", 0)
    return _weights(value, lambda storage: places[storage.key], order, len(data))


def _slice(data: Bytes, start: int, size: int) -> Bytes:
    if start + size > len(data):
        raise damaged(f"{len(data)} bytes where a storage ends at {start + size}", 0)
    return data[start : start + size]


def _nowhere(storage: Storage) -> Bytes:
    raise damaged("a storage in a plain pickle", 0)


def _weights(value: object, find: Callable[[Storage], Bytes], order: str, size: int) -> Weights:
    """Tensors by name, each a view of its storage; a storage is widened once.

    size: bytes of the file.
    """
    read = Weights()
    storages: dict[str, Array] = {}
    widened = Widened(size)
    state, read.notes = state_dict_of(value)
    for name, entry in state.items():
        kind, _ = read.kinds[name] = kind_and_shape(name, entry)
        if isinstance(entry, Stored) and entry.array is not None:
            read.tensors[name] = widened(entry.array, kind)
            continue
        assert isinstance(entry, TorchTensor)
        storage = entry.storage
        if storage.key not in storages:
            stored = STORED[TORCH_KINDS[storage.kind]].replace("<", order)
            raw = find(storage)
            numbers = view(raw, 0, stored, (storage.count,))
            if numbers.nbytes != len(raw):
                raise damaged(f"{len(raw)} bytes for {storage.count} numbers", 0)
            storages[storage.key] = as_float32(native(numbers), kind)
        read.tensors[name] = part(storages[storage.key], entry)
    return read


def kind_and_shape(name: str, entry: object) -> tuple[str, tuple[int, ...]]:
    """Kind and shape of one entry of a state dict.

    Raises:
        CheckpointError: it is not a tensor.
    """
    if isinstance(entry, TorchTensor):
        return TORCH_KINDS[entry.storage.kind], entry.shape
    if isinstance(entry, Stored) and entry.array is not None:
        return entry.array.dtype.name, tuple(entry.array.shape)
    raise CheckpointError(
        "The file holds more than tensors.",
        expected="a dict of tensors (a state dict)",
        found=f"{name[:80]}, a {type(entry).__name__}".replace("Ordered", "dict"),
        fix="save the state dict of the model alone",
    )


class Widened:
    """Arrays of a pickle in float32 and this machine's order of bytes, each made once.

    A few bytes of a pickle can name the same numbers again: all copies together hold no more than
    the file does.
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self._made: dict[int, Array] = {}

    def __call__(self, array: Array, kind: str) -> Array:
        """An array as it is used; a view where the file has it like that.

        Raises:
            CheckpointError: more numbers than the file can hold.
        """
        if id(array) not in self._made:
            made = self._made[id(array)] = as_float32(native(array), kind)
            self._left -= 0 if made is array else array.nbytes
            if self._left < 0:
                raise damaged("the same numbers in many arrays", 0)
        return self._made[id(array)]


def native(numbers: Array) -> Array:
    """Numbers in this machine's order of bytes; a view if they have it."""
    return numbers.astype(numbers.dtype.newbyteorder("="), copy=False)


def part(numbers: Array, tensor: TorchTensor) -> Array:
    """The view of a storage that a tensor is; its bounds were checked when it was read."""
    if math.prod(tensor.shape) == 0:
        return np.empty(tensor.shape, numbers.dtype)
    width = numbers.itemsize
    made: Array = np.ndarray(
        tensor.shape,
        numbers.dtype,
        numbers.data,
        tensor.offset * width,
        tuple(stride * width for stride in tensor.strides),
    )
    return made


def write_weights(path: Path, tensors: Mapping[str, Array], dtype: str = "float32") -> None:
    """Write float32 tensors as torch.save writes a state dict (also for weights_only=True).

    dtype: float32, float16 or bfloat16.
    """
    width = 4 if dtype == "float32" else 2
    with ZipWriter(path) as archive:
        archive.add(f"{_ROOT}/data.pkl", _pickle(tensors, _WRITTEN[dtype]))
        archive.add(f"{_ROOT}/byteorder", b"little")
        for number, tensor in enumerate(tensors.values()):
            with archive.entry(f"{_ROOT}/data/{number}", tensor.size * width) as file:
                for piece in narrow_chunks(tensor, dtype):
                    file.write(piece)
        archive.add(f"{_ROOT}/version", b"3\n")


def _pickle(tensors: Mapping[str, Array], kind: str) -> bytes:
    """A state dict as torch pickles it: protocol 2, written step by step."""
    made = [b"\x80\x02ccollections\nOrderedDict\n)R("]
    for number, (name, tensor) in enumerate(tensors.items()):
        strides: list[int] = []
        stride = 1
        for size in reversed(tensor.shape):
            strides.insert(0, stride)
            stride *= max(size, 1)
        made += [
            text(name),
            b"ctorch._utils\n_rebuild_tensor_v2\n((",
            text("storage"),
            f"ctorch\n{kind}Storage\n".encode(),
            text(str(number)) + text("cpu") + whole(tensor.size),
            b"tQK\0(" + b"".join(map(whole, tensor.shape)) + b"t",
            b"(" + b"".join(map(whole, strides)) + b"t",
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
    return b"".join([*made, b"u."])


def text(value: str) -> bytes:
    """The step that puts a text on a pickle's stack."""
    raw = value.encode("utf-8")
    return b"X" + len(raw).to_bytes(4, "little") + raw


def whole(value: int) -> bytes:
    """The step that puts an integer on a pickle's stack."""
    if 0 <= value < 1 << 8:
        return b"K" + bytes([value])
    if 0 <= value < 1 << 31:
        return b"J" + value.to_bytes(4, "little")
    return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)
