"""Writes ONNX files for tests: bytes of the protocol buffers, and an ALBERT with known weights.

Field numbers: onnx.proto3 of github.com/onnx/onnx. Nothing of albertkit is used, so that what is
read can be compared with what was put in.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable

import numpy as np

KINDS = {"float32": 1, "int64": 7, "int32": 6, "float16": 10, "float64": 11, "bool": 9}


def varint(value: int) -> bytes:
    """A whole number as it lies in the file."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | float | str | bytes) -> bytes:
    """One field of a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, array: np.ndarray, *more: bytes, raw: bool = True) -> bytes:
    """A TensorProto; `more` are fields behind."""
    array = np.asarray(array)
    head = b"".join(field(1, size) for size in array.shape)
    head += field(2, KINDS[str(array.dtype)]) + field(8, name)
    return head + (field(9, array.tobytes()) if raw else b"") + b"".join(more)


def attribute(name: str, value: object) -> bytes:
    """An AttributeProto."""
    head = field(1, name)
    if isinstance(value, float):
        return head + field(2, value) + field(20, 1)
    if isinstance(value, int):
        return head + field(3, value) + field(20, 2)
    if isinstance(value, str):
        return head + field(4, value) + field(20, 3)
    if isinstance(value, bytes):  # a graph
        return head + field(6, value) + field(20, 5)
    if isinstance(value, np.ndarray):
        return head + field(5, tensor("", value)) + field(20, 4)
    assert isinstance(value, list)
    return head + b"".join(field(8, number) for number in value) + field(20, 7)


def node(op: str, inputs: Iterable[str], outputs: Iterable[str], **attributes: object) -> bytes:
    """A NodeProto; the key `domain` is not an attribute."""
    domain = attributes.pop("domain", None)
    data = b"".join(field(1, name) for name in inputs)
    data += b"".join(field(2, name) for name in outputs) + field(4, op)
    data += b"".join(field(5, attribute(key, value)) for key, value in attributes.items())
    return data + (field(7, domain) if isinstance(domain, str) else b"")


def value(name: str, sizes: list[int | str] | None = None) -> bytes:
    """A ValueInfoProto of whole numbers."""
    if sizes is None:
        return field(1, name)
    dims = b"".join(field(1, field(1 if isinstance(size, int) else 2, size)) for size in sizes)
    return field(1, name) + field(2, field(1, field(1, 7) + field(2, dims)))


def model(
    nodes: Iterable[bytes],
    tensors: Iterable[bytes] = (),
    inputs: Iterable[bytes] = (),
    outputs: Iterable[bytes] = (),
    functions: Iterable[bytes] = (),
) -> bytes:
    """A ModelProto."""
    graph = b"".join(field(1, x) for x in nodes) + b"".join(field(5, x) for x in tensors)
    graph += b"".join(field(11, x) for x in inputs) + b"".join(field(12, x) for x in outputs)
    return field(1, 8) + field(7, graph) + b"".join(field(25, x) for x in functions)


class Albert:
    """Writes the graph of an ALBERT, as short as one can be.

    blocks: for each layer (and inner place) the number of the block whose weights it uses. Every
    weight is random; `state` has them by (number of the block or None, name).
    """

    def __init__(
        self,
        blocks: list[int],
        *,
        narrow: int = 4,
        wide: int = 8,
        heads: int = 2,
        activation: str = "Relu",
        project: bool = True,
        copies: bool = False,
        norm: str = "LayerNormalization",
    ) -> None:
        self.random = np.random.default_rng(7)
        self.nodes: list[bytes] = []
        self.tensors: list[bytes] = []
        self.state: dict[tuple[int | None, str], np.ndarray] = {}
        self.names: dict[tuple[int | None, str], str] = {}
        self.counter = itertools.count(1000)
        self.copies, self.wide, self.heads, self.norm = copies, wide, heads, norm
        inputs = ["ids", "types"]
        tables = {"word": (11, narrow), "position": (6, narrow), "segment": (2, narrow)}
        places = np.arange(5)[None]
        self.tensors.append(tensor("places", places))
        rows = [
            self.node("Gather", self.weight(None, name, shape), index)
            for (name, shape), index in zip(tables.items(), ("ids", "places", "types"), strict=True)
        ]
        x = self.add_norm(None, "norm", narrow, self.node("Add", rows[0], rows[1]), rows[2])
        if project:
            x = self.linear(None, "projection", narrow, wide, x)
        for block in blocks:
            x = self.layer(block, x, activation)
        self.last = x
        self.inputs = [value(name, ["rows", 5]) for name in inputs]

    def bytes(self, *outputs: str) -> bytes:
        """The whole file."""
        ends = [value(name) for name in outputs or (self.last,)]
        return model(self.nodes, self.tensors, self.inputs, ends)

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        """Add an operation; its output."""
        out = f"v{next(self.counter)}"
        self.nodes.append(node(op, inputs, [out], **attributes))
        return out

    def weight(self, block: int | None, name: str, shape: tuple[int, ...]) -> str:
        """The name of a weight in the file."""
        key = block, name
        if key not in self.state:
            self.state[key] = self.random.normal(size=shape).astype(np.float32)
        if key not in self.names or self.copies:
            self.names[key] = f"t{next(self.counter)}"
            self.tensors.append(tensor(self.names[key], self.state[key]))
        return self.names[key]

    def number(self, array: object) -> str:
        """A constant."""
        name = f"c{next(self.counter)}"
        self.tensors.append(tensor(name, np.asarray(array)))
        return name

    def linear(self, block: int | None, name: str, inside: int, outside: int, x: str) -> str:
        """A map with a bias."""
        product = self.node("MatMul", x, self.weight(block, f"{name}.weight", (inside, outside)))
        return self.node("Add", product, self.weight(block, f"{name}.bias", (outside,)))

    def add_norm(self, block: int | None, name: str, width: int, x: str, y: str) -> str:
        """A sum, normalised."""
        total = self.node("Add", x, y)
        scale = self.weight(block, f"{name}.weight", (width,))
        shift = self.weight(block, f"{name}.bias", (width,))
        return self.node(self.norm, total, scale, shift, epsilon=1e-6)

    def layer(self, block: int, x: str, activation: str) -> str:
        """Attention and feed-forward."""
        shape = self.number(np.array([0, 0, self.heads, self.wide // self.heads]))
        parts = {}
        for part in ("query", "key", "value"):
            flat = self.linear(block, part, self.wide, self.wide, x)
            turn = [0, 2, 3, 1] if part == "key" else [0, 2, 1, 3]
            parts[part] = self.node("Transpose", self.node("Reshape", flat, shape), perm=turn)
        scores = self.node("MatMul", parts["query"], parts["key"])
        scale = self.number(np.float32((self.wide // self.heads) ** -0.5))
        shares = self.node("Softmax", self.node("Mul", scores, scale), axis=-1)
        mixed = self.node(
            "Transpose", self.node("MatMul", shares, parts["value"]), perm=[0, 2, 1, 3]
        )
        mixed = self.node("Reshape", mixed, self.number(np.array([0, 0, self.wide])))
        mixed = self.linear(block, "output", self.wide, self.wide, mixed)
        middle = self.add_norm(block, "attention.norm", self.wide, x, mixed)
        inner = self.node(activation, self.linear(block, "up", self.wide, 12, middle))
        inner = self.linear(block, "down", 12, self.wide, inner)
        return self.add_norm(block, "feed_forward.norm", self.wide, middle, inner)
