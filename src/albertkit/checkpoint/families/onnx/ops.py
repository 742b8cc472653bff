"""Single operations of ONNX on numpy arrays: those on each number, along an axis, and moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from albertkit.checkpoint.families.onnx.graph import Node
from albertkit.checkpoint.families.onnx.tensors import bad

Array = npt.NDArray[Any]
_MOST_NUMBERS = 1 << 24  # of one array: scores of 64 heads over 512 columns


class Attributes:
    """Attributes of a node, of the kind that is asked for; the default if it has no such."""

    def __init__(self, node: Node) -> None:
        self.values = node.attributes

    def number(self, name: str, default: int) -> int:
        """A whole number."""
        value = self.values.get(name, default)
        return value if isinstance(value, int) else default

    def fraction(self, name: str, default: float) -> float:
        """A fraction."""
        value = self.values.get(name, default)
        return float(value) if isinstance(value, int | float) else default

    def text(self, name: str, default: str) -> str:
        """A text."""
        value = self.values.get(name)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else default

    def numbers(self, name: str) -> list[int] | None:
        """A list of whole numbers."""
        value = self.values.get(name)
        return list(value) if isinstance(value, tuple) else None


def bounded(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an array that is going to be made.

    Raises:
        CheckpointError: larger than any ALBERT needs.
    """
    if math.prod(shape) > _MOST_NUMBERS:
        raise bad(f"an array of shape {shape[:8]} on the way")
    return shape


def ints(value: Any) -> list[int]:
    """Whole numbers that tell sizes or axes."""
    if not isinstance(value, np.ndarray) or value.size > 64:
        raise ValueError("no list of numbers")
    return [int(x) for x in value.reshape(-1)]


def axes_of(args: list[Any], attributes: Attributes) -> list[int] | None:
    """The axes that are meant: an attribute in old files, the second input in new ones."""
    if len(args) > 1 and args[1] is not None:
        return ints(args[1])
    return attributes.numbers("axes")


def _reshape(args: list[Any], attributes: Attributes, count: int) -> Any:
    x, wanted = args[0], ints(args[1])
    if not attributes.number("allowzero", 0):
        wanted = [x.shape[n] if size == 0 else size for n, size in enumerate(wanted)]
    return x.reshape(wanted)


def _squeeze(args: list[Any], attributes: Attributes, count: int) -> Any:
    axes = axes_of(args, attributes)
    return np.squeeze(args[0], None if axes is None else tuple(axes))


def _unsqueeze(args: list[Any], attributes: Attributes, count: int) -> Any:
    return np.expand_dims(args[0], tuple(axes_of(args, attributes) or ()))


def _transpose(args: list[Any], attributes: Attributes, count: int) -> Any:
    return np.transpose(args[0], attributes.numbers("perm"))


