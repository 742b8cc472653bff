"""A function whose results are kept, at the speed of a dict: `map(found.__getitem__, keys)`."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
MAX_KEPT = 250_000
MAX_KEY_LENGTH = 200


class Found(dict[K, V]):
    """What was found for each key so far: never too many of them, and no long texts.

    functools.lru_cache asks for a lock and an order at each look-up, which takes twice as long.
    """

    def __init__(self, find: Callable[[K], V]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, key: K) -> V:
        found = self._find(key)
        if len(self) >= MAX_KEPT:
            self.clear()
        if not isinstance(key, str) or len(key) <= MAX_KEY_LENGTH:
            self[key] = found
        return found
