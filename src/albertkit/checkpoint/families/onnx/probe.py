"""What lies between the parts of a graph, told by its numbers: norms, activations, attention.

Exporters write a normalisation or GELU in many ways. Here the nodes between two parts run on
probes, and what comes out is compared with each formula that an ALBERT can have. So it does not
matter how a formula is written, and a graph that computes something else is never taken for one.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from albertkit.checkpoint.families.onnx.attention import join, mixed, split
from albertkit.checkpoint.families.onnx.graph import Node
from albertkit.checkpoint.families.onnx.ops import Array, bounded, gelu_erf, gelu_tanh, sigmoid
from albertkit.checkpoint.families.onnx.parts import Parts, Weight
from albertkit.checkpoint.families.onnx.run import UNKNOWN, Standin
from albertkit.errors import CheckpointError

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu_tanh": gelu_tanh,
    "gelu_erf": gelu_erf,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "linear": lambda x: x,
    "silu": lambda x: x * sigmoid(x),
}
# Bounds of the differences. Constants of float16 are wrong by up to 1e-4 of their value; the two
# formulas of GELU differ by 5e-4.
_ACTIVATION_BOUND = 2e-4
_NORM_BOUND = 1e-2  # before epsilon is known
_EXACT_BOUND = 1e-5
_ATTENTION_BOUND = 2e-3
_LARGEST_VECTOR = 1 << 20


@dataclass(frozen=True)
class Norm:
    """A normalisation: y = x / sqrt(variance + eps) * scale + shift, of `activation` of a sum."""

    scale: Weight
    shift: Weight
    eps: float | None  # None: too small to be seen, as 1e-12 in float16
    activation: str


@dataclass
class _Region:
    """The nodes that make `target` of `ends`, in their order."""

    target: str
    ends: tuple[str, ...]
    nodes: list[Node]
    weights: list[str]  # names of learned numbers that they use
    key: tuple[Any, ...]  # the same for the same operations on the same shapes


def no_albert(found: str, expected: str = "an ALBERT") -> CheckpointError:
    """The error of a graph that computes something else."""
    return CheckpointError(
        "This ONNX graph is not that of an ALBERT.",
        expected=expected,
        found=found,
        fix="check that the file is the right one; other models are not read",
    )


class Probe:
    """Tries regions of a graph; the same operations only once."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._known: dict[tuple[Any, ...], Any] = {}
        self._random = np.random.default_rng(0)

    def norm(
        self, target: str, ends: Sequence[str], what: str, activations: Sequence[str] = ("linear",)
    ) -> Norm:
        """The normalisation of a sum of values.

        Args:
            target: the value that it makes.
            ends: the values that are summed.
            what: the part of the model, for the error.
            activations: what may stand before it (one input then).

        Raises:
            CheckpointError: it is none.
        """
        region = self._region(target, ends)
        key = ("norm", *activations)
        found = self._once(region, key, lambda: self._try_norm(region, activations))
        if found is None:
            raise no_albert(f"{self._shown(region)} as {what}", "a layer normalisation")
        scale, shift, eps, activation = found
        weights = self.parts.weights
        return Norm(weights[region.weights[scale]], weights[region.weights[shift]], eps, activation)

    def is_sum(self, target: str, ends: Sequence[str]) -> bool:
        """Whether a value is the sum of others and nothing else."""
        region = self._region(target, ends)
        return self._once(region, ("sum",), lambda: self._try_sum(region)) is True

    def activation(self, target: str, end: str, what: str) -> str:
        """The activation between two values: a key of ACTIVATIONS.

        Raises:
            CheckpointError: it is none of them.
        """
        region = self._region(target, [end])
        found = self._once(region, ("activation",), lambda: self._try_activation(region))
        if found is None:
            expected = ", ".join(ACTIVATIONS)
            raise no_albert(f"{self._shown(region)} as {what}", f"one of {expected}")
        return str(found)

    def attention(self, target: str, ends: Sequence[str]) -> tuple[int, tuple[str, ...]]:
        """Number of heads, and which of three values are query, key and value.

        Raises:
            CheckpointError: what is made of them is no attention.
        """
        region = self._region(target, ends)
        found = self._once(region, ("attention",), lambda: self._try_attention(region))
        if found is None:
            raise no_albert(f"{self._shown(region)}", "attention of query, key and value")
        heads, order = found
        return heads, tuple(ends[place] for place in order)

    def _once(self, region: _Region, kind: tuple[str, ...], attempt: Callable[[], Any]) -> Any:
        """What a trial tells, None for nothing; the same operations are tried once."""
        key = (kind, region.key)
        if key not in self._known:
            try:
                with np.errstate(all="ignore"):
                    self._known[key] = attempt()
            except CheckpointError:
                raise
            except (ValueError, IndexError, TypeError, AttributeError, MemoryError):
                self._known[key] = None  # shapes that fit no formula
        return self._known[key]

    def _region(self, target: str, ends: Sequence[str]) -> _Region:
        """The nodes between; what depends on no part keeps its value of the trial."""
        parts = self.parts
        names: dict[str, str] = {name: f"end {place}" for place, name in enumerate(ends)}
        nodes: dict[int, Node] = {}
        waiting = [target]
        while waiting:
            name = waiting.pop()
            node = parts.producer.get(name)
            if name in names or node is None or not parts.made_of.get(name):
                continue
            if parts.place[id(node)] not in nodes:
                nodes[parts.place[id(node)]] = node
                waiting += node.inputs
        ordered = [nodes[place] for place in sorted(nodes)]
        weights: list[str] = []
        key: list[Any] = [parts.values[name].shape for name in ends if _has_shape(parts, name)]
        for node in ordered:
            inputs = []
            for name in node.inputs:
                if name not in names:
                    names[name] = self._outside(name, weights)
                inputs.append(names[name])
            for name in node.outputs:
                names[name] = f"value {len(names)}"
            attributes = sorted((k, repr(v)) for k, v in node.attributes.items())
            key.append((node.op, tuple(attributes), tuple(inputs)))
        return _Region(target, tuple(ends), ordered, weights, tuple(key))

    def _outside(self, name: str, weights: list[str]) -> str:
        """What a value is that the region takes from elsewhere, the same for equal values."""
        weight = self.parts.weights.get(name)
        if self.parts.is_weight(name) and weight is not None:
            weights.append(name)
            return f"weight {len(weights)} {weight.array.shape}"
        value = self.parts.values.get(name, UNKNOWN)
        if isinstance(value, np.ndarray):
            return f"{value.dtype}{value.shape}{hashlib.sha256(value.tobytes()).hexdigest()}"
        return f"{getattr(value, 'shape', value)}"

    def _run(self, region: _Region, probes: Sequence[Array]) -> Any:
        """The target for these values at the ends; UNKNOWN if it cannot be told."""
        values = dict(zip(region.ends, probes, strict=True))
        for name in region.weights:
            weight = self.parts.weights[name]
            if weight.array.size <= _LARGEST_VECTOR:
                values[name] = weight.fractions().astype(np.float64)
        for node in region.nodes:
            args = [values.get(name, self.parts.values.get(name, UNKNOWN)) for name in node.inputs]
            # What is known by its shape only comes from elsewhere: a mask that is a constant.
            args = [UNKNOWN if isinstance(arg, Standin) else arg for arg in args]
            found = self.parts.runner.run(node, args)
            for name, value in zip(node.outputs, found, strict=False):
                if name not in region.ends:
                    values[name] = value
        return values.get(region.target, UNKNOWN)

    def _shapes(self, region: _Region) -> list[tuple[int, ...]] | None:
        if not all(_has_shape(self.parts, name) for name in region.ends):
            return None
        return [self.parts.values[name].shape for name in region.ends]

    def _normals(self, shapes: list[tuple[int, ...]], spread: float) -> list[Array]:
        """Random numbers of these shapes."""
        return [self._random.normal(0.0, spread, bounded(shape)) for shape in shapes]

    def _try_norm(self, region: _Region, activations: Sequence[str]) -> Any:
        shapes = self._shapes(region)
        if shapes is None:
            return None
        width = max(shape[-1] if shape else 0 for shape in shapes)
        names = [
            place
            for place, name in enumerate(region.weights)
            if self.parts.weights[name].array.size == width
        ]
        probes = self._normals(shapes, 2.0)
        total = _summed(probes, width)
        found = self._run(region, probes)
        if not isinstance(found, np.ndarray) or found.size != total.size or not 1 <= len(names) < 8:
            return None
        found = found.reshape(-1, width)
        best: Any = None
        for act in activations:
            inner = ACTIVATIONS[act](total)
            scale, shift = self._vectors(region, names, _normal(inner, 0.0), found)
            g, b = self._vector(region, scale), self._vector(region, shift)
            if _error(found, _normal(inner, 0.0) * g + b) > _NORM_BOUND:
                continue
            eps = self._epsilon(region, probes, g, b, act)
            error = _error(found, _normal(inner, eps or 0.0) * g + b)
            if best is None or error < best[0]:
                best = (error, scale, shift, eps, act)
        return best[1:] if best is not None and best[0] <= _EXACT_BOUND else None

    def _vectors(
        self, region: _Region, names: list[int], plain: Array, found: Array
    ) -> tuple[int, int]:
        """Which two of the vectors are scale and shift."""
        errors = {
            (scale, shift): _error(
                found, plain * self._vector(region, scale) + self._vector(region, shift)
            )
            for scale, shift in itertools.product(names, names)
        }
        return min(errors, key=lambda pair: errors[pair])

    def _vector(self, region: _Region, place: int) -> Array:
        weight = self.parts.weights[region.weights[place]]
        return weight.fractions().astype(np.float64).reshape(-1)

    def _epsilon(
        self, region: _Region, probes: list[Array], g: Array, b: Array, act: str
    ) -> float | None:
        """What is added to the variance: seen where the variance is about as small.

        The numbers that the nodes use are tried first, then every size.
        """
        likely = sorted({x for x in self._scalars(region) if 1e-20 < x < 0.1})
        for guess in (*likely, *(10.0**-power for power in range(1, 21))):
            inner = ACTIVATIONS[act](_summed(probes, len(g)))
            shrink = math.sqrt(guess / max(float(inner[0].var()), 1e-30))
            small = [probe * shrink for probe in probes]
            found = self._run(region, small).reshape(-1, len(g)) - b
            inner = ACTIVATIONS[act](_summed(small, len(g)))
            full = _normal(inner, 0.0) * g
            part = (found * full).sum(-1) / (full * full).sum(-1)
            if 0.05 < part[0] < 0.95:
                estimate = float(np.median(inner.var(-1) * (1 / part**2 - 1)))
                near = [x for x in likely if abs(x - estimate) <= 0.02 * estimate]
                return min(near, key=lambda x: abs(x - estimate)) if near else estimate
        return None

    def _scalars(self, region: _Region) -> list[float]:
        """Single fractions that the nodes use, as short as they were written."""
        found = []
        for node in region.nodes:
            for attribute in node.attributes.values():
                if isinstance(attribute, float):
                    found.append(_short(attribute, "float32"))
            for name in node.inputs:
                value = self.parts.values.get(name)
                if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind == "f":
                    weight = self.parts.weights.get(name)
                    dtype = "float32" if weight is None else weight.dtype
                    found.append(_short(float(value.reshape(-1)[0]), dtype))
        return found

    def _try_sum(self, region: _Region) -> bool:
        probes = self._normals(self._shapes(region) or [], 1.0)
        found = self._run(region, probes)
        total = _summed(probes, probes[0].shape[-1])
        return _error(found.reshape(total.shape), total) <= _EXACT_BOUND

    def _try_activation(self, region: _Region) -> str | None:
        shapes = self._shapes(region)
        if shapes is None:
            return None
        probe = np.resize(np.linspace(-6, 6, 481), bounded(shapes[0]))
        found = self._run(region, [probe])
        if not isinstance(found, np.ndarray) or found.size != probe.size:
            return None
        errors = {
            name: float(np.abs(found.reshape(probe.shape) - function(probe)).max())
            for name, function in ACTIVATIONS.items()
        }
        best, second = sorted(errors, key=lambda name: errors[name])[:2]
        clear = errors[best] <= _ACTIVATION_BOUND and errors[second] > 2 * errors[best]
        return best if clear else None

    def _try_attention(self, region: _Region) -> Any:
        shapes = self._shapes(region)
        rows, columns = self.parts.rows, self.parts.columns
        if shapes is None or not rows or len({math.prod(shape) for shape in shapes}) != 1:
            return None
        size = math.prod(shapes[0])
        width = size // (rows * columns)
        if width * rows * columns != size:
            return None
        probes = self._normals(shapes, 1.5)
        found = self._run(region, probes)
        if not isinstance(found, np.ndarray) or found.size != size:
            return None
        found = found.reshape(rows, columns, width)[:, :4]
        flat = [probe.reshape(rows, columns, width) for probe in probes]
        for heads in self._head_counts(region, width):
            parts = [split(x, heads) for x in flat]
            scale = (width // heads) ** -0.5
            for order in itertools.permutations(range(3)):
                query, key, value = (parts[place] for place in order)
                expected = join(mixed(query[:, :, :4], key, value, scale))
                if _error(found, expected) <= _ATTENTION_BOUND:
                    return heads, order
        return None

    def _head_counts(self, region: _Region, width: int) -> list[int]:
        """Numbers of heads to try: those that a shape on the way shows, before all others."""
        seen = {0}
        for node in region.nodes:
            for name in node.outputs:
                value = self.parts.values.get(name, UNKNOWN)
                seen.update(getattr(value, "shape", ()))
            heads = node.attributes.get("num_heads", node.attributes.get("q_num_heads", 0))
            seen.add(heads if isinstance(heads, int) else 0)
        counts = [n for n in range(1, min(width, 1024) + 1) if width % n == 0]
        return [n for n in counts if n in seen or width // n in seen]

    def _shown(self, region: _Region) -> str:
        """The operations of a region, for an error."""
        ops = list(dict.fromkeys(node.op for node in region.nodes))
        return ", ".join(ops[:12])[:200] or "nothing"


def _has_shape(parts: Parts, name: str) -> bool:
    return hasattr(parts.values.get(name), "shape")


def _summed(probes: Sequence[Array], width: int) -> Array:
    """The sum of values of one size, whatever their shapes: rows of this width."""
    total = probes[0].reshape(-1, width)
    for probe in probes[1:]:
        total = total + probe.reshape(-1, width)
    return total


def _normal(x: Array, eps: float) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps))


def _error(found: Array, expected: Array) -> float:
    """Largest difference, in units of the largest value; infinite where it is not finite."""
    with np.errstate(all="ignore"):
        error = float(np.abs(found - expected).max() / max(1e-6, float(np.abs(expected).max())))
    return error if np.isfinite(error) else float("inf")


def _short(value: float, dtype: str) -> float:
    """The number as it was before it became float32 or float16: 1e-12, not 9.999999960e-13."""
    for kind in ("float16",) * (dtype == "float16") + ("float32",):
        narrow = np.dtype(kind).type(value)
        if float(narrow) == value:
            return float(str(narrow))
    return value
