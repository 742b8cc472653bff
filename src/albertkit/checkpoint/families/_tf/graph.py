"""What a TensorFlow graph says of an ALBERT that its config may have wrong or leave out.

A `.meta` file (MetaGraphDef) or a `saved_model.pb` holds every operation by name. Nothing is run:
names, kinds and connections give the number of heads, the activation and the order of norms.
Field numbers: tensorflow/core/framework/{graph,node_def,attr_value,tensor}.proto and
core/protobuf/{meta_graph,saved_model}.proto.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from albertkit.checkpoint.formats import protobuf_wire
from albertkit.checkpoint.formats.memory_map import map_file
from albertkit.errors import CheckpointError

MAX_FIELDS = 300_000  # a training graph of 24 layers has some 100,000 that are looked at
_CONSTANT_BYTES = 1024  # longer ones are tables, no shapes
# These hand numbers on as they are, in another shape.
_SHAPE_OPS = {"Reshape", "Identity", "ExpandDims", "Squeeze", "Transpose", "StopGradient", "Cast"}
_ADDS = {"Add", "AddV2", "AddN"}
_PRODUCTS = {"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "XlaEinsum"}
_SELF = re.compile(r"/self(_\d+)?/")
_QUERY = re.compile(r"/self(_\d+)?/query(_\d+)?/")
_INTERMEDIATE = re.compile(r"/intermediate(_\d+)?/(?!output)")
_INNER = re.compile(r"/inner_group_(\d+)(?:_\d+)?/")
_GROUP = re.compile(r"/group_(\d{1,6})/")


@dataclass(frozen=True)
class GraphFacts:
    """What a graph shows; None where it does not show it, or not everywhere the same."""

    num_attention_heads: int | None = None
    hidden_act: str | None = None
    norm_order: str | None = None
    num_hidden_layers: int | None = None
    num_hidden_groups: int | None = None


@dataclass
class _Node:
    """An operation of the encoder. attributes are not parsed before they are needed."""

    name: str
    op: str = ""
    inputs: list[str] = field(default_factory=list)
    attributes: list[memoryview] = field(default_factory=list)


_Graph = dict[str, _Node]
_T = TypeVar("_T", int, str)


def read_graph(path: Path, hidden_size: int) -> GraphFacts:
    """Facts of a graph file.

    Args:
        path: `*.meta`, or `saved_model.pb`.
        hidden_size: H; shapes (heads, H / heads) are looked for.

    Raises:
        CheckpointError: damaged, or larger than any graph of an ALBERT.
    """
    data = map_file(path).data
    fields = protobuf_wire.Limited(MAX_FIELDS)
    metas = [data]
    if path.suffix == ".pb":
        metas = [protobuf_wire.message(value) for number, value in fields(data) if number == 2]
    facts = []
    for meta in metas:
        for number, value in fields(meta):
            if number == 2:
                graph = {node.name: node for node in _nodes(protobuf_wire.message(value), fields)}
                facts.append(_facts(graph, hidden_size))
    return GraphFacts(
        num_attention_heads=_agreed(one.num_attention_heads for one in facts),
        hidden_act=_agreed(one.hidden_act for one in facts),
        norm_order=_agreed(one.norm_order for one in facts),
        num_hidden_layers=_agreed(one.num_hidden_layers for one in facts),
        num_hidden_groups=_agreed(one.num_hidden_groups for one in facts),
    )


def _nodes(graph: memoryview, fields: protobuf_wire.Limited) -> Iterator[_Node]:
    """The operations of the encoder's forward pass."""
    for number, value in fields(graph):
        if number != 1:
            continue
        node = _Node("")
        for part, content in fields(protobuf_wire.message(value)):
            if part == 1:
                node.name = protobuf_wire.text(content)
                if "/encoder/" not in node.name or "gradients" in node.name:
                    break
            elif part == 2:
                node.op = protobuf_wire.text(content)
            elif part == 3:
                node.inputs.append(protobuf_wire.text(content))
            elif part == 5 and len(protobuf_wire.message(content)) <= _CONSTANT_BYTES:
                node.attributes.append(protobuf_wire.message(content))
        if node.op:
            yield node


def _facts(graph: _Graph, hidden_size: int) -> GraphFacts:
    return GraphFacts(
        num_attention_heads=_heads(graph, hidden_size),
        hidden_act=_activation(graph),
        norm_order=_norm_order(graph),
        num_hidden_layers=_layers(graph),
        num_hidden_groups=_groups(graph),
    )


