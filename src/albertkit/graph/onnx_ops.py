"""The steps of `Ops` as ONNX nodes: fp32, fp16, or int8 with dynamically quantized activations.

In int8 every matrix is an int8 initializer, quantized once, and each use of it is a MatMulInteger.
Activations have a scale for each token, so that its numbers do not depend on those beside it. A
value is the name of an edge.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from albertkit.graph.quantized import quantize
from albertkit.plugins import need_package

OPSET = 20  # the first with Gelu
Array = npt.NDArray[Any]
_WORDS = "albert.embeddings.word"
_SMALLEST = 1e-12  # largest number of a row of zeros: a scale must not be 0


class OnnxOps:
    """See `Ops`.

    tensors: of the checkpoint. precision: fp32, fp16 or int8. both_ways: linear maps that are also
    used backwards, so that int8 has one scale for all of it.
    """

    def __init__(
        self, tensors: Mapping[str, Array], precision: str, both_ways: Collection[str] = ()
    ) -> None:
        self.helper = need_package("onnx", "onnx").helper
        self.numpy_helper = need_package("onnx.numpy_helper", "onnx")
        self.types = need_package("onnx", "onnx").TensorProto
        self.tensors, self.precision, self.both_ways = tensors, precision, both_ways
        self.dtype = np.float16 if precision == "fp16" else np.float32
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self._stored: dict[str, str] = {}  # name of an array: name of the initializer
        self._contents: dict[str, str] = {}
        self._made: dict[tuple[str, ...], str] = {}  # what is computed once from a value

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output; the name of that."""
        return self.nodes_of(kind, 1, *inputs, **attributes)[0]

    def nodes_of(self, kind: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """A node with several outputs; their names."""
        name = f"{kind}_{len(self.nodes)}"
        names = [f"{name}_output_{n}" for n in range(outputs)]
        self.nodes.append(self.helper.make_node(kind, list(inputs), names, name=name, **attributes))
        return names

    def stored(self, name: str, array: Array) -> str:
        """An initializer; its name. Equal arrays are stored once, whatever they are called."""
        if name not in self._stored:
            array = np.asarray(array, order="C")  # keeps numbers without axes
            content = f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"
            self._stored[name] = self._contents.setdefault(content, name)
            if self._stored[name] == name:
                self.initializers[name] = self.numpy_helper.from_array(array, name)
        return self._stored[name]

    def number(self, value: float) -> str:
        """A floating-point constant."""
        return self.stored(f"float_{value!r}", np.array(value, self.dtype))

    def ints(self, *values: int) -> str:
        """A vector of integers, such as axes or a shape."""
        return self.stored("ints_" + "_".join(map(str, values)), np.array(values, np.int64))

    def _tensor(self, name: str) -> str:
        return self.stored(name, np.asarray(self.tensors[name], self.dtype))

    def _biased(self, x: str, name: str) -> str:
        return self.node("Add", x, self._tensor(name)) if name in self.tensors else x

    def lookup(self, name: str, ids: str, first: int = 0) -> str:
        """See `Ops`; in int8 the word table is the one that the decoder uses."""
        if self.precision != "int8" or name != _WORDS:
            table = np.asarray(self.tensors[f"{name}.weight"][first:], self.dtype)
            return self.node("Gather", self.stored(f"{name}.weight", table), ids)
        numbers, scale = self._quantized(f"{name}.weight", transposed=False)
        rows = self.node("Cast", self.node("Gather", numbers, ids), to=self.types.FLOAT)
        scales = self.node("Unsqueeze", self.node("Gather", scale, ids), self.ints(-1))
        return self.node("Mul", rows, scales)

    def linear(self, x: str, name: str) -> str:
        """See `Ops`."""
        weight = f"{name}.weight"
        if self.tensors[weight].ndim == 3:
            return self._biased(self._grouped(x, weight), f"{name}.bias")
        if self.precision == "int8":
            product = self._integer_product(x, *self._quantized(weight, transposed=True))
        else:
            matrix = np.asarray(self.tensors[weight], self.dtype).T  # (in, out), as MatMul reads it
            product = self.node("MatMul", x, self.stored(weight, matrix))
        return self._biased(product, f"{name}.bias")

    def _grouped(self, x: str, weight: str) -> str:
        """Slices of the features, each with its matrix: (G, S, in) times (G, in, out)."""
        groups, width_out, width_in = self.tensors[weight].shape
        lead = self.node("Slice", self.node("Shape", x), self.ints(0), self.ints(-1), self.ints(0))
        shape = self.node("Concat", lead, self.ints(groups * width_out), axis=0)
        x = self.node("Reshape", x, self.ints(-1, width_in, groups))
        x = self.node("Transpose", x, perm=[2, 0, 1])
        matrices = np.asarray(self.tensors[weight], self.dtype).transpose(0, 2, 1)
        if self.precision == "int8":
            made = quantize(matrices, axis=1)
            numbers = self.stored(weight, made.numbers)
            product = self._integer_product(x, numbers, self.stored(f"{weight}.scale", made.scale))
        else:
            product = self.node("MatMul", x, self.stored(weight, matrices))
        return self.node("Reshape", self.node("Transpose", product, perm=[1, 0, 2]), shape)

    def linear_back(self, x: str, name: str) -> str:
        """See `Ops`."""
        weight = f"{name}.weight"
        if self.precision == "int8":
            numbers, scale = self._quantized(weight, transposed=True)
            return self._integer_product(x, self._turned(numbers), scale)
        stored = self.stored(weight, np.asarray(self.tensors[weight], self.dtype).T)
        return self.node("MatMul", x, self._turned(stored))

    def scores(self, x: str, table: str, bias: str) -> str:
        """See `Ops`."""
        weight = f"{table}.weight"
        if self.precision == "int8":
            numbers, scale = self._quantized(weight, transposed=False)
            product = self._integer_product(x, self._turned(numbers), scale)
        else:
            product = self.node("MatMul", x, self._turned(self._tensor(weight)))
        return self._biased(product, f"{bias}.bias")

    def _turned(self, matrix: str) -> str:
        """A stored matrix with its axes exchanged; engines do this once, while they load."""
        return self._once("Transpose", matrix, perm=[1, 0])

    def _once(self, kind: str, x: str, **attributes: Any) -> str:
        if (kind, x) not in self._made:
            self._made[kind, x] = self.node(kind, x, **attributes)
        return self._made[kind, x]

    def _quantized(self, weight: str, transposed: bool) -> tuple[str, str]:
        """A matrix (out, in) as int8 initializer, or its transpose, and its scales (out,)."""
        whole = weight.removesuffix(".weight") in self.both_ways
        made = quantize(self.tensors[weight], axis=None if whole else 1)
        numbers = self.stored(weight, made.numbers.T if transposed else made.numbers)
        return numbers, self.stored(f"{weight}.scale", made.scale.reshape(-1))

    def _integer_product(self, x: str, numbers: str, scale: str) -> str:
        """x times an int8 matrix; x is quantized once for all matrices that it meets."""
        # uint8 around 128: onnxruntime has no fast product of int8 and int8 without VNNI.
        middle = self.stored("uint8_middle", np.array(128, np.uint8))
        if ("quantized", x) not in self._made:
            largest = self.node("ReduceMax", self.node("Abs", x), self.ints(-1), keepdims=1)
            largest = self.node("Max", largest, self.number(_SMALLEST))
            rows = self.node("Mul", largest, self.number(1 / 127))
            integers = self.node("Mul", x, self.node("Reciprocal", rows))
            self._made["quantized", x] = self.node(
                "QuantizeLinear", integers, self.number(1.0), middle
            )
            self._made["scale", x] = rows
        zero = self.stored("int8_zero", np.array(0, np.int8))
        product = self.node("MatMulInteger", self._made["quantized", x], numbers, middle, zero)
        floats = self.node("Cast", product, to=self.types.FLOAT)
        scaled = self.node("Mul", floats, self.node("Mul", self._computed_one(x), scale))
        return self.node("Mul", scaled, self._made["scale", x])

    def _computed_one(self, x: str) -> str:
        """1.0, which onnxruntime does not know: with a constant it does not fuse product and scale.

        From x, since a scale that several layers use as one node is not fused either.
        """
        if ("one", x) not in self._made:
            size = self.node("Size", x)
            same = self.node("Equal", size, size)
            self._made["one", x] = self.node("Cast", same, to=self.types.FLOAT)
        return self._made["one", x]

    def norm(self, x: str, name: str, eps: float) -> str:
        """See `Ops`."""
        weight, bias = self._tensor(f"{name}.weight"), self._tensor(f"{name}.bias")
        return self.node("LayerNormalization", x, weight, bias, axis=-1, epsilon=eps)

    def uer_norm(self, x: str, name: str, eps: float) -> str:
        """See `Ops`."""
        width, last = self.tensors[f"{name}.weight"].shape[0], self.ints(-1)
        x = self.node("Sub", x, self.node("ReduceMean", x, last))
        variance = self.node(
            "Div", self.node("ReduceSumSquare", x, last), self.number(float(width - 1))
        )
        deviation = self.node("Add", self.node("Sqrt", variance), self.number(eps))
        x = self.node("Mul", self.node("Div", x, deviation), self._tensor(f"{name}.weight"))
        return self.node("Add", x, self._tensor(f"{name}.bias"))

    def activate(self, x: str, kind: str) -> str:
        """See `Ops`."""
        if kind.startswith("gelu"):
            return self.node("Gelu", x, approximate="tanh" if kind == "gelu_tanh" else "none")
        if kind == "silu":
            return self.node("Mul", x, self.node("Sigmoid", x))
        return x if kind == "linear" else self.node(kind.capitalize(), x)

    def add(self, a: str, b: str) -> str:
        """See `Ops`."""
        return self.node("Add", a, b)

    def attend(self, query: str, key: str, value: str, mask: str, heads: int, width: int) -> str:
        """See `Ops`."""
        split, joined = self.ints(0, 0, heads, width // heads), self.ints(0, 0, width)
        query, key, value = (self.node("Reshape", x, split) for x in (query, key, value))
        query = self.node("Transpose", query, perm=[0, 2, 1, 3])  # (B, N, Q, D)
        key = self.node("Transpose", key, perm=[0, 2, 3, 1])  # (B, N, D, T)
        value = self.node("Transpose", value, perm=[0, 2, 1, 3])
        scores = self.node("MatMul", query, key)
        scores = self.node("Div", scores, self.number(math.sqrt(width // heads)))
        weights = self.node("Softmax", self.node("Add", scores, self._barred(mask)), axis=-1)
        mixed = self.node("Transpose", self.node("MatMul", weights, value), perm=[0, 2, 1, 3])
        return self.node("Reshape", mixed, joined)

    def _barred(self, mask: str) -> str:
        """What is added to scores (B, 1, 1, T): 0 where a token may be looked at."""
        if ("barred", mask) not in self._made:
            lowest = self.number(float(np.finfo(self.dtype).min))
            added = self.node("Where", mask, self.number(0.0), lowest)
            self._made["barred", mask] = self.node("Unsqueeze", added, self.ints(1, 2))
        return self._made["barred", mask]

    def gather(self, x: str, indices: str) -> str:
        """See `Ops`."""
        return self.node("Gather", x, indices)

    def rows(self, x: str) -> str:
        """See `Ops`."""
        return self.node("Flatten", x, axis=2)

    def lifted(self, x: str) -> str:
        """See `Ops`."""
        return self.node("Unsqueeze", x, self.ints(1))

    def dropped(self, x: str) -> str:
        """See `Ops`."""
        return self.node("Squeeze", x, self.ints(1))

    def first_column(self, x: str) -> str:
        """See `Ops`."""
        return self.node("Slice", x, self.ints(0), self.ints(1), self.ints(1))

    def first_rows(self, name: str, ids: str) -> str:
        """See `Ops`."""
        length = self.node("Shape", ids, start=1, end=2)
        return self.node("Slice", self._tensor(f"{name}.weight"), self.ints(0), length)
