"""The formulas between two steps: an activation, a layer normalisation, the scale of attention."""

from __future__ import annotations

from albertkit.checkpoint.families.onnx.graph import Node
from albertkit.checkpoint.families.onnx.steps import SELECT, Step, Steps, Trail

# Epsilon of a node that names none.
_NORM_NODES = {"LayerNormalization": 1e-5, "com.microsoft.SkipLayerNormalization": 1e-12}
_WRITTEN_OUT = ("Div", "Sub", "ReduceMean", "Sqrt", "Add", "ReduceMean")
_ARITHMETIC = {*_WRITTEN_OUT, *_NORM_NODES, "Mul", "Pow"}
# One operation is the whole formula.
_ACTS = {"": "linear", "Relu": "relu", "Tanh": "tanh", "Gelu": "gelu_erf", "Swish": "silu"}
_ACTS |= {"Gelu, tanh": "gelu_tanh", "com.microsoft.FastGelu": "gelu_tanh"}
_ACTS |= {"com.microsoft.Gelu": "gelu_erf", "com.microsoft.BiasGelu": "gelu_erf"}
# Formulas that are written out: their operation, and a number in them.
_LONG_ACTS = {"Tanh": ("gelu_tanh", 0.044715), "Erf": ("gelu_erf", 0.5), "Sigmoid": ("silu", 1.0)}
ACTIVATIONS = tuple(sorted({*_ACTS.values()}))
_NOTHING = Node("", "", (), (), {})


def activation(trail: Trail, *, normalised: bool = False) -> str | None:
    """A choice of `hidden_act`; None if it is another one.

    Args:
        trail: of what reads it.
        normalised: there is a normalisation behind it.
    """
    ops = trail.ops - SELECT
    mark = ", ".join(sorted(ops - _ARITHMETIC))
    act, number = _LONG_ACTS.get(mark, (None, 1.0))
    numbers = {1.0, *(x for _, x in trail.numbers)}
    if "Mul" in ops and act is not None and any(_near(x, number) for x in numbers):
        return act
    return None if ops & _ARITHMETIC and not normalised else _ACTS.get(mark)


def epsilon(steps: Steps, norm: Step) -> float | None:
    """The epsilon of a layer normalisation over the last axis; None if it is another one."""
    node = norm.node
    if node.op not in _NORM_NODES:
        return _written_out(steps, node)
    eps = node.attributes.get("epsilon", _NORM_NODES[node.op])
    last = node.attributes.get("axis", -1) in (-1, 2)
    return float(f"{eps:.7g}") if isinstance(eps, float) and last else None


def _written_out(steps: Steps, scaled: Node) -> float | None:
    """The epsilon in (x - mean(x)) / sqrt(mean((x - mean(x)) ** 2) + eps), times the scale."""

    def back(node: Node, place: int) -> Node:
        """The node that makes an input, behind changes of the number format."""
        name = node.inputs[place] if place < len(node.inputs) else ""
        found = steps.producer.get(name, _NOTHING)
        while found.op in ("Cast", "CastLike", "Identity") and found.inputs:
            found = steps.producer.get(found.inputs[0], _NOTHING)
        return found

    def computed(node: Node) -> int:
        """Place of the input that is not a constant."""
        return next((n for n, name in enumerate(node.inputs) if name not in steps.known), 0)

    ratio = back(scaled, computed(scaled))
    centred, root = back(ratio, 0), back(ratio, 1)
    total = back(root, 0)
    variance = back(total, computed(total))
    square = back(variance, 0)
    chain = (ratio, centred, back(centred, 1), root, total, variance)
    squared = square.op == "Mul" and back(square, 1) is centred
    if square.op == "Pow" and len(square.inputs) > 1:
        squared = steps.number(square.inputs[1]) == 2
    if tuple(node.op for node in chain) != _WRITTEN_OUT or not squared:
        return None
    if back(square, 0) is not centred or len(total.inputs) != 2:
        return None
    return steps.number(total.inputs[1 - computed(total)])


def plain_sum(norm: Step) -> bool:
    """Whether a normalisation reads the sum of values as they are."""
    return norm.source.ops <= _ARITHMETIC


def right_scale(trail: Trail, size: float) -> bool:
    """Whether products of query and key are divided by the root of the head's width, as far as
    constants show: one factor, or its root for each of both."""
    allowed = [1.0, *(size**power for power in (0.5, -0.5, 0.25, -0.25))]
    factors = [x for key, x in trail.numbers if key in ("Mul", "Div", "scale", "alpha")]
    return all(any(_near(factor, x) for x in allowed) for factor in factors)


def _near(a: float, b: float) -> bool:
    """Whether two numbers are equal as float16."""
    return abs(a - b) <= 2e-3 * abs(b)
