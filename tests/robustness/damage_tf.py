"""Damage inside TensorFlow's files that a random change never reaches: the checksums are right."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

import cramjam
from tiny_files import index_entry, table_items

from albertkit.checkpoint.formats.leveldb_table import (
    FOOTER_BYTES,
    MAGIC,
    _entries,
    _handle,
    crc32c,
    masked,
    written_varint,
)
from albertkit.errors import CheckpointError

HEADER = b"\x08\x01\x1a\x02\x08\x01"
# What was done, the file, and words of the error. None: it opens, and holds the same; "opens": it
# opens; "?": either.
Case = tuple[str, bytes, str | None]


def with_checksums(data: bytes) -> bytes:
    """An index whose blocks have the checksums of what they hold, as far as they can be found."""
    made = bytearray(data)
    with contextlib.suppress(CheckpointError, struct.error):
        footer = memoryview(bytes(made[-FOOTER_BYTES:]))
        _, _, place = _handle(footer, 0)
        offset, size, _ = _handle(footer, place)
        if not _sum(made, offset, size) or made[offset + size]:
            return bytes(made)
        for _, value in _entries(bytes(made[offset : offset + size])):
            _sum(made, *_handle(memoryview(value), 0)[:2])
    return bytes(made)


def _sum(data: bytearray, offset: int, size: int) -> bool:
    end = offset + size
    if end + 5 > len(data) - FOOTER_BYTES:
        return False
    data[end + 1 : end + 5] = struct.pack("<I", masked(crc32c(bytes(data[offset : end + 1]))))
    return True


def field(number: int, value: bytes | int) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return written_varint(number << 3) + written_varint(value)
    return written_varint(number << 3 | 2) + written_varint(len(value)) + value


# Tables


def block(items: list[tuple[bytes, bytes]], restarts: list[int] | None = None) -> bytes:
    """The body of a block that shares nothing between keys; a restart point at its start."""
    body = b"".join(
        b"\0" + written_varint(len(key)) + written_varint(len(value)) + key + value
        for key, value in items
    )
    places = [0] if restarts is None else restarts
    return body + struct.pack(f"<{len(places) + 1}I", *places, len(places))


def table(
    blocks: list[tuple[bytes, bytes]],
    *,
    kind: int = 0,
    index: list[tuple[bytes, bytes]] | None = None,
    index_kind: int = 0,
) -> bytes:
    """A table of blocks, each with the last key in it; every checksum is right.

    kind: the byte that tells the compression; bodies are written as they are. index: the entries
    of the block that names the others, instead of the right ones.
    """
    made = bytearray()
    places = []
    for last, body in blocks:
        places.append((last, written_varint(len(made)) + written_varint(len(body))))
        made += _closed(body, kind)
    filters = written_varint(len(made)) + written_varint(8)
    made += _closed(block([]), 0)
    names = block(places if index is None else index)
    if index_kind == 1:
        names = bytes(cramjam.snappy.compress_raw(names))
    handle = written_varint(len(made)) + written_varint(len(names))
    made += _closed(names, index_kind)
    footer = (filters + handle).ljust(FOOTER_BYTES - 8, b"\0")
    return bytes(made) + footer + struct.pack("<Q", MAGIC)


def _closed(body: bytes, kind: int) -> bytes:
    tail = bytes([kind])
    return body + tail + struct.pack("<I", masked(crc32c(body + tail)))


def index_cases(whole: bytes) -> Iterator[Case]:
    """An index of one data file, with something wrong that every checksum covers."""
    items = table_items(whole)
    header, tensors = items[0], items[1:]
    (first, a), (second, _) = tensors[0], tensors[1]

    def of(*changed: tuple[bytes, bytes], head: bytes = header[1]) -> bytes:
        """The items in another order or number, in one block."""
        made = [(b"", head), *changed]
        return table([(max(key for key, _ in made), block(made))])

    def with_first(value: bytes) -> bytes:
        return of((first, value), *tensors[1:])

    yield "the same, in one block", of(*tensors), None
    yield "the same, in many blocks", table([(k, block([(k, v)])) for k, v in items]), None
    small = [(k, bytes(cramjam.snappy.compress_raw(block([(k, v)])))) for k, v in items]
    yield "the same, packed", table(small, kind=1, index_kind=1), None
    yield "two tensors in one place", of((first, a), (second, a), *tensors[2:]), "begins inside"
    yield "out of order", of(tensors[1], tensors[0], *tensors[2:]), "sorted keys"
    yield "one key twice", of(tensors[0], *tensors), "sorted keys"
    yield "a block twice", table([(items[-1][0], block(items))] * 2), "blocks out of order"
    twice = table([(b"a", block(items)), (b"zz", block(items))])
    yield "a block over another", twice, "its index does not cover"
    yield "no header", table([(tensors[-1][0], block(tensors))]), "no header"
    yield "a tensor left out", of(*tensors[1:]), "\n"
    yield "one too many", of(*tensors, (b"zzz", index_entry((0,), 0, 0, b""))), "\n"
    for name, value, found in _entry_cases():
        yield f"a tensor {name}", with_first(value), found
    for name, head, found in _header_cases():
        yield f"a header {name}", of(*tensors, head=head), found
    yield from _block_cases(items)


def _entry_cases() -> Iterator[tuple[str, bytes, str]]:
    shape = field(2, b"")
    place = field(3, 0) + field(4, 0)
    yield "of nothing", b"", "\n"
    yield "of half its size", index_entry((9,), 0, 0, bytes(18)), "bytes of float32"
    yield "of whole numbers", index_entry((9, 3), 0, 0, bytes(108), kind=3), "\n"
    yield "of texts", index_entry((9, 3), 0, 0, bytes(108), kind=7), "\n"
    yield "of a kind that nobody knows", index_entry((9, 3), 0, 0, bytes(108), kind=99), "\n"
    yield "of another width", index_entry((9, 3), 0, 0, bytes(216), kind=2), "\n"
    yield "in another file", index_entry((1,), 7, 0, bytes(4)), "of file 7"
    yield "beyond the end", index_entry((1,), 0, 1 << 40, bytes(4)), "is cut"
    yield "at 2 ** 64 - 1", index_entry((1,), 0, 2**64 - 1, bytes(4)), "bytes at"
    yield "of 2 ** 63 bytes", field(1, 1) + shape + place + field(5, 1 << 63), "bytes at"
    yield "with an axis of 2 ** 62", field(1, 1) + field(2, field(2, field(1, 2**62))), "shape"
    yield "with a negative axis", field(1, 1) + field(2, field(2, field(1, 2**64 - 1))), "shape"
    yield "of 40 axes", field(1, 1) + field(2, field(2, field(1, 1)) * 40), "axes"
    yield "without axes", field(1, 1) + field(2, field(3, 1)), "without axes"
    yield "in slices", field(1, 1) + field(7, b""), "slices"
    yield "with a checksum of two bytes", field(1, 1) + field(6, b"ab"), "checksum"
    yield "with a number as its shape", field(1, 1) + field(2, 5), "message is expected"
    yield "with a shape as its kind", field(1, b"abc"), "number is expected"
    yield "with a field of a group", b"\x0b", "kind 3"
    yield "with a million fields", field(8, 0) * 1_000_000, "\n"


def _header_cases() -> Iterator[tuple[str, bytes, str]]:
    yield "of nothing", b"", "0 data files"
    yield "of 5,000 files", field(1, 5000), "5000 data files"
    yield "of two files", field(1, 2), "missing"
    yield "of 2 ** 64 - 1 files", field(1, 2**64 - 1), "data files"
    yield "of another order of bytes", HEADER + field(2, 1), "big-endian"
    yield "of version 9", field(1, 1) + field(3, field(2, 9)), "version 9"
    yield "of a million fields", HEADER + field(9, 0) * 1_000_000, "\n"


def _block_cases(items: list[tuple[bytes, bytes]]) -> Iterator[Case]:
    last = items[-1][0]
    body = block(items)
    packed = bytes(cramjam.snappy.compress_raw(body))
    yield "packed in an unknown way", table([(last, body)], kind=7), "compression 7"
    yield "said to be packed", table([(last, body)], kind=1), "\n"
    bomb = written_varint(1 << 31) + packed[2:]
    yield "that unpacks to 2 GB", table([(last, bomb)], kind=1), "packed into"
    wrong = written_varint(len(body) + 9) + packed[2:]
    yield "that unpacks to less", table([(last, wrong)], kind=1), "\n"
    yield "packed and cut", table([(last, packed[:-9])], kind=1), "\n"
    yield "shorter than its end", table([(last, b"abc")]), "restart points"
    yield "with 2 ** 31 restarts", table([(last, b"\0\0\0\x80")]), "restart points"
    yield "with restarts between", table([(last, block(items, [0, 3]))]), "restart points"
    yield "without a restart", table([(last, body[:-8] + bytes(4))]), "restart points"
    shared = b"\x05\x01\x01" + b"kv" + struct.pack("<2I", 0, 1)
    yield "whose first key shares", table([(last, shared)]), "shared with"
    shared = b"\0\x01\x01kv\x05\x01\x01kv" + struct.pack("<2I", 0, 1)
    yield "whose second key shares too much", table([(last, shared)]), "shared with"
    long = b"\0\x01\xff\xff\xff\xff\x0fk" + struct.pack("<2I", 0, 1)
    yield "with a value of 4 GB", table([(last, long)]), "smaller"
    yield (
        "with a key of 2,000 bytes",
        table([(b"k" * 2000, block([(b"k" * 2000, b"")]))]),
        "smaller",
    )
    here = written_varint(len(body) + 5 + 13) + written_varint(0)
    for name, handle in [
        ("nowhere", written_varint(1 << 60) + written_varint(9)),
        ("of 2 ** 60 bytes", b"\0" + written_varint(1 << 60)),
        ("of no end", b"\xff" * 10),
        ("in the names of the blocks", here),
    ]:
        yield f"a block {name}", table([(last, body)], index=[(last, handle)]), "\n"
    spaces = [(b"%07d" % number, b"\0\x08") for number in range(300_000)]
    names = [(b"", b"\0" + written_varint(len(block(items[:1])))), *spaces]
    empty = table([(b"", block(items[:1]))], index=names, index_kind=1)
    yield "300,000 times the same block", empty, "\n"
    blank = table([(b"", block(items[:1])), (b"a", block([]))])
    yield "a block of nothing", blank, "empty"


# Graphs


def node(name: str, op: str, *inputs: str, value: bytes | None = None) -> bytes:
    """NodeDef, perhaps with a constant (TensorProto)."""
    made = field(1, name.encode()) + field(2, op.encode())
    made += b"".join(field(3, one.encode()) for one in inputs)
    if value is not None:
        made += field(5, field(1, b"value") + field(2, field(8, value)))
    return field(1, made)


def meta(*nodes: bytes) -> bytes:
    """MetaGraphDef"""
    return field(2, b"".join(nodes))


_IN = "bert/encoder/layer_0/attention/self/"


def small_graphs() -> list[bytes]:
    """A graph of each thing that is looked at, and a saved model of it."""
    whole = struct.pack("<3i", 2, 4, 6)
    shape = field(1, 3) + field(2, field(2, field(1, 3))) + field(4, whole)
    nodes = meta(
        node(_IN + "shape", "Const", value=shape),
        node(_IN + "Reshape", "Reshape", "x", _IN + "shape"),
        node(_IN + "query/MatMul", "MatMul", _IN + "Reshape"),
        node(_IN + "Softmax", "Softmax", "x"),
        node("bert/encoder/layer_0/intermediate/dense/Relu", "Relu", "x"),
        node("bert/encoder/layer_0/add", "AddV2", _IN + "Reshape", "y"),
    )
    return [nodes, field(1, 1) + field(2, nodes)]


def graph_cases() -> Iterator[Case]:
    """Graphs that lead a reader astray; they may be refused or read, in time."""
    nan = (
        field(1, 1)
        + field(2, field(2, field(1, 3)))
        + field(4, struct.pack("<3f", *[float("nan")] * 3))
    )
    infinite = field(1, 1) + field(4, struct.pack("<f", float("inf")))
    tiny = field(1, 1) + field(4, struct.pack("<f", 1e-45))
    for name, value in (("NaN", nan), ("infinity", infinite), ("nearly zero", tiny)):
        shaped = node(_IN + "Reshape", "Reshape", "x", _IN + "c")
        scaled = node(_IN + "Mul", "Mul", "x", _IN + "c")
        yield (
            f"a shape of {name}",
            meta(node(_IN + "c", "Const", value=value), shaped, scaled),
            "?",
        )
    ring = node(_IN + "p", "Pack", *[_IN + "p"] * 8)
    reshape = node(_IN + "Reshape", "Reshape", "x", _IN + "p")
    yield "a shape of itself", meta(ring, reshape), "?"
    chain = [node(f"{_IN}{n}", "Identity", f"{_IN}{n + 1}") for n in range(8_000)]
    asked = [node(f"{_IN}query/{n}", "MatMul", f"{_IN}{n}") for n in range(8_000)]
    yield "a chain with 8,000 questions", meta(*chain, *asked), "?"
    pairs = [node(f"{_IN}{n}", "Identity", f"{_IN}{n ^ 1}") for n in range(8_000)]
    yield "4,000 rings", meta(*pairs, *asked), "?"
    fan = [node(f"{_IN}{n}", "Identity", f"{_IN}{max(0, n - 1)}") for n in range(8_000)]
    roots = [node(f"{_IN}query/{n}", "MatMul", f"r{n}") for n in range(8_000)]
    fed = [node(f"{_IN}0", "Identity", *[f"r{n}" for n in range(8_000)])]
    yield "8,000 origins of one chain", meta(*fan[1:], *roots, *fed), "?"
    yield "a million nodes", meta(field(1, field(1, b"a")) * 1_000_000), "more than"


def small_object_graph() -> bytes:
    """TrackableObjectGraph with one variable."""
    variable = field(1, b"VARIABLE_VALUE") + field(2, b"bert/x") + field(3, b"model/x/.ATTRIBUTES")
    return field(1, field(1, field(1, 1) + field(2, b"model")) + field(2, variable))
