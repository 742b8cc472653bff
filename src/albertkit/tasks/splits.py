"""Held-out examples for who has one file: a share of each class, the same for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from albertkit.tasks.examples import ChoiceExample, SpanExample, TagExample, TextExample

Example = TypeVar("Example", TextExample, TagExample, ChoiceExample, SpanExample)
_FEW_ARTICLES = 10  # so few are not divided: one may be half of the questions


def hold_out(
    examples: Sequence[Example], share: float, seed: int, *, by_class: bool
) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples, each in their order.

    Equal texts are always on the same side, so that nothing held out was seen in training; of
    questions all about one article, or about one context where articles are few or not known.
    Each class keeps at least one text in training; by_class: labels are classes, of each of which
    `share` is held out.
    """
    groups: dict[object, dict[bytes, None]] = {}
    placed: set[bytes] = set()
    articles = by_article(examples)
    keys = [_key(example, seed, articles) for example in examples]
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


def by_article(examples: Sequence[Example]) -> bool:
    """Whether whole articles are held out: questions whose articles are known, and not few."""
    known = {x.article for x in examples if isinstance(x, SpanExample)} - {""}
    return len(known) >= _FEW_ARTICLES


def _key(example: Example, seed: int, articles: bool) -> bytes:
    pair = example.pair if isinstance(example, TextExample) else None
    own = example.text
    if articles and isinstance(example, SpanExample):
        own = example.article or own
    text = f"{seed}\0{own}\0{pair or ''}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
