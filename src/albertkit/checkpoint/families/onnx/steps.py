"""The nodes of a graph that use weights, in the order in which they run.

An exporter writes a model as thousands of nodes. Three kinds of steps use weights: a look-up in a
table, a product with a matrix, a normalisation. Everything else is between two steps and is kept as
a `Trail`: which steps a value is made of, and by which operations and numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from albertkit.checkpoint.families.onnx.graph import Graph, Node
from albertkit.checkpoint.families.onnx.tensors import Stored, bad
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.errors import CheckpointError

_MAX_ON_TRAIL = 256  # steps, operations and numbers that one value is made of
_VIEWS = {"Identity", "Cast", "CastLike", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose"}
# These hand numbers on in another shape or kind.
_PASS = {*_VIEWS, "Dropout", "Expand", "Concat", "Split"}
SELECT = {"Gather", "Slice", "GatherND", "GatherElements"}
_ARITHMETIC = {"Add", "Sub", "Mul", "Div", "Pow"}
_MS = "com.microsoft."
_PRODUCTS = {"MatMul", "Gemm", "Einsum", _MS + "FusedMatMul"}
_NORMS = {"LayerNormalization": 1, _MS + "SkipLayerNormalization": 2}  # place of the scale
_BIASED_GELU = {_MS + "FastGelu", _MS + "BiasGelu"}
_ATTENTIONS = {"Attention": "q_num_heads", _MS + "MultiHeadAttention": "num_heads"}
# Any of these says that weights are no longer those that were trained.
_QUANTIZED = {
    *("MatMulInteger", "ConvInteger", "DynamicQuantizeLinear", "QuantizeLinear"),
    *("DequantizeLinear", "QLinearMatMul", "QLinearConv", "QLinearAdd", "QAttention"),
    *("QEmbedLayerNormalization", "QOrderedMatMul", "QOrderedAttention", "QGemm"),
    *("DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulIntegerToFloat", "MatMulNBits"),
    *("MatMulBnb4", "QMoE", "GatherBlockQuantized"),
}


@dataclass(frozen=True)
class Trail:
    """How a value came about since the last steps.

    steps: numbers of the steps it is made of. ops: operations on the way, without those that only
    change the shape. numbers: constants that they used. given: it depends on the caller's input.
    """

    steps: frozenset[int] = frozenset()
    ops: frozenset[str] = frozenset()
    numbers: frozenset[tuple[str, float]] = frozenset()
    given: bool = False


@dataclass(eq=False)
class Step:
    """A use of weights.

    kind: "table" (rows, E), "product" (out, in) or "norm" (the scale). source: what it reads; of
    a table, its index. out: name of its value in the graph.
    """

    number: int
    kind: str
    node: Node
    weight: Stored
    source: Trail
    index: str = ""
    bias: Stored | None = None
    heads: int = 0  # into how many parts a Reshape cuts what a product gives

    @property
    def widths(self) -> tuple[int, int]:
        """Width in, width out of a product."""
        return self.weight.array.shape[1], self.weight.array.shape[0]

    @property
    def selected(self) -> bool:
        """Whether it reads only a part, such as the first token."""
        return bool(self.source.ops & SELECT)


@dataclass
class Steps:
    """All steps of a graph.

    scores: by number of a query, the keys that it is multiplied with. trails: of every
    computed value. known: constants, as the views that nodes see. strange: operations that read
    weights in a way of their own.
    """

    graph: Graph
    steps: list[Step] = field(default_factory=list)
    scores: dict[int, set[int]] = field(default_factory=dict)
    trails: dict[str, Trail] = field(default_factory=dict)
    known: dict[str, Stored] = field(default_factory=dict)
    strange: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        _refuse_quantized(self.graph.nodes)
        self._shapes: dict[str, list[int | None]] = {}
        self.producer = {name: node for node in self.graph.nodes for name in node.outputs}
        self.trails |= {name: Trail(given=True) for name in self.graph.inputs}
        for name, tensor in self.graph.tensors.items():
            self.known[name] = replace(tensor, source=name)
        for node in self.graph.nodes:
            self._add(node)

    def _add(self, node: Node) -> None:
        if node.op in _VIEWS and node.inputs and node.inputs[0] in self.known:
            self.known[node.outputs[0]] = _view(node, self.known[node.inputs[0]])
            return
        if node.op == "Concat":
            self._shapes[node.outputs[0]] = [
                size for name in node.inputs for size in self._sizes(name)
            ][:8]
        read = self._trail(node)
        weights = [name for name in node.inputs if self._is_weight(name, one=node.op == "Add")]
        trail = None
        if node.op in _PRODUCTS:
            trail = self._product(node, read)
        elif weights and node.op == "Gather" and node.attributes.get("axis", 0) == 0:
            trail = self._table(node, read)
        elif weights:
            trail = self._vector(node, read)
        self._note_attention(node, read)
        if weights and trail is None:
            self.strange.add(node.op)
        self.trails.update(dict.fromkeys(node.outputs, trail or read))

    def _is_weight(self, name: str, *, one: bool = False) -> bool:
        """Whether a constant may be learned; `one` says that a vector of one number may, too."""
        tensor = self.known.get(name)
        if tensor is None or not tensor.is_float:
            return False
        return tensor.array.size > 1 or (one and tensor.array.shape == (1,))

    def _of(self, node: Node) -> list[Trail]:
        return [self.trails[name] for name in node.inputs if name in self.trails]

    def _trail(self, node: Node) -> Trail:
        """What a node's value is made of: the trails of its inputs, and the node itself."""
        if node.op in ("Shape", "Size"):
            return Trail()
        inputs = self._of(node)
        made = [trail for trail in inputs if trail.steps]
        given = any(trail.given for trail in inputs)
        if not made:
            return Trail(given=given)
        ops = frozenset[str]().union(*(trail.ops for trail in made))
        numbers = frozenset[tuple[str, float]]().union(*(trail.numbers for trail in made))
        if node.op not in _PASS:
            ops |= {_formula(node)}
        if node.op in _ARITHMETIC:
            found = {name: self.number(name) for name in node.inputs}
            numbers |= {(node.op, x) for x in found.values() if x is not None}
        for key in ("scale", "alpha"):
            value = node.attributes.get(key)
            if isinstance(value, float):
                numbers |= {(key, value)}
        steps = frozenset[int]().union(*(trail.steps for trail in made))
        if len(steps) + len(ops) + len(numbers) > _MAX_ON_TRAIL:
            raise bad(f"{node} made of more than {_MAX_ON_TRAIL} products and operations")
        return Trail(steps, ops, numbers, given)

    def number(self, name: str) -> float | None:
        """A constant of one number, as it was written: 1e-12, not 9.999999960041972e-13."""
        tensor = self.known.get(name)
        if tensor is None or tensor.array.size != 1 or tensor.dtype == "text":
            return None
        return float(f"{float(tensor.to_float32().reshape(-1)[0]):.7g}")

    def _step(self, kind: str, node: Node, weight: Stored, source: Trail) -> Trail:
        """Add a step; the trail of its value."""
        self.steps.append(Step(len(self.steps), kind, node, weight, source))
        return Trail(frozenset([len(self.steps) - 1]), given=source.given)

    def _table(self, node: Node, read: Trail) -> Trail | None:
        table = self.known.get(node.inputs[0])
        if table is None or table.array.ndim != 2 or len(node.inputs) < 2:
            return None
        trail = self._step("table", node, table, read)
        self.steps[-1].index = node.inputs[1]
        return trail

    def _product(self, node: Node, read: Trail) -> Trail | None:
        """A product with a constant matrix, which is the second input in every export."""
        if len(node.inputs) < 2 or not self._is_weight(node.inputs[1]) or not read.steps:
            return None
        weight = self.known[node.inputs[1]]
        matrix = _matrix(node, weight.array)
        if matrix is None:
            return None
        read = replace(read, ops=read.ops - {node.op})
        trail = self._step("product", node, replace(weight, array=matrix), read)
        if node.op == "Gemm" and len(node.inputs) > 2:
            self.steps[-1].bias = self._vector_of(node.inputs[2], len(matrix))
        return trail

    def _vector_of(self, name: str, width: int) -> Stored | None:
        found = self.known.get(name)
        if found is None or not found.is_float or found.array.size != width:
            return None
        return replace(found, array=found.array.reshape(-1))

    def _vector(self, node: Node, read: Trail) -> Trail | None:
        """A vector that is added or multiplied; None if it is not clear what it does there."""
        if node.op in _NORMS and len(node.inputs) > _NORMS[node.op]:
            return self._norm(node, read)
        for name in node.inputs:
            vector = self.known.get(name)
            if vector is None or not vector.is_float:
                continue
            if node.op == "Mul" and vector.array.ndim == 1:
                return self._step("norm", node, vector, read)
            if node.op in {"Add", *_BIASED_GELU} and self._add_bias(self._of(node), name):
                return replace(read, ops=read.ops - {"Add"})
            kinds = {self.steps[x].kind for x in read.steps}
            if node.op == "Add" and vector.array.ndim > 1 and kinds == {"table"}:
                folded = self._step("table", node, vector, Trail())
                return replace(read, steps=read.steps | folded.steps, ops=read.ops - {"Add"})
        return None

    def _norm(self, node: Node, read: Trail) -> Trail | None:
        place = _NORMS[node.op]
        scale, *shifts = node.inputs[place:]
        if not self._is_weight(scale):
            return None
        inputs = self._of(node)
        if len(shifts) > place - 1 and place == 2 and shifts[1]:  # the bias of the product before
            alone = [x for x in inputs if len(x.steps) == 1 and not x.ops]
            if not any(self._add_bias([x], shifts[1]) for x in alone):
                return None
        trail = self._step("norm", node, self.known[scale], read)
        if shifts:
            width = self.known[scale].array.size
            self.steps[-1].bias = self._vector_of(shifts[0], width)
        return trail

    def _add_bias(self, inputs: list[Trail], name: str) -> bool:
        """Take a vector as the bias of the one step that the other input is, as it is."""
        for trail in inputs:
            if len(trail.steps) != 1 or trail.ops:
                continue
            step = self.steps[min(trail.steps)]
            bias = self._vector_of(name, step.weight.array.shape[0])
            if step.kind != "table" and step.bias is None and bias is not None:
                step.bias = bias
                return True
        return False

    def _sizes(self, name: str) -> list[int | None]:
        """The sizes that a shape has, None for those that are computed."""
        if name in self.known:
            array = self.known[name].array
            whole = array.dtype.kind in "iu" and array.size <= 8
            return [int(x) for x in array.reshape(-1)] if whole else [None]
        return self._shapes.get(name, [None])

    def _note_attention(self, node: Node, read: Trail) -> None:
        """Keep which product is cut into how many heads, and which two are multiplied."""
        inputs = [self.trails.get(name, Trail()).steps for name in node.inputs[:3]]
        alone = [min(steps) for steps in inputs if len(steps) == 1]
        if node.op == "Reshape" and len(node.inputs) > 1 and len(alone) >= 1:
            sizes = self._sizes(node.inputs[1])
            step = self.steps[alone[0]]
            if len(sizes) == 4 and step.kind == "product" and not step.heads:
                step.heads = _heads(sizes[2:], len(step.weight.array))
        elif node.op in (_PRODUCTS - {"Gemm"}) | set(_ATTENTIONS) and len(alone) >= 2:
            if alone[0] != alone[1]:
                self.scores.setdefault(alone[0], set()).add(alone[1])
            count = node.attributes.get(_ATTENTIONS.get(node.op, ""))
            if isinstance(count, int) and count > 0:
                for number in alone:
                    self.steps[number].heads = count


