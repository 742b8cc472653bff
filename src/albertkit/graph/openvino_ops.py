"""The steps of `Ops` with OpenVINO's operations; a value is an output of a node.

Weights are constants, one for each tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from albertkit.plugins import need_package

Array = npt.NDArray[Any]


class OpenvinoOps:
    """See `Ops`. tensors: of the checkpoint."""

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        self.op = need_package("openvino.opset15", "openvino")
        self.tensors = tensors
        self._constants: dict[str, Any] = {}

    def constant(self, name: str, array: Array) -> Any:
        """A constant, made once."""
        if name not in self._constants:
            array = np.ascontiguousarray(array, np.float32)
            self._constants[name] = self.op.constant(array, name=name)
        return self._constants[name]

    def _tensor(self, name: str) -> Any:
        return self.constant(name, self.tensors[name])

    def _biased(self, x: Any, name: str) -> Any:
        return self.op.add(x, self._tensor(name)) if name in self.tensors else x

    def lookup(self, name: str, ids: Any, first: int = 0) -> Any:
        """See `Ops`."""
        table = self.constant(f"{name}.weight", self.tensors[f"{name}.weight"][first:])
        return self.op.gather(table, ids, np.int32(0))

    def linear(self, x: Any, name: str) -> Any:
        """See `Ops`."""
        weight = f"{name}.weight"
        if self.tensors[weight].ndim == 3:
            return self._biased(self._grouped(x, weight), f"{name}.bias")
        product = self.op.matmul(x, self._tensor(weight), False, True)
        return self._biased(product, f"{name}.bias")

    def _grouped(self, x: Any, weight: str) -> Any:
        """Slices of the features, each with its matrix: (G, S, in) times (G, out, in)."""
        op, (groups, width_out, width_in) = self.op, self.tensors[weight].shape
        lead = op.slice(op.shape_of(x, "i32"), [np.int32(0)], [np.int32(-1)], [np.int32(1)])
        shape = op.concat([lead, np.array([groups * width_out], np.int32)], 0)
        x = op.reshape(x, np.array([-1, width_in, groups], np.int32), False)
        x = op.transpose(x, np.array([2, 0, 1], np.int32))
        product = op.matmul(x, self._tensor(weight), False, True)
        return op.reshape(op.transpose(product, np.array([1, 0, 2], np.int32)), shape, False)

    def linear_back(self, x: Any, name: str) -> Any:
        """See `Ops`."""
        return self.op.matmul(x, self._tensor(f"{name}.weight"), False, False)

    def scores(self, x: Any, table: str, bias: str) -> Any:
        """See `Ops`."""
        product = self.op.matmul(x, self._tensor(f"{table}.weight"), False, True)
        return self._biased(product, f"{bias}.bias")

    def norm(self, x: Any, name: str, eps: float) -> Any:
        """See `Ops`."""
        x = self.op.mvn(x, np.array([-1], np.int32), True, eps, "inside_sqrt")
        x = self.op.multiply(x, self._tensor(f"{name}.weight"))
        return self.op.add(x, self._tensor(f"{name}.bias"))

    def uer_norm(self, x: Any, name: str, eps: float) -> Any:
        """See `Ops`."""
        op, last = self.op, np.array([-1], np.int32)
        width = self.tensors[f"{name}.weight"].shape[0]
        x = op.subtract(x, op.reduce_mean(x, last, True))
        variance = op.divide(op.reduce_sum(op.multiply(x, x), last, True), np.float32(width - 1))
        x = op.divide(x, op.add(op.sqrt(variance), np.float32(eps)))
        x = op.multiply(x, self._tensor(f"{name}.weight"))
        return op.add(x, self._tensor(f"{name}.bias"))

    def activate(self, x: Any, kind: str) -> Any:
        """See `Ops`."""
        if kind.startswith("gelu"):
            return self.op.gelu(x, "tanh" if kind == "gelu_tanh" else "erf")
        steps = {"silu": self.op.swish, "relu": self.op.relu, "tanh": self.op.tanh}
        return x if kind == "linear" else steps[kind](x)

    def add(self, a: Any, b: Any) -> Any:
        """See `Ops`."""
        return self.op.add(a, b)

    def attend(self, query: Any, key: Any, value: Any, mask: Any, heads: int, width: int) -> Any:
        """See `Ops`."""
        op = self.op
        split = np.array([0, 0, heads, width // heads], np.int32)
        swap = np.array([0, 2, 1, 3], np.int32)
        parts = [op.transpose(op.reshape(x, split, True), swap) for x in (query, key, value)]
        rows = op.unsqueeze(mask, np.array([1, 2], np.int32))  # (B, 1, 1, T)
        mixed = op.transpose(op.scaled_dot_product_attention(*parts, rows), swap)
        return op.reshape(mixed, np.array([0, 0, width], np.int32), True)

    def gather(self, x: Any, indices: Any) -> Any:
        """See `Ops`."""
        return self.op.gather(x, indices, np.int32(0))

    def rows(self, x: Any) -> Any:
        """See `Ops`."""
        width = x.get_output_partial_shape(0)[2].get_length()
        return self.op.reshape(x, np.array([-1, width], np.int32), False)

    def lifted(self, x: Any) -> Any:
        """See `Ops`."""
        return self.op.unsqueeze(x, np.array([1], np.int32))

    def dropped(self, x: Any) -> Any:
        """See `Ops`."""
        return self.op.squeeze(x, np.array([1], np.int32))

    def first_column(self, x: Any) -> Any:
        """See `Ops`."""
        zero, one = np.array([0], np.int32), np.array([1], np.int32)
        return self.op.slice(x, zero, one, one, one)

    def first_rows(self, name: str, ids: Any) -> Any:
        """See `Ops`."""
        zero, one = np.array([0], np.int32), np.array([1], np.int32)
        length = self.op.gather(self.op.shape_of(ids, "i32"), one, np.int32(0))
        return self.op.slice(self._tensor(f"{name}.weight"), zero, length, one, zero)
