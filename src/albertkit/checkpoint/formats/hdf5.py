"""HDF5 files of tensors as Keras writes them (`*.weights.h5`), read without the HDF5 library.

That library trusts its files: a damaged one can make it take gigabytes or end the process. What
h5py writes by default is small: a superblock of version 0, groups as B-trees of names, and
contiguous arrays. This reader knows that part alone, checks every offset, and refuses the rest by
name. Layout: "HDF5 File Format Specification", version 3.0, sections II and III to IV.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from albertkit.checkpoint.formats.dtypes import STORED, narrow
from albertkit.checkpoint.formats.memory_map import Array, Bytes, chunks, drop_pages, map_file, view
from albertkit.errors import CheckpointError, OutputError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Bounds far above any model: Keras writes some twenty groups a block, each a few steps.
_MAX_STEPS = 100_000
_MAX_PATH = 255
_NOWHERE = 2**64 - 1
_DATASPACE, _DATATYPE, _LAYOUT, _CONTINUED, _GROUP = 0x01, 0x03, 0x08, 0x10, 0x11
# Messages that say nothing about the numbers: padding, fill values, attributes (Keras: the name
# of a layer), comments, times of change, B-tree sizes, counts of links.
_HARMLESS = (0x00, 0x04, 0x05, 0x0C, 0x0D, 0x0E, 0x12, 0x13, 0x16)
# Size: places and widths of sign, exponent and mantissa, and the exponent's bias.
_FLOATS = {
    (2, 15, 10, 5, 0, 10, 15): "float16",
    (2, 15, 7, 8, 0, 7, 127): "bfloat16",
    (4, 31, 23, 8, 0, 23, 127): "float32",
    (8, 63, 52, 11, 0, 52, 1023): "float64",
}


@dataclass(frozen=True)
class Dataset:
    """An array of a file: a view of its bytes, and what its numbers are.

    dtype: "float32", ..., or "bfloat16", which NumPy lacks: then the array holds its uint16 bits.
    """

    dtype: str
    array: Array


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 files do."""
    try:
        with path.open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def read(path: Path) -> dict[str, Dataset]:
    """Every array of a file by its path inside ("layers/dense/vars/0"); nothing is copied.

    Raises:
        CheckpointError: no HDF5, damaged, or with parts that Keras does not write (links,
            compression, chunks, the layout of `libver="latest"`).
    """
    return _Walk(map_file(path)).datasets()


def write(path: Path, tensors: Mapping[str, Array], dtype: str) -> None:
    """Write arrays at their paths, in the layout that Keras writes.

    Args:
        path: the new file.
        tensors: float32 numbers by path inside; views are written in pieces, not copied whole.
        dtype: float32, float16, or bfloat16, which is kept as Keras does: two bytes without a
            kind, and an attribute that names it.

    Raises:
        OutputError: the place cannot be written.
    """
    import h5py  # slow to import, and few need it

    stored = np.dtype("V2" if dtype == "bfloat16" else dtype)
    try:
        with h5py.File(path, "w", libver="earliest") as file:
            for place, tensor in tensors.items():
                dataset = file.create_dataset(place, shape=tensor.shape, dtype=stored)
                if dtype == "bfloat16":
                    dataset.attrs["dtype"] = dtype
                start = 0
                for block in chunks(tensor):
                    dataset[start : start + len(block)] = narrow(block, dtype).view(stored)
                    start += len(block)
                drop_pages(tensor)
    except OSError as error:
        raise OutputError(
            "The weights file cannot be written.",
            found=error.strerror or str(error),
            where=path,
            fix="check the place, its permissions and the free space",
        ) from error


def _refused(what: str, place: int) -> CheckpointError:
    return CheckpointError(
        "This HDF5 file is damaged, or Keras did not write it.",
        expected="the layout of Keras' weights files (h5py's default)",
        found=f"{what}, at byte {place}",
        fix="copy or download the file again; or save the weights once more with Keras",
    )