def _heads(sizes: list[int | None], width: int) -> int:
    """How many heads a shape (..., N, D) cuts a width into, where one of both may be computed."""
    count, size = ((x if x is not None and x > 0 else None) for x in sizes)
    if size is not None and width % size == 0 and count in (None, width // size):
        return width // size
    return count if count is not None and size is None and width % count == 0 else 0


def _view(node: Node, tensor: Stored) -> Stored:
    """A constant behind a node that moves its numbers; other changes of shape decide nothing."""
    perm = node.attributes.get("perm")
    if node.op != "Transpose":
        return tensor
    axes = perm if isinstance(perm, tuple) else tuple(range(tensor.array.ndim))[::-1]
    if sorted(axes) != list(range(tensor.array.ndim)):
        raise bad(f"{node} by {axes}")
    return replace(tensor, array=np.transpose(tensor.array, axes))


def _matrix(node: Node, array: Array) -> Array | None:
    """A constant as a matrix (out, in): a view; None if the node is not a plain product with it."""
    values = node.attributes
    equation = values.get("equation")
    if isinstance(equation, bytes) and array.ndim > 2:
        # Such as "bfnd,ndh->bfh": joined letters are one axis.
        terms, _, out = equation.decode("ascii", "replace").replace(" ", "").partition("->")
        left, _, right = terms.partition(",")
        summed = [letter for letter in right if letter in left]
        kept = "".join(letter for letter in right if letter not in left)
        joined = "".join(summed)
        plain = right == joined + kept and left.endswith(joined) and out.endswith(kept)
        if not (plain and summed and kept and len(right) == array.ndim):
            return None
        return array.reshape(math.prod(array.shape[: len(summed)]), -1).T
    plain = all(values.get(key, 1.0) == 1.0 for key in ("alpha", "beta"))
    if array.ndim != 2 or not plain or values.get("transA", 0):
        return None
    return array if values.get("transB", 0) else array.T


def _formula(node: Node) -> str:
    """The name of an operation; of Gelu, with its formula."""
    approximate = node.attributes.get("approximate", b"none")
    return "Gelu, tanh" if node.op == "Gelu" and approximate == b"tanh" else node.op


def _refuse_quantized(nodes: list[Node]) -> None:
    """Refuse weights that are stored as quantized numbers.

    Raises:
        CheckpointError: with the operations that say so.
    """
    names = {node.op.removeprefix(_MS).split(":")[0] for node in nodes}
    if quantized := sorted(names & _QUANTIZED):
        raise CheckpointError(
            "The weights of this ONNX file are quantized: the numbers that were trained are lost.",
            expected="a file in float32, float16 or bfloat16",
            found=", ".join(quantized),
            fix="take the file from before the quantization",
        )
