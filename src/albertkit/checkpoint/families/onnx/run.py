"""Operations of ONNX on small arrays: what an exporter's many nodes compute, told by trying it.

A value is an array, a `Standin` (numbers unknown, shape known: whatever comes from a weight), or
UNKNOWN. Fractions are float64 throughout, so that widths of the file do not matter. Semantics:
github.com/onnx/onnx, docs/Operators.md, and onnxruntime's docs/ContribOperators.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from albertkit.checkpoint.families.onnx.attention import attention, multi_head_attention
from albertkit.checkpoint.families.onnx.graph import Node
from albertkit.checkpoint.families.onnx.ops import (
    ALIKE,
    EACH,
    MOVED,
    Array,
    Attributes,
    axes_of,
    bounded,
    ints,
)
from albertkit.checkpoint.families.onnx.tensors import Stored, bad
from albertkit.errors import CheckpointError

# Of GELU: sqrt(2 / pi), the cubic part, 1 / sqrt(2), sqrt(2).
_KNOWN = (math.sqrt(2 / math.pi), 0.044715, math.sqrt(0.5), math.sqrt(2))
_MASKED = ("Attention", "com.microsoft.MultiHeadAttention")
_MOST_WORK = 1 << 29  # of all arrays together


# What numpy and Python raise for shapes and attributes that do not fit an operation.
_MISFITS = (
    *(ArithmeticError, AttributeError, IndexError, KeyError, MemoryError, TypeError, ValueError),
)
# Rows 0, 1, 2, ... of a table, as many as the second input has columns (expand.py).
POSITIONS = "rows of a table by their place"


@dataclass(frozen=True)
class Standin:
    """An array of which only the shape is known."""

    shape: tuple[int, ...]

    @property
    def array(self) -> Array:
        """Zeros of this shape that take no memory."""
        return np.broadcast_to(np.float64(0), self.shape)


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()
Value = Any  # Array | Standin | _Unknown | None for an absent input


def constant(tensor: Stored, *, whole: bool) -> Value:
    """A tensor of the file as a value; weights by their shape only unless `whole`."""
    if tensor.is_float:
        if tensor.array.size > 1 and not whole:
            return Standin(tensor.array.shape)
        numbers = tensor.fractions().astype(np.float64)
        return _restored(numbers, tensor) if tensor.array.size == 1 else numbers
    return tensor.array


def _restored(number: Array, tensor: Stored) -> Array:
    """A constant of a formula as it was before it was rounded to 16 bits."""
    if tensor.dtype in ("float16", "bfloat16"):
        for known in _KNOWN:
            if abs(float(number.reshape(-1)[0]) - known) <= known * 2.0**-8:
                return np.full(number.shape, known)
    return number


class Runner:
    """Runs nodes one by one, with a bound on all the work."""

    def __init__(self) -> None:
        self.work = 0

    def run(self, node: Node, args: list[Value]) -> list[Value]:
        """Values of the node's outputs; UNKNOWN for what is not known here.

        Raises:
            CheckpointError: arrays larger than any ALBERT needs.
        """
        function = _FUNCTIONS.get(node.op)
        unknown = [UNKNOWN] * len(node.outputs)
        if function is None or node.nested:
            return unknown
        if node.op in _MASKED:  # the mask of the trial hides nothing
            args = [None if arg is UNKNOWN else arg for arg in args]
        if any(arg is UNKNOWN for arg in args):
            return [_without(node, args)] * len(node.outputs)
        try:
            with np.errstate(all="ignore"):
                found = function(args, Attributes(node), len(node.outputs))
        except CheckpointError:
            raise
        except _MISFITS:
            return unknown  # what is made of it is then refused, with the name of the part
        values = list(found) if isinstance(found, tuple) else [found]
        for value in values:
            self._count(value)
        return values + unknown[len(values) :]

    def _count(self, value: Value) -> None:
        if isinstance(value, np.ndarray):
            self.work += value.size + 100
            if self.work > _MOST_WORK:
                raise bad("a graph that computes more than any ALBERT")


def _without(node: Node, args: list[Value]) -> Value:
    """The known half of a sum or a choice: a mask that cannot be told is as if all were seen."""
    if node.op in ("Add", "Sum", "Where", "Min", "Max"):
        known = [arg for arg in args[node.op == "Where" :] if arg is not UNKNOWN]
        large = [arg for arg in known if isinstance(arg, Standin) or _is_large(arg)]
        if len(large) == 1:
            return large[0]
    return UNKNOWN


def _is_large(value: Value) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float64 and value.size > 1


def _each(function: Callable[..., Any]) -> Callable[..., Value]:
    """An operation on each number, with broadcasting."""

    def run(args: list[Value], attributes: Attributes, count: int) -> Value:
        shape = np.broadcast_shapes(*(arg.shape for arg in args if arg is not None))
        if any(isinstance(arg, Standin) for arg in args):
            return Standin(shape)
        bounded(shape)
        return np.asarray(function(*(arg for arg in args if arg is not None)))

    return run


def _moved(function: Callable[..., Any]) -> Callable[..., Value]:
    """An operation that moves the numbers of its first input and computes nothing."""

    def run(args: list[Value], attributes: Attributes, count: int) -> Value:
        first = args[0]
        if not isinstance(first, Standin):
            return function(args, attributes, count)
        found = function([first.array, *args[1:]], attributes, count)
        if isinstance(found, tuple):
            return tuple(Standin(part.shape) for part in found)
        return Standin(found.shape)

    return run


def _alike(function: Callable[..., Any]) -> Callable[..., Value]:
    """An operation along an axis of its first input, whose shape it keeps."""

    def run(args: list[Value], attributes: Attributes, count: int) -> Value:
        if any(isinstance(arg, Standin) for arg in args):
            return Standin(args[0].shape)
        return function(args, attributes)

    return run


def _gather(args: list[Value], attributes: Attributes, count: int) -> Value:
    x, index = args[0], args[1]
    axis = attributes.number("axis", 0) % max(1, len(x.shape))
    shape = bounded((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))
    if isinstance(x, Standin) or isinstance(index, Standin):
        return Standin(shape)
    # numpy's own way to wrap an index takes time in proportion to the index.
    return np.take(x, index.astype(np.int64) % x.shape[axis], axis)


def _concat(args: list[Value], attributes: Attributes, count: int) -> Value:
    axis = attributes.number("axis", 0)
    arrays = [arg.array if isinstance(arg, Standin) else arg for arg in args]
    shape = list(arrays[0].shape)
    shape[axis] = sum(array.shape[axis] for array in arrays)
    if any(isinstance(arg, Standin) for arg in args):
        return Standin(tuple(shape))
    bounded(tuple(shape))
    return np.concatenate(arrays, axis)


def _matmul(args: list[Value], attributes: Attributes, count: int) -> Value:
    a, b = (np.swapaxes(_array(x), -1, -2) if attributes.number(flag, 0) else x
            for x, flag in zip(args, ("transA", "transB"), strict=False))  # fmt: skip
    rows, columns = a.shape[:-1], b.shape[-1:]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = bounded((*batch, *rows[-1:], *columns))
    if a.shape[-1] != b.shape[-2]:
        raise ValueError("widths differ")
    if any(isinstance(arg, Standin) for arg in args):
        return Standin(shape)
    if math.prod(shape) * a.shape[-1] > _MOST_WORK:
        raise bad(f"a product of shape {shape[:8]} on the way")
    return np.matmul(a, b) * attributes.fraction("alpha", 1.0)


def _array(value: Value) -> Array:
    return value.array if isinstance(value, Standin) else value


def _einsum(args: list[Value], attributes: Attributes, count: int) -> Value:
    equation = attributes.text("equation", "").replace(" ", "")
    terms, _, out = equation.partition("->")
    sizes: dict[str, int] = {}
    for term, arg in zip(terms.split(","), args, strict=True):
        sizes.update(zip(term, arg.shape, strict=True))
    shape = bounded(tuple(sizes[letter] for letter in out))
    if any(isinstance(arg, Standin) for arg in args):
        return Standin(shape)
    if math.prod(sizes.values()) > _MOST_WORK >> 3:
        raise bad(f"a product of shape {shape[:8]} on the way")
    return np.einsum(equation, *args)


def _gemm(args: list[Value], attributes: Attributes, count: int) -> Value:
    product = _matmul(args[:2], attributes, count)
    if len(args) < 3 or args[2] is None:
        return product
    return _each(np.add)([product, args[2]], attributes, count)


def _reduce(function: Callable[..., Any]) -> Callable[..., Value]:
    def run(args: list[Value], attributes: Attributes, count: int) -> Value:
        x, axes = args[0], axes_of(args, attributes)
        if not axes and attributes.number("noop_with_empty_axes", 0):
            return x
        axes = list(range(len(x.shape))) if not axes else [axis % len(x.shape) for axis in axes]
        keep = attributes.number("keepdims", 1)
        shape = tuple(
            1 if n in axes else size for n, size in enumerate(x.shape) if keep or n not in axes
        )
        if isinstance(x, Standin):
            return Standin(shape)
        return np.asarray(function(x, axis=tuple(axes))).reshape(shape)

    return run


def _pool(args: list[Value], attributes: Attributes, count: int) -> Value:
    """The mean over all axes but the first two: how tf2onnx writes some means."""
    shape = (*args[0].shape[:2], *(1 for _ in args[0].shape[2:]))
    if isinstance(args[0], Standin):
        return Standin(shape)
    return np.asarray(args[0].mean(tuple(range(2, args[0].ndim)))).reshape(shape)


def _positions(args: list[Value], attributes: Attributes, count: int) -> Value:
    return Standin((1, args[1].shape[-1], args[0].shape[-1]))


def _cast(args: list[Value], attributes: Attributes, count: int) -> Value:
    kind = attributes.number("to", 1)
    if isinstance(args[0], Standin):
        return args[0]
    if kind in (1, 10, 11, 16):
        return args[0].astype(np.float64)
    return args[0].astype(np.bool_ if kind == 9 else np.int64)


def _filled(args: list[Value], attributes: Attributes, count: int) -> Array:
    value = attributes.values.get("value")
    shape = bounded(tuple(ints(args[0])))
    if not isinstance(value, Stored):
        return np.zeros(shape)
    filler = constant(value, whole=True)
    return np.full(shape, filler.reshape(-1)[0])


def _range(args: list[Value], attributes: Attributes, count: int) -> Array:
    start, end, step = (arg.reshape(-1)[0] for arg in args)
    bounded((int(abs(end - start) / abs(step)) + 1,))
    return np.arange(start, end, step)


def _shape(args: list[Value], attributes: Attributes, count: int) -> Array:
    start, end = attributes.number("start", 0), attributes.values.get("end")
    return np.array(args[0].shape, np.int64)[start : end if isinstance(end, int) else None]


def _one_hot(args: list[Value], attributes: Attributes, count: int) -> Array:
    depth = ints(args[1])[0]
    bounded((args[0].size, depth))
    off, on = args[2].reshape(-1)[:2]
    return np.asarray(np.where(args[0][..., None] == np.arange(depth), on, off))


def _gather_elements(args: list[Value], attributes: Attributes, count: int) -> Value:
    if isinstance(args[0], Standin):
        return Standin(args[1].shape)
    return np.take_along_axis(args[0], args[1], attributes.number("axis", 0))


def _gather_nd(args: list[Value], attributes: Attributes, count: int) -> Value:
    x, index = args
    if attributes.number("batch_dims", 0):
        raise ValueError("not needed yet")
    depth = index.shape[-1]
    if isinstance(x, Standin):
        return Standin(bounded((*index.shape[:-1], *x.shape[depth:])))
    return x[tuple(np.moveaxis(index, -1, 0))]


def _first(args: list[Value], attributes: Attributes, count: int) -> Value:
    return args[0]


def _attention(args: list[Value], attributes: Attributes, count: int) -> Value:
    return attention(args, attributes, Standin)


def _multi_head(args: list[Value], attributes: Attributes, count: int) -> Value:
    return multi_head_attention(args, attributes, Standin)


_FUNCTIONS: dict[str, Callable[..., Value]] = {
    **{op: _each(function) for op, function in EACH.items()},
    **{op: _moved(function) for op, function in MOVED.items()},
    **{op: _alike(function) for op, function in ALIKE.items()},
    "ReduceMean": _reduce(np.mean), "ReduceSum": _reduce(np.sum), "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min), "ReduceProd": _reduce(np.prod), "ReduceAll": _reduce(np.all),
    "ReduceSumSquare": _reduce(lambda x, axis: (x * x).sum(axis)),
    "Identity": _first, "Dropout": _first, "Cast": _cast, "CastLike": _first, "Gather": _gather,
    "Concat": _concat, "MatMul": _matmul, "com.microsoft.FusedMatMul": _matmul, "Gemm": _gemm,
    "Einsum": _einsum, "ConstantOfShape": _filled, "Range": _range, "Shape": _shape,
    "GatherElements": _gather_elements, "GatherND": _gather_nd, "OneHot": _one_hot,
    POSITIONS: _positions, "Attention": _attention, "GlobalAveragePool": _pool,
    "NonZero": lambda args, attributes, count: np.array(np.nonzero(args[0]), np.int64),
    "Size": lambda args, attributes, count: np.array(math.prod(args[0].shape), np.int64),
    "com.microsoft.MultiHeadAttention": _multi_head,
}  # fmt: skip
