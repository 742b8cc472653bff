"""The parts of a graph that hold weights, and how numbers flow from one to the next.

An exporter writes a model as thousands of nodes and names weights as it likes. Here each product
with a constant matrix becomes a `Linear`, each look-up in a constant table a `Lookup`, and all
else is what lies between them. Nothing depends on names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from albertkit.checkpoint.families.onnx.graph import Graph, Node
from albertkit.checkpoint.families.onnx.ops import Attributes
from albertkit.checkpoint.families.onnx.run import (
    POSITIONS,
    UNKNOWN,
    Runner,
    Standin,
    Value,
    constant,
)
from albertkit.checkpoint.families.onnx.tensors import FLOATS, Stored, bad
from albertkit.checkpoint.formats.memory_map import Array

# The inputs of the trial: rows, columns and, for multiple choice, choices between them.
_ROWS, _COLUMNS, _CHOICES = 2, 5, 3
_MOST_TOKENS = 4096  # that a graph may ask for in one batch
_MOST_ORIGINS = 160  # maps that one value may be made of
# These hand the numbers of their first input on, in another shape or kind.
_PASS = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Cast", "Dropout"}
_SELECT = {"Gather", "Slice", "GatherND", "GatherElements"}
_FOLDED = {*_PASS, "Transpose"}
_LOOKUPS = {"Gather", "Slice", POSITIONS}
_PRODUCTS = {"MatMul", "com.microsoft.FusedMatMul", "Gemm", "Einsum"}


@dataclass(frozen=True)
class Weight:
    """A tensor of the file as the model uses it: `source` is its name there."""

    source: str
    how: str
    array: Array = field(repr=False)
    dtype: str = "float32"

    @property
    def is_float(self) -> bool:
        """Whether the numbers are fractions."""
        return self.dtype in FLOATS

    def fractions(self) -> Array:
        """float32, a view where the file has them so."""
        return Stored(self.dtype, self.array).fractions()


@dataclass(eq=False)
class Linear:
    """A product with a constant matrix (out, in), and what is added to it.

    source: the value that it reads, before any change of shape; `selected` says that it reads
    only some of it, such as the first token. out: the value behind the bias.
    """

    node: Node
    source: str
    selected: bool
    weight: Weight
    biases: list[Weight] = field(default_factory=list)
    out: str = ""

    @property
    def widths(self) -> tuple[int, int]:
        """Width in, width out."""
        return self.weight.array.shape[1], self.weight.array.shape[0]


@dataclass(eq=False)
class Lookup:
    """Rows of a constant table by their numbers in the value `index`."""

    node: Node
    table: Weight
    index: str
    out: str


class Parts:
    """Everything of a graph that the walk through it needs.

    values: of a trial with small inputs, weights by their shape only. origins: for each value the
    parts' values that it is made of, itself if it is one.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.runner = Runner()
        self.values: dict[str, Value] = {"": None}
        self.producer: dict[str, Node] = {}
        self.users: dict[str, list[Node]] = {}
        self.place: dict[int, int] = {id(node): place for place, node in enumerate(graph.nodes)}
        self.weights: dict[str, Weight] = {}
        self.linears: list[Linear] = []
        self.lookups: list[Lookup] = []
        self.origins: dict[str, frozenset[str]] = {}
        self.made_of: dict[str, frozenset[str]] = {}
        self.given: set[str] = set()  # values that depend on what the caller gives
        self.rows, self.columns = 0, 0  # of the trial
        self._origin: dict[str, tuple[str, bool]] = {}
        self._constants = {"", *graph.tensors}
        self._give_inputs()
        for name, tensor in graph.tensors.items():
            self.values[name] = constant(tensor, whole=False)
            self.weights[name] = _as_weight(graph, name, tensor)
        for node in graph.nodes:
            self._try(node)
        for node in graph.nodes:
            self._recognise(node)
        for linear in self.linears:
            self._add_biases(linear)
        self._trace()

    def _give_inputs(self) -> None:
        for given in self.graph.inputs:
            sizes = given.sizes if given.sizes is not None else (None, None)
            shape = []
            for axis, size in enumerate(sizes):
                usual = _ROWS if axis == 0 else _COLUMNS if axis == len(sizes) - 1 else _CHOICES
                shape.append(size if size is not None and size > 0 else usual)
            if math.prod(shape) > _MOST_TOKENS:
                raise bad(f"an input {given.name[:80]!r} of shape {tuple(shape[:8])}")
            self.values[given.name] = np.ones(shape, np.int64)
            if shape:
                self.rows, self.columns = math.prod(shape[:-1]), shape[-1]

    def _try(self, node: Node) -> None:
        """Run a node on the trial's values; what is only another view of a weight stays one."""
        for name in filter(None, node.inputs):
            self.users.setdefault(name, []).append(node)
        self.producer.update(dict.fromkeys(node.outputs, node))
        self._pass_on(node)
        fixed = all(name in self._constants for name in node.inputs)
        if fixed and not node.nested:
            self._constants.update(node.outputs)
        first = self.weights.get(node.inputs[0]) if node.inputs else None
        if node.op in _FOLDED and fixed and first is not None and first.array.size > 1:
            self._fold(node, first)
            return
        args = [self.values.get(name, UNKNOWN) for name in node.inputs]
        for name, value in zip(node.outputs, self.runner.run(node, args), strict=False):
            self.values[name] = value

    def _fold(self, node: Node, first: Weight) -> None:
        """A weight in another shape is a view of the same numbers."""
        array = first.array
        rest = [self.values.get(name, UNKNOWN) for name in node.inputs[1:]]
        how = first.how
        if node.op == "Transpose":
            turned = self.runner.run(node, [array])[0]
            if not isinstance(turned, np.ndarray):
                return
            array, how = turned, "transposed"
        elif node.op in ("Reshape", "Squeeze", "Unsqueeze", "Flatten"):
            moved = self.runner.run(node, [Standin(array.shape), *rest])[0]
            if not isinstance(moved, Standin):
                return
            array = array.reshape(moved.shape)
        out = node.outputs[0]
        self.weights[out] = Weight(first.source, how, array, first.dtype)
        stored = self.graph.tensors.get(first.source)
        if stored is not None and stored.is_float:
            self.values[out] = Standin(array.shape)
        else:
            self.values[out] = array

    def is_weight(self, name: str) -> bool:
        """Whether a name stands for learned numbers: fractions, and more than one."""
        weight = self.weights.get(name)
        return weight is not None and weight.array.size > 1 and weight.is_float

    def _recognise(self, node: Node) -> None:
        if node.op in _PRODUCTS:
            linear = self._linear(node)
            if linear is not None:
                self.linears.append(linear)
        elif node.op in _LOOKUPS and len(node.inputs) > 1 and self.is_weight(node.inputs[0]):
            table = self.weights[node.inputs[0]]
            if table.array.ndim >= 2 and Attributes(node).number("axis", 0) == 0:
                index = node.inputs[1] if node.op == "Gather" else ""
                self.lookups.append(Lookup(node, table, index, node.outputs[0]))

    def _linear(self, node: Node) -> Linear | None:
        fixed = [self.is_weight(name) for name in node.inputs[:2]]
        if fixed != [False, True] or node.inputs[0] in self._constants:
            return None
        weight = self.weights[node.inputs[1]]
        matrix = _matrix(node, weight.array)
        if matrix is None:
            return None
        source, selected = self.origin(node.inputs[0])
        same = matrix.strides == weight.array.strides and matrix.shape == weight.array.shape
        straight = same == (weight.how != "transposed")
        weight = Weight(
            weight.source, "as it is" if straight else "transposed", matrix, weight.dtype
        )
        linear = Linear(node, source, selected, weight, out=node.outputs[0])
        if node.op == "Gemm" and len(node.inputs) > 2 and node.inputs[2]:
            bias = self._bias(node.inputs[2], len(matrix))
            if bias is None:
                return None
            linear.biases.append(bias)
        return linear

    def _bias(self, name: str, width: int) -> Weight | None:
        """A constant of this width, which may be 1."""
        bias = self.weights.get(name)
        return bias if bias is not None and bias.array.size == width and bias.is_float else None

    def _pass_on(self, node: Node) -> None:
        """Note what a node's output is made of, if it only changes its shape or takes a part."""
        first = node.inputs[0] if node.inputs else ""
        if first and first not in self._constants and node.op in (_PASS | _SELECT):
            name, selected = self.origin(first)
            self._origin[node.outputs[0]] = name, selected or node.op in _SELECT

    def origin(self, name: str) -> tuple[str, bool]:
        """The value behind changes of shape, and whether a part of it was taken."""
        return self._origin.get(name, (name, False))

    def _add_biases(self, linear: Linear) -> None:
        """What is added to a product, as long as it is a constant of its width."""
        name = linear.out
        while len(users := self.users.get(name, [])) == 1 and name not in self.graph.outputs:
            node = users[0]
            if node.op == "Add" and len(node.inputs) == 2:
                other = node.inputs[1] if node.inputs[0] == name else node.inputs[0]
                bias = self._bias(other, len(linear.weight.array))
                if bias is None:
                    return
                linear.biases.append(bias)
                name = linear.out = node.outputs[0]
            elif node.op in _PASS and node.inputs[0] == name:
                name = node.outputs[0]
            else:
                return

    def _trace(self) -> None:
        """For each value the parts that it is made of."""
        outs = {linear.out for linear in self.linears} | {found.out for found in self.lookups}
        ends = outs | {linear.source for linear in self.linears}
        nothing: frozenset[str] = frozenset()
        self.given = {item.name for item in self.graph.inputs}
        for node in self.graph.nodes:
            if node.op not in ("Shape", "Size") and not self.given.isdisjoint(node.inputs):
                self.given.update(node.outputs)
            made = nothing
            if node.op not in ("Shape", "Size"):
                made = made.union(*(self.origins.get(name, nothing) for name in node.inputs))
            if len(made) > _MOST_ORIGINS:
                raise bad(f"{node} made of {len(made)} products")
            for name in node.outputs:
                self.made_of[name] = nothing if name in outs else made
                self.origins[name] = frozenset([name]) if name in ends else made


