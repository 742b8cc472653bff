"""From the blocks of an unrolled graph, one after another, to layers that share them.

A block that is used again has the same weights: the same tensors, or copies with the same bits,
which old exporters made for every layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from albertkit.checkpoint.families.onnx.parts import Weight
from albertkit.checkpoint.families.onnx.tensors import Stored
from albertkit.checkpoint.families.onnx.walk import Block
from albertkit.config import LARGEST_DEPTH, AlbertConfig
from albertkit.errors import CheckpointError, ConfigError

_SAMPLES = 64
# Config keys that say how layers share blocks.
PLAN = ("num_hidden_layers", "num_hidden_groups", "inner_group_num", "share", "group_formula")


class Pool:
    """Tells equal tensors: the first of them stands for all."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], list[Weight]] = {}
        self.copies: dict[str, str] = {}  # name in the file of a copy: name of the first

    def first(self, weight: Weight) -> Weight:
        """The first tensor with these numbers, which may be this one.

        An exporter may keep one copy in float16 and another, the same numbers, in float32.
        """
        array = weight.array
        step = max(1, array.size // _SAMPLES)
        sample = Stored(weight.dtype, array.flat[::step]).fractions()
        known = self._known.setdefault((array.shape, sample.tobytes()), [])
        for other in known:
            if _same(weight, other):
                if weight.source != other.source:
                    self.copies.setdefault(weight.source, other.source)
                return other
        known.append(weight)
        return weight


def _same(a: Weight, b: Weight) -> bool:
    """Whether two tensors of one shape have the same bits as float32."""
    if a.dtype == b.dtype and a.array.__array_interface__ == b.array.__array_interface__:
        return True
    if a.dtype == b.dtype:
        kind = f"u{a.array.itemsize}"
        return bool((a.array.view(kind) == b.array.view(kind)).all())
    return bool((a.fractions().view("u4") == b.fractions().view("u4")).all())


@dataclass(frozen=True)
class Sequence:
    """The blocks in the order in which they run: numbers of different ones, from 0 on."""

    blocks: list[Block]  # each once
    order: tuple[int, ...]


def in_order(blocks: list[Block], pool: Pool) -> Sequence:
    """Blocks with equal ones told."""
    numbers: dict[tuple[int, ...], int] = {}
    kept: list[Block] = []
    order = []
    for block in blocks:
        firsts = {name: pool.first(weight) for name, weight in block.items()}
        key = tuple(id(firsts[name]) for name in sorted(firsts))
        if key not in numbers:
            numbers[key] = len(numbers)
            kept.append(firsts)
        order.append(numbers[key])
    return Sequence(kept, tuple(order))


def plan(
    config: AlbertConfig, attention: Sequence, feed_forward: Sequence, fixed: Mapping[str, Any]
) -> AlbertConfig:
    """The config with layers, groups and inner groups that run the blocks in their order.

    Several may; what `config` says is tried first, then the one with the fewest inner blocks.

    Args:
        config: all other keys.
        attention, feed_forward: the blocks.
        fixed: keys of PLAN that the user set.

    Raises:
        CheckpointError: no ALBERT runs them in this order.
        ConfigError: none does that has the keys that were set.
    """
    wanted = {key: value for key, value in fixed.items() if key in PLAN}
    possible = False
    for candidate in _candidates(config, attention, feed_forward):
        if names(candidate, attention, feed_forward) is None:
            continue
        possible = True
        if all(getattr(candidate, key) == value for key, value in wanted.items()):
            return candidate
    if possible:
        raise ConfigError(
            "The layers of the graph are not shared that way.",
            expected=f"blocks in the order {_shown(attention.order)}",
            found=", ".join(f"{key}={value}" for key, value in wanted.items()),
            fix="leave these keys out: the graph tells them",
        )
    raise CheckpointError(
        "No ALBERT shares its layers as this graph does.",
        expected="groups of layers, one after another",
        found=f"attention {_shown(attention.order)}, feed-forward {_shown(feed_forward.order)}",
        fix="check that the file is the right one",
    )


def _shown(order: tuple[int, ...]) -> str:
    return " ".join(map(str, order[:30])) + (" ..." if len(order) > 30 else "")


def _candidates(
    config: AlbertConfig, attention: Sequence, feed_forward: Sequence
) -> Iterator[AlbertConfig]:
    """Configs that may fit, the likely ones first."""
    count = len(attention.order)
    yield config
    if count > LARGEST_DEPTH:
        return
    alike = attention.order == feed_forward.order
    shares = ("all",) if alike else ("all", "attention", "ffn", "none")
    kinds = max(len(attention.blocks), len(feed_forward.blocks))
    for inner in (n for n in range(1, count + 1) if count % n == 0):
        layers = count // inner
        fewest = max(1, min(layers, -(-kinds // inner)))
        # Google's formula leaves out some of the groups where there are nearly as many as layers.
        most = layers if layers <= 64 else fewest
        for groups in dict.fromkeys([fewest, *range(1, most + 1)]):
            for formula in ("google", "huggingface"):
                for share in shares:
                    yield replace(
                        config,
                        num_hidden_layers=layers,
                        num_hidden_groups=groups,
                        inner_group_num=inner,
                        group_formula=formula,
                        share=share,
                    )


def names(
    config: AlbertConfig, attention: Sequence, feed_forward: Sequence
) -> dict[str, Block] | None:
    """Blocks by the first part of our names; None if the config runs others."""
    inner, layers = config.inner_group_num, config.num_hidden_layers
    if inner * layers != len(attention.order):
        return None
    found: dict[str, Block] = {}
    plans = {
        "attention": (attention, config.attention_block),
        "feed_forward": (feed_forward, config.feed_forward_block),
    }
    for part, (sequence, block_of) in plans.items():
        numbers: dict[str, int] = {}
        for place, number in enumerate(sequence.order):
            name = f"albert.encoder.{part}.{block_of(place // inner)}.{place % inner}"
            if numbers.setdefault(name, number) != number:
                return None
        if len(set(numbers.values())) != len(numbers):
            return None  # two places of the config for one block
        found |= {name: sequence.blocks[number] for name, number in numbers.items()}
    return found