class _Walk:
    """One file on its way from the superblock to its arrays."""

    def __init__(self, data: Bytes) -> None:
        self.data = data
        self.raw = memoryview(data.data)
        self.steps = 0
        self.seen: set[int] = set()
        self.spans: list[tuple[int, int]] = []  # from, to: of everything that was met

    def datasets(self) -> dict[str, Dataset]:
        found: dict[str, Dataset] = {}
        waiting = [("", self._root())]
        while waiting:
            path, address = waiting.pop()
            self._once(address)
            parts = self._object(address)
            if _GROUP in parts:
                prefix = path + "/" if path else ""
                children = [(prefix + n, a) for n, a in self._children(*parts[_GROUP])]
                if any(len(name) > _MAX_PATH for name, _ in children):
                    raise _refused("groups in groups without end", address)
                if len({name for name, _ in children}) != len(children):
                    raise _refused("a name that occurs twice in a group", address)
                waiting.extend(reversed(children))
            elif path:
                found[path] = self._dataset(parts, address)
            else:
                raise _refused("no group at the root", address)
        self.spans.sort()  # nothing may overlap: a wrong address would give other numbers
        for (_, end), (start, _) in pairwise(self.spans):
            if start < end:
                raise _refused("parts that overlap", start)
        return found

    def _number(self, place: int, size: int) -> int:
        if place < 0 or place + size > len(self.raw):
            raise _refused("a place outside the file", place)
        return int.from_bytes(self.raw[place : place + size], "little")

    def _step(self, place: int) -> None:
        self.steps += 1
        if self.steps > _MAX_STEPS:
            raise _refused("more parts than any model has", place)

    def _once(self, address: int) -> None:
        if address in self.seen:
            raise _refused("a part that is reached twice", address)
        self.seen.add(address)

    def _signature(self, place: int, expected: bytes) -> None:
        size = len(expected)
        if self._number(place, size) != int.from_bytes(expected, "little"):
            raise _refused(f"no {expected.decode()!r}", place)

    def _root(self) -> int:
        """Address of the root group's header, from the superblock."""
        if bytes(self.raw[: len(SIGNATURE)]) != SIGNATURE:
            raise _refused("no HDF5 signature", 0)
        version, offsets, lengths = (self._number(place, 1) for place in (8, 13, 14))
        if (version, offsets, lengths) != (0, 8, 8):
            raise _refused(f"superblock {version}, offsets of {offsets}, lengths of {lengths}", 8)
        if self._number(24, 8) != 0:
            raise _refused("addresses that do not count from the start", 24)
        end = self._number(40, 8)
        if end > len(self.raw):
            raise _refused(f"the first {len(self.raw)} of {end} bytes", 40)
        self.spans.append((0, 96))
        return self._number(64, 8)

    def _object(self, address: int) -> dict[int, tuple[int, int]]:
        """Messages of an object header that matter: kind to place and size of their data."""
        if self._number(address, 1) != 1:
            raise _refused("an object header of another version", address)
        left = self._number(address + 2, 2)
        blocks = [(address + 16, self._number(address + 8, 4))]
        parts: dict[int, tuple[int, int]] = {}
        while blocks:
            place, size = blocks.pop(0)
            end = place + size
            if end > len(self.raw):
                raise _refused("an object header that leaves the file", place)
            self.spans.append((place, end))
            while left and place + 8 <= end:
                self._step(place)
                left -= 1
                kind, size = self._number(place, 2), self._number(place + 2, 2)
                start, place = place + 8, place + 8 + size
                if place > end:
                    raise _refused("a message longer than its header", start)
                if kind == _CONTINUED:
                    blocks.append((self._number(start, 8), self._number(start + 8, 8)))
                elif kind in (_DATASPACE, _DATATYPE, _LAYOUT, _GROUP):
                    if kind in parts or self._number(start - 4, 1) & 2:
                        raise _refused("a message that is shared or occurs twice", start)
                    parts[kind] = (start, size)
                elif kind not in _HARMLESS:
                    raise _refused(f"a message of kind {kind:#x} (links, filters, ...)", start)
        if left:
            raise _refused(f"an object header that ends {left} messages early", address)
        return parts

    def _children(self, place: int, size: int) -> Iterator[tuple[str, int]]:
        """Names in a group and the addresses of their headers."""
        if size < 16:
            raise _refused("a group without its table", place)
        tree, heap = self._number(place, 8), self._number(place + 8, 8)
        self._signature(heap, b"HEAP")
        names, length = self._number(heap + 24, 8), self._number(heap + 8, 8)
        if names + length > len(self.raw):
            raise _refused("a heap that leaves the file", heap)
        self.spans += [(heap, heap + 32), (names, names + length)]
        for leaf in self._leaves(tree):
            self._signature(leaf, b"SNOD")
            self.spans.append((leaf, leaf + 8 + 40 * self._number(leaf + 6, 2)))
            for number in range(self._number(leaf + 6, 2)):
                entry = leaf + 8 + 40 * number
                self._step(entry)
                if self._number(entry + 16, 4) not in (0, 1):
                    raise _refused("a symbolic link", entry)
                offset = self._number(entry, 8)
                yield self._name(names + offset, names + length), self._number(entry + 8, 8)

    def _leaves(self, tree: int) -> Iterator[int]:
        """Addresses of the leaves below a node of a group's B-tree, in the order of names."""
        waiting: list[tuple[int, int | None]] = [(tree, None)]
        while waiting:
            node, level = waiting.pop()
            self._once(node)
            if level == -1:
                yield node
                continue
            self._signature(node, b"TREE")
            kind, found = self._number(node + 4, 1), self._number(node + 5, 1)
            if kind != 0 or (level is not None and found != level) or found > 8:
                raise _refused("a B-tree that is not one of names", node)
            self.spans.append((node, node + 24 + 16 * self._number(node + 6, 2)))
            for number in reversed(range(self._number(node + 6, 2))):
                self._step(node)
                waiting.append((self._number(node + 32 + 16 * number, 8), found - 1))

    def _name(self, place: int, end: int) -> str:
        end = min(end, place + _MAX_PATH + 1)
        raw, zero, _ = bytes(self.raw[place:end]).partition(b"\0")
        try:
            name = raw.decode() if zero else ""
        except UnicodeDecodeError:
            name = ""
        if not name or "/" in name:
            raise _refused("a name that is empty, too long or not UTF-8", place)
        return name

    def _dataset(self, parts: dict[int, tuple[int, int]], address: int) -> Dataset:
        if not {_DATASPACE, _DATATYPE, _LAYOUT} <= set(parts):
            raise _refused("an object that is neither group nor array", address)
        shape = self._shape(*parts[_DATASPACE])
        dtype = self._dtype(*parts[_DATATYPE])
        place, size = parts[_LAYOUT]
        version, kind = self._number(place, 1), self._number(place + 1, 1)
        if version not in (3, 4) or kind not in (0, 1) or size < (4, 18)[kind]:
            raise _refused(f"an array stored in chunks or otherwise ({version}, {kind})", place)
        if kind == 0:  # compact: inside the header
            start, length = place + 4, self._number(place + 2, 2)
            if length > size - 4:
                raise _refused("an array longer than its message", place)
        else:
            start, length = self._number(place + 2, 8), self._number(place + 10, 8)
        stored = np.dtype(STORED[dtype])
        if length != math.prod(shape) * stored.itemsize:
            raise _refused(f"{length} bytes for {dtype} of shape {shape}", place)
        if length == 0 or start == _NOWHERE:
            raise _refused("an array without numbers", place)
        if kind == 1:
            self.spans.append((start, start + length))
        return Dataset(dtype, view(self.data, start, stored, shape))

    def _shape(self, place: int, size: int) -> tuple[int, ...]:
        version, rank = self._number(place, 1), self._number(place + 1, 1)
        first = place + (8 if version == 1 else 4)
        null = version == 2 and self._number(place + 3, 1) not in (0, 1)
        if version not in (1, 2) or rank > 8 or null or first + 8 * rank > place + size:
            raise _refused(f"a shape of version {version} with {rank} axes", place)
        return tuple(self._number(first + 8 * axis, 8) for axis in range(rank))

    def _dtype(self, place: int, size: int) -> str:
        first, flags, width = (self._number(place + p, s) for p, s in ((0, 1), (1, 3), (4, 4)))
        kind, version = first & 15, first >> 4
        if size < 8 + {0: 4, 1: 12}.get(kind, 0) or version not in (1, 2, 3):
            raise _refused("a data type of another version", place)
        if kind == 5 and width == 2:  # h5py's way to keep a type that NumPy lacks
            return "bfloat16"
        whole = self._number(place + 8, 2) == 0 and self._number(place + 10, 2) == 8 * width
        if kind == 0 and flags & ~8 == 0 and width in (1, 2, 4, 8) and whole:
            return f"{'int' if flags & 8 else 'uint'}{8 * width}"
        if kind == 1 and flags & 0xFF == 0x20 and whole:  # little-endian, with a hidden one
            places = tuple(self._number(place + p, 1) for p in (12, 13, 14, 15))
            found = (width, flags >> 8, *places, self._number(place + 16, 4))
            if found in _FLOATS:
                return _FLOATS[found]
        raise _refused(f"numbers of an unknown kind (class {kind}, {width} bytes)", place)