def _flatten(args: list[Any], attributes: Attributes, count: int) -> Any:
    x, axis = args[0], attributes.number("axis", 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _expand(args: list[Any], attributes: Attributes, count: int) -> Any:
    shape = np.broadcast_shapes(args[0].shape, tuple(ints(args[1])))
    return np.broadcast_to(args[0], shape)


def _slice(args: list[Any], attributes: Attributes, count: int) -> Any:
    given = [None if arg is None else ints(arg) for arg in args[1:]]
    starts, ends, axes, steps = [*given, None, None, None, None][:4]
    starts = attributes.numbers("starts") if starts is None else starts
    ends = attributes.numbers("ends") if ends is None else ends
    axes = attributes.numbers("axes") if axes is None else axes
    where = [slice(None)] * args[0].ndim
    for place, start in enumerate(starts or []):
        axis = place if axes is None else axes[place]
        step = 1 if steps is None else steps[place]
        end: int | None = (ends or [])[place]
        if step < 0 and end is not None and end < -args[0].shape[axis]:
            end = None
        where[axis] = slice(start, end, step)
    return args[0][tuple(where)]


def _split(args: list[Any], attributes: Attributes, count: int) -> tuple[Array, ...]:
    x, axis = args[0], attributes.number("axis", 0)
    sizes = attributes.numbers("split")
    if len(args) > 1 and args[1] is not None:
        sizes = ints(args[1])
    if sizes is None:
        each = -(-x.shape[axis] // count)
        sizes = [each] * (count - 1)
    return tuple(np.split(x, np.cumsum(sizes)[: count - 1], axis))


def _tile(args: list[Any], attributes: Attributes, count: int) -> Any:
    repeats = ints(args[1])
    bounded((args[0].size, *repeats))
    return np.tile(args[0], repeats)


def _trilu(args: list[Any], attributes: Attributes, count: int) -> Any:
    k = ints(args[1])[0] if len(args) > 1 and args[1] is not None else 0
    return np.triu(args[0], k) if attributes.number("upper", 1) else np.tril(args[0], k)


def _softmax(args: list[Any], attributes: Attributes) -> Any:
    axis = attributes.number("axis", -1)
    raised = np.exp(args[0] - args[0].max(axis, keepdims=True))
    return raised / raised.sum(axis, keepdims=True)


def _layer_norm(args: list[Any], attributes: Attributes) -> Any:
    x, scale = args[0], args[1]
    if attributes.number("axis", -1) not in (-1, x.ndim - 1):
        raise ValueError("normalised over several axes")
    centred = x - x.mean(-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(-1, keepdims=True) + attributes.fraction("epsilon", 1e-5))
    found = centred / spread * scale
    return found if len(args) < 3 or args[2] is None else found + args[2]


def gelu_tanh(x: Array) -> Array:
    """The tanh formula."""
    inner = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return np.asarray(0.5 * x * (1 + inner))


def erf(x: Array) -> Array:
    """The error function of each number."""
    values, places = np.unique(x, return_inverse=True)  # one by one, so only once for each
    return np.array([math.erf(value) for value in values])[places].reshape(x.shape)


def gelu_erf(x: Array) -> Array:
    """The exact formula."""
    return np.asarray(x * 0.5 * (1 + erf(x / math.sqrt(2))))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return np.asarray(1 / (1 + np.exp(-x)))


def _gelu(args: list[Any], attributes: Attributes) -> Any:
    return (gelu_tanh if attributes.text("approximate", "none") == "tanh" else gelu_erf)(args[0])


def _clip(x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    return np.clip(x, low, high)


def _div(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu" and b.dtype.kind in "iu":
        return np.trunc(a / b).astype(np.int64)
    return a / b


EACH: dict[str, Callable[..., Any]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": _div, "Pow": np.power,
    "Sqrt": np.sqrt, "Neg": np.negative, "Abs": np.abs, "Exp": np.exp, "Log": np.log,
    "Tanh": np.tanh, "Erf": erf, "Sigmoid": sigmoid, "Relu": lambda x: np.maximum(x, 0),
    "Reciprocal": lambda x: 1 / x, "Equal": np.equal, "Not": np.logical_not,
    "And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor, "Less": np.less,
    "Greater": np.greater, "LessOrEqual": np.less_equal, "GreaterOrEqual": np.greater_equal,
    "Where": np.where, "Clip": _clip, "IsNaN": np.isnan, "IsInf": np.isinf, "Floor": np.floor,
    "Ceil": np.ceil, "Sum": lambda *x: sum(x), "Mod": np.mod, "Sign": np.sign, "Round": np.rint,
    "Min": lambda *x: np.minimum.reduce(np.broadcast_arrays(*x)),
    "Max": lambda *x: np.maximum.reduce(np.broadcast_arrays(*x)),
    "Softplus": lambda x: np.log1p(np.exp(x)), "Swish": lambda x: x * sigmoid(x),
}  # fmt: skip
MOVED: dict[str, Callable[..., Any]] = {
    "Reshape": _reshape, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Transpose": _transpose,
    "Flatten": _flatten, "Expand": _expand, "Slice": _slice, "Split": _split, "Tile": _tile,
    "Trilu": _trilu,
}  # fmt: skip
ALIKE: dict[str, Callable[..., Any]] = {
    "Softmax": _softmax, "LayerNormalization": _layer_norm, "Gelu": _gelu,
    "CumSum": lambda args, attributes: np.cumsum(args[0], ints(args[1])[0]),
    "LogSoftmax": lambda args, attributes: np.log(_softmax(args, attributes)),
}  # fmt: skip
