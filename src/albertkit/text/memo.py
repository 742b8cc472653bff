"""A memoized function at the speed of a dict: `map(memo.__getitem__, keys)`."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
MAX_KEPT = 250_000
MAX_KEY_LENGTH = 200


class Memo(dict[K, V]):
    """Results of a function by its argument: at most MAX_KEPT of them, and none for long texts.

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
