"""A graph with its functions written out, and fused operations as the plain ones they stand for.

The dynamo exporter may leave functions in the file. onnxruntime's optimizer joins nodes to
operations of its own (docs/ContribOperators.md of github.com/microsoft/onnxruntime).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from albertkit.checkpoint.families.onnx.graph import (
    Attribute,
    Function,
    Graph,
    Node,
    Reference,
    check_order,
)
from albertkit.checkpoint.families.onnx.run import POSITIONS
from albertkit.checkpoint.families.onnx.tensors import Stored, bad
from albertkit.errors import CheckpointError

_MOST_NODES = 60_000
_DEEPEST_CALL = 16
_THEIRS = "com.microsoft."
# Any of these says that weights are no longer those that were trained.
_QUANTIZED = (
    *("MatMulInteger", "ConvInteger", "DynamicQuantizeLinear", "QuantizeLinear"),
    *("DequantizeLinear", "QLinearMatMul", "QLinearConv", "QLinearAdd", "QAttention"),
    *("QEmbedLayerNormalization", "QOrderedMatMul", "QOrderedAttention", "QGemm"),
    *("DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulIntegerToFloat", "MatMulNBits"),
    *("MatMulBnb4", "QMoE", "GatherBlockQuantized"),
)


def expand(graph: Graph) -> Graph:
    """The same graph of plain operations only.

    Raises:
        CheckpointError: weights are quantized, or functions call one another without end.
    """
    nodes = list(_inlined(graph))
    names = {node.op.removeprefix(_THEIRS).split(":")[0] for node in nodes}
    quantized = sorted(names & set(_QUANTIZED))
    if quantized:
        raise CheckpointError(
            "The weights of this ONNX file are quantized: the numbers that were trained are lost.",
            expected="a file in float32, float16 or bfloat16",
            found=", ".join(quantized),
            fix="take the file from before the quantization",
        )
    plain = _Plain(graph)
    for node in nodes:
        write = _FUSED.get(node.op)
        for part in [node] if write is None else write(node, plain):
            plain.add(part)
    graph.nodes = []
    for node in plain.nodes:
        value = node.attributes.get("value") if node.op == "Constant" else None
        if isinstance(value, Stored) and len(node.outputs) == 1:
            graph.tensors.setdefault(node.outputs[0], value)
        else:
            graph.nodes.append(node)
    check_order(graph)
    return graph


class _Plain:
    """The plain nodes so far."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self._producer: dict[str, str] = {}

    def add(self, node: Node) -> None:
        self.nodes.append(node)
        self._producer.update(dict.fromkeys(node.outputs, node.op))

    def is_product(self, name: str) -> bool:
        """Whether a value comes from a product with nothing added to it."""
        return self._producer.get(name) in ("MatMul", "Gemm", _THEIRS + "FusedMatMul")


def _inlined(graph: Graph) -> Iterator[Node]:
    """Every node, functions replaced by what they do."""
    waiting = [(node, 0) for node in reversed(graph.nodes)]
    count = 0
    while waiting:
        node, depth = waiting.pop()
        function = graph.functions.get(node.op)
        count += 1
        if count > _MOST_NODES or depth > _DEEPEST_CALL:
            raise bad("functions that call one another without end")
        if function is None:
            yield node
            continue
        inside = _called(node, function, f"{node.op}.{count}/")
        waiting += [(part, depth + 1) for part in reversed(inside)]


def _called(node: Node, function: Function, prefix: str) -> list[Node]:
    """The nodes of a function for one use of it."""
    names = dict(zip(function.inputs, node.inputs, strict=False))
    names |= {name: "" for name in function.inputs if name not in names}
    given = {**function.defaults, **node.attributes}
    ends = dict(zip(function.outputs, node.outputs, strict=False))
    nodes = []
    for part in function.nodes:
        inputs = tuple(names.get(name, "") for name in part.inputs)
        for name in part.outputs:
            names[name] = ends.get(name) or (prefix + name if name else "")
        attributes = {}
        for key, value in part.attributes.items():
            found = given.get(value.name) if isinstance(value, Reference) else value
            if found is not None:
                attributes[key] = found
        if part.op == "Constant":
            attributes = _as_tensor(attributes)
        outputs = tuple(names[name] for name in part.outputs)
        nodes.append(replace(part, inputs=inputs, outputs=outputs, attributes=attributes))
    for name, end in ends.items():  # an output that is one of the inputs
        if name in function.inputs and end:
            nodes.append(Node("Identity", node.name, (names[name],), (end,), {}))
    return nodes


