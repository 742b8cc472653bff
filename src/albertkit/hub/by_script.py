"""The models of this package by the script of texts: for who names none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from albertkit.text.characters import is_han

ENGLISH, CHINESE = "albertkit/tiny-en", "albertkit/tiny-zh"


def model_for(text: str) -> str | None:
    """The model for a text; None if it has no letter."""
    if any(is_han(ord(character)) for character in text):
        return CHINESE
    return ENGLISH if any(map(str.isalpha, text)) else None


def model_for_most(texts: Iterable[str]) -> tuple[str, float]:
    """The model for most of many texts, and the share of those with a letter that it is for."""
    counts = Counter(model for text in texts if (model := model_for(text)) is not None)
    if not counts:
        return ENGLISH, 1.0
    name, count = counts.most_common(1)[0]
    return name, count / counts.total()
