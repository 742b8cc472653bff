"""Held-out examples for who has one file: a share of each class, the same for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from albertkit.tasks.examples import ChoiceExample, TagExample, TextExample

Example = TypeVar("Example", TextExample, TagExample, ChoiceExample)


def hold_out(
    examples: Sequence[Example], share: float, seed: int, *, by_class: bool
) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples, each in their order.

    Equal texts are always on the same side, so that nothing held out was seen in training; of
    questions equal contexts are. Each class keeps at least one text in training; by_class: labels
    are classes, of each of which `share` is held out.
    """
    groups: dict[object, dict[bytes, None]] = {}
    placed: set[bytes] = set()
    keys = [_key(example, seed) for example in examples]
    for example, key in zip(examples, keys, strict=True):
        if key not in placed:
            placed.add(key)
            of = example.label if by_class and isinstance(example, TextExample) else None
            groups.setdefault(of, {})[key] = None
    held: set[bytes] = set()
    for texts in groups.values():
        order = sorted(texts)  # the keys are hashes: an order by chance
        count = min(len(order) - 1, max(1, round(share * len(order)))) if share else 0
        held.update(order[:count])
    pairs = list(zip(examples, keys, strict=True))
    return [e for e, key in pairs if key not in held], [e for e, key in pairs if key in held]


def _key(example: TextExample | TagExample | ChoiceExample, seed: int) -> bytes:
    pair = example.pair if isinstance(example, TextExample) else None
    text = f"{seed}\0{example.text}\0{pair or ''}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