def _as_tensor(attributes: dict[str, Attribute]) -> dict[str, Attribute]:
    """A number that the caller gave, as what a Constant holds."""
    value = attributes.get("value")
    if isinstance(value, float):
        return {"value": Stored("float32", np.array(value, "<f4"))}
    if isinstance(value, int | tuple):
        return {"value": Stored("int64", np.array(value, "<i8"))}
    return attributes


def _at(names: tuple[str, ...], place: int) -> str:
    return names[place] if place < len(names) else ""


def _own(node: Node, part: str) -> str:
    """A name for a value inside of a fused operation."""
    return f"{node.outputs[0]}/{part}"


def _gelu(approximate: bytes) -> Callable[[Node, _Plain], list[Node]]:
    """BiasGelu, FastGelu, Gelu: an optional bias before the activation."""

    def write(node: Node, plain: _Plain) -> list[Node]:
        source, bias = _at(node.inputs, 0), _at(node.inputs, 1)
        nodes = []
        if bias:
            summed = _own(node, "sum")
            nodes.append(Node("Add", node.name, (source, bias), (summed,), {}))
            source = summed
        how: dict[str, Attribute] = {"approximate": approximate}
        return [*nodes, Node("Gelu", node.name, (source,), node.outputs, how)]

    return write


def _skip_norm(node: Node, plain: _Plain) -> list[Node]:
    """Two inputs and an optional bias summed, then normalised; the fourth output is the sum."""
    first, second, scale, shift = (_at(node.inputs, place) for place in range(4))
    nodes = []
    if bias := _at(node.inputs, 4):
        # It is that of the map before, which is the input that is no residual.
        if plain.is_product(second) or not plain.is_product(first):
            first, second = second, first
        nodes.append(Node("Add", node.name, (first, bias), (_own(node, "biased"),), {}))
        first = _own(node, "biased")
    nodes.append(Node("Add", node.name, (first, second), (_own(node, "sum"),), {}))
    if total := _at(node.outputs, 3):
        nodes.append(Node("Identity", node.name, (_own(node, "sum"),), (total,), {}))
    inputs = (_own(node, "sum"), scale, shift)
    eps = {"epsilon": node.attributes.get("epsilon", 1e-12)}
    return [*nodes, Node("LayerNormalization", node.name, inputs, node.outputs[:1], eps)]


def _embed_norm(node: Node, plain: _Plain) -> list[Node]:
    """Three tables looked up, summed and normalised."""
    ids, types, words, positions, segments, scale, shift = (
        _at(node.inputs, place) for place in range(7)
    )
    at = _at(node.inputs, 8)
    word, position, segment, total = (_own(node, part) for part in ("w", "p", "s", "sum"))
    place: tuple[str, ...] = (positions, at)
    op = "Gather"
    if not at:
        op, place = POSITIONS, (positions, ids)
    nodes = [
        Node("Gather", node.name, (words, ids), (word,), {}),
        Node(op, node.name, place, (position,), {}),
    ]
    summed = word, position
    if types and segments:
        nodes.append(Node("Gather", node.name, (segments, types), (segment,), {}))
        nodes.append(Node("Add", node.name, (word, segment), (_own(node, "ws"),), {}))
        summed = _own(node, "ws"), position
    nodes.append(Node("Add", node.name, summed, (total,), {}))
    if more := _at(node.outputs, 2):
        nodes.append(Node("Identity", node.name, (total,), (more,), {}))
    eps = {"epsilon": node.attributes.get("epsilon", 1e-12)}
    inputs = (total, scale, shift)
    nodes.append(Node("LayerNormalization", node.name, inputs, node.outputs[:1], eps))
    if mask := _at(node.outputs, 1):
        nodes.append(Node("a mask", node.name, (), (mask,), {}))
    return nodes