def _as_weight(graph: Graph, name: str, tensor: Stored) -> Weight:
    source, how = graph.parts.get(name, (name, "as it is"))
    return Weight(source, how, tensor.array, tensor.dtype)


def _matrix(node: Node, array: Array) -> Array | None:
    """A constant as a matrix (out, in): a view; None if the node is no product of that kind."""
    attributes = Attributes(node)
    if node.op == "Einsum":
        return _einsum_matrix(attributes.text("equation", ""), array)
    if array.ndim != 2 or attributes.fraction("alpha", 1.0) != 1.0:
        return None
    if attributes.number("transA", 0) or attributes.fraction("beta", 1.0) != 1.0:
        return None
    return array if attributes.number("transB", 0) else array.T


def _einsum_matrix(equation: str, array: Array) -> Array | None:
    """The matrix of a product such as "bfnd,ndh->bfh": joined letters become one axis."""
    terms, _, out = equation.replace(" ", "").partition("->")
    left, _, right = terms.partition(",")
    if len(right) != array.ndim or len(set(right)) != len(right) or len(set(left)) != len(left):
        return None
    summed = [letter for letter in left if letter in right and letter not in out]
    kept = [letter for letter in out if letter in right]
    ordered = left.endswith("".join(summed)) and out.endswith("".join(kept))
    if not summed or not kept or not ordered or set(right) != {*summed, *kept}:
        return None
    if set(kept) & set(left):
        return None
    turned = np.transpose(array, [right.index(letter) for letter in (*kept, *summed)])
    rows = math.prod(turned.shape[: len(kept)])
    return turned.reshape(rows, -1)
