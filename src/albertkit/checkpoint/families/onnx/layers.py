"""From the blocks of a graph, one after another, to layers that share them.

A block that is used again has the same weights: the same tensors, or copies with the same bits,
which old exporters made for every layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from albertkit.checkpoint.families.onnx.tensors import Stored
from albertkit.checkpoint.families.onnx.weights import Block, no_albert
from albertkit.config import MAX_DEPTH, AlbertConfig
from albertkit.errors import ConfigError

_SAMPLES = 64
# Config keys that say how layers share blocks.
PLAN = ("num_hidden_layers", "num_hidden_groups", "inner_group_num", "group_formula")


class Pool:
    """Finds equal tensors: the first of them stands for all.

    copies: name in the file of a copy, and the name of the first.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], list[Stored]] = {}
        self.copies: dict[str, str] = {}

    def first(self, weight: Stored) -> Stored:
        """The first tensor with these numbers, which may be this one.

        An exporter may keep one copy in float16 and another, the same numbers, in float32.
        """
        array = weight.array
        sample = replace(weight, array=array.flat[:: max(1, array.size // _SAMPLES)])
        known = self._known.setdefault((array.shape, sample.to_float32().tobytes()), [])
        for other in known:
            if _same(weight, other):
                if weight.source != other.source:
                    self.copies.setdefault(weight.source, other.source)
                return other
        known.append(weight)
        return weight


def _same(a: Stored, b: Stored) -> bool:
    """Whether two tensors of one shape have the same bits as float32."""
    if a.dtype == b.dtype and a.array.__array_interface__ == b.array.__array_interface__:
        return True
    if a.dtype == b.dtype:
        kind = f"u{a.array.itemsize}"
        return bool((a.array.view(kind) == b.array.view(kind)).all())
    return bool((a.to_float32().view("u4") == b.to_float32().view("u4")).all())


@dataclass(frozen=True)
class Sequence:
    """The different blocks, and in `order` the number of the one that each layer runs."""

    blocks: list[Block]
    order: tuple[int, ...]

    def __str__(self) -> str:
        return " ".join(map(str, self.order[:30])) + (" ..." if len(self.order) > 30 else "")


def in_order(layers: list[Block], pool: Pool) -> Sequence:
    """Layers with equal ones found."""
    numbers: dict[tuple[int, ...], int] = {}
    kept: list[Block] = []
    order = []
    for layer in layers:
        firsts = {name: pool.first(weight) for name, weight in layer.items()}
        key = tuple(id(firsts[name]) for name in sorted(firsts))
        if key not in numbers:
            numbers[key] = len(numbers)
            kept.append(firsts)
        order.append(numbers[key])
    return Sequence(kept, tuple(order))


def plan(config: AlbertConfig, layers: Sequence, fixed: Mapping[str, Any]) -> AlbertConfig:
    """The config with layers, groups and inner groups that run the blocks in their order.

    Several may; what `config` says is tried first, then the one with the fewest inner blocks.

    Args:
        config: all other keys.
        layers: the blocks.
        fixed: keys of PLAN that the user set.

    Raises:
        CheckpointError: no ALBERT of transformers or google runs them in this order.
        ConfigError: none does that has the keys that were set.
    """
    wanted = {key: value for key, value in fixed.items() if key in PLAN}
    possible = False
    for candidate in _candidates(config, layers):
        if named_blocks(candidate, layers) is None:
            continue
        possible = True
        if all(getattr(candidate, key) == value for key, value in wanted.items()):
            return candidate
    if possible:
        raise ConfigError(
            "The layers of the graph are not shared that way.",
            expected=f"blocks in the order {layers}",
            found=", ".join(f"{key}={value}" for key, value in wanted.items()),
            fix="leave these keys out: the graph shows them",
        )
    raise no_albert(str(layers), "groups of layers that share their weights, one after another")


def _candidates(config: AlbertConfig, layers: Sequence) -> Iterator[AlbertConfig]:
    """Configs that may fit, the likely ones first."""
    total = len(layers.order)
    yield config
    for inner in (n for n in range(1, total + 1) if total % n == 0 and total <= MAX_DEPTH):
        count = total // inner
        fewest = max(1, min(count, -(-len(layers.blocks) // inner)))
        # Google's formula leaves out some of the groups where there are nearly as many as layers.
        most = count if count <= 64 else fewest
        for groups in dict.fromkeys([fewest, *range(1, most + 1)]):
            for formula in ("google", "huggingface"):
                sizes = {"num_hidden_layers": count, "num_hidden_groups": groups}
                yield replace(config, **sizes, inner_group_num=inner, group_formula=formula)


def named_blocks(config: AlbertConfig, layers: Sequence) -> dict[str, Stored] | None:
    """The weights of the layers by our names; None if the config runs other blocks."""
    inner = config.inner_group_num
    numbers: dict[tuple[int, int], int] = {}
    if inner * config.num_hidden_layers != len(layers.order) or config.share != "all":
        return None
    for place, number in enumerate(layers.order):
        key = config.attention_block(place // inner), place % inner
        if numbers.setdefault(key, number) != number:
            return None
    if len(set(numbers.values())) != len(numbers):
        return None  # two places of the config for one block
    return {
        f"albert.encoder.{part}.{group}.{place}.{name}": tensor
        for (group, place), number in numbers.items()
        for (part, name), tensor in layers.blocks[number].items()
    }
