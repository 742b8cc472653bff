"""An ONNX file as plain data: nodes in their order, initializers as views of the mapped file.

Read from the bytes of the protocol buffers, without the onnx package. Field numbers: onnx.proto3
of github.com/onnx/onnx. Functions of the file are written out. The order of the nodes is checked,
so that walking from a value to what it is made of always ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from albertkit.checkpoint.families.onnx.tensors import Stored, Tensors, bad, extend
from albertkit.checkpoint.formats import protobuf_wire
from albertkit.checkpoint.formats.memory_map import map_file

# Bounds far above any ALBERT: the largest has some 5,000 nodes with 30 fields each.
_MAX_FIELDS = 600_000
_MAX_NODES = 30_000
_MAX_INLINED = 60_000
_MAX_CALL_DEPTH = 16
_MAX_BYTES_OF_TEXT = 4096
_MAX_NESTED = 4  # graphs inside of nodes


@dataclass(frozen=True)
class Reference:
    """An attribute of a function's node that the caller of the function sets."""

    name: str


Attribute = int | float | bytes | tuple[int, ...] | Stored | Reference


@dataclass(frozen=True)
class Node:
    """One operation. Missing inputs are named ""."""

    op: str  # with its domain before it unless that is ONNX's own
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute]
    nested: bool = False  # it holds graphs; `inputs` has what they take from outside, too

    def __str__(self) -> str:
        shown = self.name or (self.outputs[0] if self.outputs else "")
        return f"{self.op} {shown[:120]!r}"