def _agreed(values: Iterator[_T | None]) -> _T | None:
    """The one value that is found, if no other is."""
    found = {value for value in values if value is not None}
    return found.pop() if len(found) == 1 else None


def _heads(graph: _Graph, hidden_size: int) -> int | None:
    """From the shapes that part H into heads; else from the factor before the softmax."""
    shaped = set()
    for node in graph.values():
        if node.op == "Reshape" and _SELF.search(node.name) and len(node.inputs) > 1:
            *_, heads, width = [0, 0, *_vector(graph, node.inputs[1])]
            if heads > 0 and width > 0 and heads * width == hidden_size:
                shaped.add(heads)
    if len(shaped) == 1:
        return shaped.pop()
    widths = set()
    for node in graph.values():
        if node.op == "Mul" and _SELF.search(node.name) and len(node.inputs) > 1:
            factor = _scalar(graph, node.inputs[1])
            if factor is not None and 0 < factor <= 1:
                widths.add(round(factor**-2))
    found = {hidden_size // w for w in widths if 0 < w <= hidden_size and hidden_size % w == 0}
    if shaped:  # (1, H) may be one row of a batch
        found &= shaped
    return found.pop() if len(found) == 1 else None


def _activation(graph: _Graph) -> str | None:
    """From the kinds of operation in the scope of the feed-forward's first half."""
    ops = {node.op for name, node in graph.items() if _INTERMEDIATE.search(name)}
    curved = ops & {"Relu", "Tanh", "Erf", "Sigmoid"}
    if len(curved) != 1:
        return None
    if curved == {"Tanh"}:
        return "gelu_tanh" if ops & {"Pow", "Mul"} else "tanh"
    if curved == {"Sigmoid"}:
        return "silu" if "Mul" in ops else None
    return {"Relu": "relu", "Erf": "gelu_erf"}[curved.pop()]


def _norm_order(graph: _Graph) -> str | None:
    """Whether attention reads what the residual sum reads (post), or something of its own (pre)."""
    added = _added(graph)
    origins: dict[str, str] = {}
    orders = set()
    for node in graph.values():
        if node.op not in _PRODUCTS or not _QUERY.search(node.name) or not node.inputs:
            continue
        origin = _origin(graph, node.inputs[0], origins)
        orders.add("post" if origin in added else "pre")
    return orders.pop() if len(orders) == 1 else None


def _origin(graph: _Graph, name: str, known: dict[str, str]) -> str:
    """The operation that made the numbers, behind changes of their shape.

    known: answers so far. They make the time linear: a hostile graph is one long chain, or a ring.
    """
    name = _plain(name)
    passed = []
    while name not in known:
        known[name] = name  # where a ring closes, it is its own origin
        node = graph.get(name)
        if node is None or node.op not in _SHAPE_OPS or not node.inputs:
            break
        passed.append(name)
        name = _plain(node.inputs[0])
    known.update(dict.fromkeys(passed, known[name]))
    return known[name]


def _added(graph: _Graph) -> set[str]:
    """Everything that a residual sum takes, perhaps in another shape."""
    waiting = [_plain(x) for node in graph.values() if node.op in _ADDS for x in node.inputs]
    added = set(waiting)
    while waiting:
        node = graph.get(waiting.pop())
        if node is not None and node.op in _SHAPE_OPS:
            new = {_plain(name) for name in node.inputs} - added
            added |= new
            waiting.extend(new)
    return added


def _layers(graph: _Graph) -> int | None:
    """Number of softmaxes, for each time that the model stands in the graph."""
    towers: Counter[str] = Counter()
    inner: dict[str, set[str]] = {}
    for name, node in graph.items():
        if node.op == "Softmax" and _SELF.search(name):
            tower = name.split("/encoder/")[0]
            towers[tower] += 1
            place = _INNER.search(name)
            inner.setdefault(tower, set()).add(place[1] if place else "0")
    counts = {count / len(inner[tower]) for tower, count in towers.items()}
    count = counts.pop() if len(counts) == 1 else 0.5
    return int(count) if count == int(count) else None


def _groups(graph: _Graph) -> int | None:
    """Highest number of a group of variables, and one more."""
    numbers = [
        int(found[1])
        for name, node in graph.items()
        if node.op.startswith("Var") and (found := _GROUP.search(name))
    ]
    return max(numbers) + 1 if numbers else None


def _plain(name: str) -> str:
    """An input without the number of the output it is."""
    return name.removeprefix("^").split(":")[0]


def _vector(graph: _Graph, name: str) -> list[int]:
    """A shape as numbers, 0 for those that are known only when the graph runs."""
    node = graph.get(_plain(name))
    if node is None:
        return []
    if node.op == "Pack":
        parts = [_whole(graph.get(_plain(part))) for part in node.inputs[:8]]
        return [part[0] if len(part) == 1 else 0 for part in parts]
    return _whole(node)


def _whole(node: _Node | None) -> list[int]:
    """A constant of integers; empty for anything else."""
    values = _constant(node) if node is not None and node.op == "Const" else []
    return [value for value in values if isinstance(value, int)]


def _scalar(graph: _Graph, name: str) -> float | None:
    node = graph.get(_plain(name))
    values = _constant(node) if node is not None and node.op == "Const" else []
    return float(values[0]) if len(values) == 1 else None


def _constant(node: _Node) -> list[float]:
    """A short constant of int32, int64 or float32; empty for any other."""
    for attribute in node.attributes:
        parts = dict(protobuf_wire.fields(attribute))
        if protobuf_wire.text(parts.get(1, memoryview(b""))) != "value" or 2 not in parts:
            continue
        value = dict(protobuf_wire.fields(protobuf_wire.message(parts[2])))
        if 8 in value:
            return _tensor(protobuf_wire.message(value[8]))
    return []


def _tensor(data: memoryview) -> list[float]:
    """Up to eight numbers of a TensorProto, packed or not; a last one may stand for the rest."""
    kind, count, numbers, content = 0, 1, [], b""
    for number, value in protobuf_wire.fields(data):
        if number == 1:
            kind = protobuf_wire.number(value)
        elif number == 2:
            for axis, size in protobuf_wire.fields(protobuf_wire.message(value)):
                sizes = [
                    v
                    for n, v in protobuf_wire.fields(protobuf_wire.message(size))
                    if n == 1 and axis == 2
                ]
                count *= protobuf_wire.number(sizes[0]) if sizes else 1
        elif number == 4:
            content = bytes(protobuf_wire.message(value)[:64])
        elif number in (5, 7, 10):
            numbers += _packed(number, value)
    code, width = {1: ("f", 4), 3: ("i", 4), 9: ("q", 8)}.get(kind, ("", 0))
    if not width or not 1 <= count <= 8:
        return []
    if content:
        return (
            list(struct.unpack(f"<{count}{code}", content)) if len(content) == count * width else []
        )
    return (numbers + numbers[-1:] * count)[:count] or [0.0] * count


def _packed(number: int, value: int | memoryview) -> list[float]:
    """Numbers of a repeated field in either of its forms."""
    if isinstance(value, int):
        return [protobuf_wire.signed(value)]
    if number == 5:
        size = len(value) // 4 * 4
        return list(struct.unpack(f"<{min(size // 4, 8)}f", value[: min(size, 32)]))
    numbers: list[float] = []
    place = 0
    while place < len(value) and len(numbers) < 8:
        item, place = protobuf_wire.varint(value, place)
        numbers.append(protobuf_wire.signed(item))
    return numbers


def graph_beside(prefix: Path) -> Path | None:
    """The graph file of a checkpoint: PREFIX.meta, or saved_model.pb above a `variables` folder."""
    places = [prefix.with_name(prefix.name + ".meta")]
    if prefix.parent.name == "variables":
        places.append(prefix.parent.parent / "saved_model.pb")
    return next((place for place in places if place.is_file()), None)


def facts_beside(prefix: Path, hidden_size: int) -> tuple[GraphFacts, Path | None, list[str]]:
    """Facts of the graph beside a checkpoint, its file, and what is wrong with it.

    A damaged graph is no reason to refuse good weights: it is named, and not used.
    """
    path = graph_beside(prefix)
    if path is None:
        return GraphFacts(), None, []
    try:
        return read_graph(path, hidden_size), path, []
    except CheckpointError as error:
        return GraphFacts(), None, [f"{path.name} is not used: {error.facts.get('found')}"]