def _packed_attention(node: Node, plain: _Plain) -> list[Node]:
    """Query, key and value from one matrix (H, 3H), then attention."""
    source, weight, bias = (_at(node.inputs, place) for place in range(3))
    graph = plain.graph
    matrix, shift = graph.tensors.get(weight), graph.tensors.get(bias)
    sizes = node.attributes.get("qkv_hidden_sizes")
    if matrix is None or shift is None or matrix.array.ndim != 2:
        raise bad(f"{node} without weights of its own")
    width = matrix.array.shape[1] // 3
    if matrix.array.shape[1] != 3 * width or sizes not in (None, (width,) * 3):
        raise bad(f"{node} with widths {sizes!r}")
    nodes: list[Node] = []
    outputs: list[str] = []
    for number, part in enumerate("qkv"):
        cut = slice(number * width, (number + 1) * width)
        names = [f"{name}[{part}]" for name in (weight, bias)]
        for name, tensor, piece in zip(
            names, (matrix, shift), (matrix.array[:, cut], shift.array[cut]), strict=True
        ):
            graph.tensors[name] = Stored(tensor.dtype, piece)
            graph.parts[name] = (weight if tensor is matrix else bias, "one part of three")
        product, out = _own(node, part + "w"), _own(node, part)
        nodes.append(Node("MatMul", node.name, (source, names[0]), (product,), {}))
        nodes.append(Node("Add", node.name, (product, names[1]), (out,), {}))
        outputs.append(out)
    keys = ("num_heads", "unidirectional", "scale")
    kept = {key: node.attributes[key] for key in keys if key in node.attributes}
    more = [_at(node.inputs, place) for place in (3, 5)]
    inputs = (*outputs, "", *more)
    op = _THEIRS + "MultiHeadAttention"
    return [*nodes, Node(op, node.name, inputs, node.outputs[:1], kept)]


def _multi_head(node: Node, plain: _Plain) -> list[Node]:
    """Attention whose bias holds those of query, key and value one after another."""
    bias = _at(node.inputs, 3)
    graph = plain.graph
    tensor = graph.tensors.get(bias)
    if not bias:
        return [node]
    if tensor is None or tensor.array.ndim != 1 or tensor.array.shape[0] % 3:
        raise bad(f"{node} with a bias that is no constant")
    width = tensor.array.shape[0] // 3
    nodes: list[Node] = []
    outputs: list[str] = []
    for number, part in enumerate("qkv"):
        name = f"{bias}[{part}]"
        graph.tensors[name] = Stored(tensor.dtype, tensor.array[number * width :][:width])
        graph.parts[name] = (bias, "one part of three")
        source = _at(node.inputs, number)
        nodes.append(Node("Add", node.name, (source, name), (_own(node, part),), {}))
        outputs.append(_own(node, part))
    return [*nodes, replace(node, inputs=(*outputs, "", *node.inputs[4:]))]


def _fused_gemm(node: Node, plain: _Plain) -> list[Node]:
    """A product with an activation behind it."""
    name = node.attributes.get("activation", b"")
    op = name.decode("ascii", "replace") if isinstance(name, bytes) else ""
    product = _own(node, "product")
    return [
        replace(node, op="Gemm", outputs=(product,)),
        Node(op, node.name, (product,), node.outputs, {}),
    ]


_FUSED: dict[str, Callable[[Node, _Plain], list[Node]]] = {
    _THEIRS + "BiasGelu": _gelu(b"none"),
    _THEIRS + "Gelu": _gelu(b"none"),
    _THEIRS + "FastGelu": _gelu(b"tanh"),
    _THEIRS + "SkipLayerNormalization": _skip_norm,
    _THEIRS + "EmbedLayerNormalization": _embed_norm,
    _THEIRS + "Attention": _packed_attention,
    _THEIRS + "MultiHeadAttention": _multi_head,
    _THEIRS + "FusedGemm": _fused_gemm,
}