@dataclass(frozen=True)
class Function:
    """Operations under one name, which nodes use as if they were one."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    defaults: dict[str, Attribute]
    nodes: tuple[Node, ...]


@dataclass
class Graph:
    """A whole graph; `tensors` holds initializers and the values of Constant nodes by name."""

    inputs: dict[str, int] = field(default_factory=dict)  # name: number of axes, 0 if unknown
    outputs: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Stored] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)  # by `Node.op`
    files: list[Path] = field(default_factory=list)
    producer: str = ""  # the program that wrote it


def read(path: Path) -> Graph:
    """Read a model file, and the external data beside it that it names.

    Raises:
        CheckpointError: damaged, too large to be an ALBERT, not in order, or with parts that no
            exported ALBERT has.
    """
    return _Reader(path).graph()


def _inlined(graph: Graph) -> Iterator[Node]:
    """Every node, functions replaced by what they do."""
    waiting = [(node, 0) for node in reversed(graph.nodes)]
    count = 0
    while waiting:
        node, depth = waiting.pop()
        function = graph.functions.get(node.op)
        count += 1
        if count > _MAX_INLINED or depth > _MAX_CALL_DEPTH:
            raise bad("functions that call one another without end")
        if function is None:
            yield node
            continue
        inside = _called(node, function, f"{node.op}.{count}/")
        waiting += [(part, depth + 1) for part in reversed(inside)]


def _called(node: Node, function: Function, prefix: str) -> list[Node]:
    """The nodes of a function for one use of it."""
    names = dict.fromkeys(function.inputs, "")
    names |= dict(zip(function.inputs, node.inputs, strict=False))
    given = {**function.defaults, **node.attributes}
    ends = dict(zip(function.outputs, node.outputs, strict=False))
    nodes = []
    for part in function.nodes:
        inputs = tuple(names.get(name, "") for name in part.inputs)
        for name in part.outputs:
            names[name] = ends.get(name) or (prefix + name if name else "")
        attributes = {
            key: given[value.name] if isinstance(value, Reference) else value
            for key, value in part.attributes.items()
            if not isinstance(value, Reference) or value.name in given
        }
        if part.op == "Constant":
            attributes = _constant(attributes)
        outputs = tuple(names[name] for name in part.outputs)
        nodes.append(replace(part, inputs=inputs, outputs=outputs, attributes=attributes))
    for name, end in ends.items():  # an output that is one of the inputs
        if name in function.inputs and end:
            nodes.append(Node("Identity", node.name, (names[name],), (end,), {}))
    return nodes


def check_order(graph: Graph) -> None:
    """Every value is made once, before it is used: then no walk can turn in circles.

    Raises:
        CheckpointError: a value is used before it is made, made twice, or not at all.
    """
    known = {"", *graph.inputs, *graph.tensors}
    for node in graph.nodes:
        for name in node.inputs:
            if name not in known:
                raise bad(f"{node} uses {name[:80]!r}, which nothing makes before it")
        for name in filter(None, node.outputs):
            if name in known:
                raise bad(f"{name[:80]!r} is made twice")
            known.add(name)
    missing = [name for name in graph.outputs if name not in known or not name]
    if missing or not graph.outputs:
        raise bad(f"outputs that nothing makes: {', '.join(missing)[:200] or 'there are none'}")


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.fields = protobuf_wire.Limited(_MAX_FIELDS)  # in all messages of the file
        self.nodes_left = _MAX_NODES
        self.values = Tensors(path, self.fields)
        self.result = Graph()

    def graph(self) -> Graph:
        data = map_file(self.path)
        graphs, producer = [], {2: "", 3: ""}
        for number, value in self.fields(memoryview(data.data)):
            if number == 7:
                graphs.append(protobuf_wire.message(value))
            elif number in producer:
                producer[number] = protobuf_wire.text(value)[:80]
            elif number == 25:
                self._add_function(protobuf_wire.message(value))
        if len(graphs) != 1:
            raise bad(f"{len(graphs)} graphs")
        self.result.producer = " ".join(filter(None, producer.values()))
        self._read_graph(graphs[0])
        self.result.files = [self.path, *self.values.files]
        nodes, self.result.nodes = list(_inlined(self.result)), []
        for node in nodes:
            constant = node.attributes.get("value") if node.op == "Constant" else None
            if isinstance(constant, Stored) and len(node.outputs) == 1:
                self._add_tensor(node.outputs[0], constant)
            else:
                self.result.nodes.append(node)
        check_order(self.result)
        return self.result

    def _read_graph(self, data: memoryview) -> None:
        inputs: dict[str, int] = {}
        for number, value in self.fields(data):
            if number == 1:
                self.result.nodes.append(self._node(protobuf_wire.message(value)))
            elif number == 5:
                self._add_tensor(*self.values.read(protobuf_wire.message(value)))
            elif number == 11:
                name, axes = self._value(protobuf_wire.message(value))
                if name in inputs:
                    raise bad("two inputs of one name")
                inputs[name] = axes
            elif number == 12:
                self.result.outputs.append(self._value(protobuf_wire.message(value))[0])
            elif number == 15:
                raise bad("sparse tensors")
        # Old files list every initializer among the inputs as well.
        self.result.inputs = {x: y for x, y in inputs.items() if x not in self.result.tensors}

    def _add_tensor(self, name: str, tensor: Stored) -> None:
        if not name or name in self.result.tensors:
            raise bad(f"a tensor without a name of its own: {name[:80]!r}")
        self.result.tensors[name] = tensor

    def _value(self, message: memoryview) -> tuple[str, int]:
        """A ValueInfoProto: its name and number of axes, 0 where the file does not say."""
        name, axes = "", 0
        for number, value in self.fields(message):
            if number == 1:
                name = protobuf_wire.text(value)
            elif number == 2:
                axes = self._axes(protobuf_wire.message(value))
        if not name:
            raise bad("a value without a name")
        return name, axes

    def _axes(self, kind: memoryview) -> int:
        """How many axes a TypeProto has: tensor_type (1), shape (2), one dim (1) for each."""
        shapes = [
            protobuf_wire.message(shape)
            for number, tensor in self.fields(kind)
            if number == 1
            for place, shape in self.fields(protobuf_wire.message(tensor))
            if place == 2
        ]
        return sum(number == 1 for shape in shapes for number, _ in self.fields(shape))

    def _node(self, message: memoryview, depth: int = 0) -> Node:
        self.nodes_left -= 1
        if self.nodes_left < 0:
            raise bad(f"more than {_MAX_NODES} nodes")
        texts: dict[int, list[str]] = {number: [] for number in (1, 2, 3, 4, 7, 8)}
        attributes: dict[str, Attribute] = {}
        captured: list[str] = []
        nested = False
        for number, value in self.fields(message):
            if number in texts:
                texts[number].append(protobuf_wire.text(value))
            elif number == 5:
                name, attribute, graphs = self._attribute(protobuf_wire.message(value))
                if attribute is not None:
                    attributes[name] = attribute
                for graph in graphs:
                    nested = True
                    captured += self._captured(graph, depth + 1)
        if not texts[2] or not texts[2][0]:
            raise bad(f"a node {''.join(texts[4])[:80]!r} that makes nothing")
        op, domain, name, overload = ("".join(texts[number]) for number in (4, 7, 3, 8))
        op = _full_name(domain, op, overload)
        if op == "Constant":
            attributes = _constant(attributes)
        inputs = (*texts[1], *dict.fromkeys(captured))
        return Node(op, name, inputs, tuple(texts[2]), attributes, nested)

    def _captured(self, graph: memoryview, depth: int) -> list[str]:
        """Names that a graph inside of a node takes from outside.

        Raises:
            CheckpointError: it has weights of its own, or graphs too deep inside of one another.
        """
        if depth > _MAX_NESTED:
            raise bad("graphs inside of graphs inside of graphs")
        made: set[str] = {""}
        taken: list[str] = []
        for number, value in self.fields(graph):
            if number == 1:
                node = self._node(protobuf_wire.message(value), depth)
                taken += [name for name in node.inputs if name not in made]
                made.update(node.outputs)
                if any(isinstance(x, Stored) and x.is_weight for x in node.attributes.values()):
                    raise bad(f"weights inside of a graph inside of a node, in {node}")
            elif number == 5:
                name, tensor = self.values.read(protobuf_wire.message(value))
                if tensor.is_weight:
                    raise bad(f"weights inside of a graph inside of a node: {name[:80]!r}")
                made.add(name)
            elif number == 11:
                made.add(self._value(protobuf_wire.message(value))[0])
            elif number == 12:
                name, _ = self._value(protobuf_wire.message(value))
                taken += [] if name in made else [name]
        return [name for name in taken if name not in made]

    def _attribute(self, message: memoryview) -> tuple[str, Attribute | None, list[memoryview]]:
        """Name, value and graphs; None for texts in lists and other things that nothing reads."""
        name = ""
        value: Attribute | None = None
        numbers: list[int] = []
        floats: list[float] = []
        graphs: list[memoryview] = []
        kind = 0
        for number, found in self.fields(message):
            if number == 1:
                name = protobuf_wire.text(found)
            elif number == 2:
                value = float(_floats(found)[0])
            elif number == 3:
                value = protobuf_wire.signed(protobuf_wire.number(found))
            elif number == 4:
                value = bytes(protobuf_wire.message(found)[:_MAX_BYTES_OF_TEXT])
            elif number == 5:
                value = self.values.read(protobuf_wire.message(found))[1]
            elif number in (6, 11):
                graphs.append(protobuf_wire.message(found))
            elif number == 7:
                floats += [float(x) for x in _floats(found)]
            elif number == 8:
                extend(numbers, found)
            elif number == 20:
                kind = protobuf_wire.number(found)
            elif number == 21 and protobuf_wire.text(found):
                value = Reference(protobuf_wire.text(found))
        if kind == 7 or numbers:  # a list of numbers, perhaps an empty one
            value = tuple(numbers)
        elif kind == 6 or floats:
            value = Stored("float32", np.array(floats, "<f4"))
        return name, value, graphs

    def _add_function(self, message: memoryview) -> None:
        """A FunctionProto."""
        texts: dict[int, list[str]] = {number: [] for number in (1, 4, 5, 10, 13)}
        defaults: dict[str, Attribute] = {}
        nodes = []
        for number, value in self.fields(message):
            if number in texts:
                texts[number].append(protobuf_wire.text(value))
            elif number == 7:
                nodes.append(self._node(protobuf_wire.message(value)))
            elif number == 11:
                name, default, _ = self._attribute(protobuf_wire.message(value))
                if default is not None:
                    defaults[name] = default
        op = _full_name("".join(texts[10]), "".join(texts[1]), "".join(texts[13]))
        if op in self.result.functions:
            raise bad(f"two functions {op[:80]!r}")
        inputs, outputs = tuple(texts[4]), tuple(texts[5])
        self.result.functions[op] = Function(inputs, outputs, defaults, tuple(nodes))


def _full_name(domain: str, op: str, overload: str) -> str:
    op = op if domain in ("", "ai.onnx") else f"{domain}.{op}"
    return f"{op}:{overload}" if overload else op


def _floats(value: int | memoryview) -> np.ndarray:
    """float32 numbers of a field, one or many."""
    found = protobuf_wire.message(value)
    if len(found) % 4 or not found or len(found) > _MAX_BYTES_OF_TEXT:
        raise protobuf_wire.damaged(f"floats of {len(found)} bytes", 0)
    return np.frombuffer(found, "<f4")


def _constant(attributes: dict[str, Attribute]) -> dict[str, Attribute]:
    """What a Constant holds, always as an array named `value`; nothing for texts."""
    for value in attributes.values():
        if isinstance(value, Stored):
            return {"value": value}
        if isinstance(value, float):
            return {"value": Stored("float32", np.array(value, "<f4"))}
        if isinstance(value, int | tuple):
            return {"value": Stored("int64", np.array(value, "<i8"))}
        if isinstance(value, Reference):
            return {"value": value}
    return {}
