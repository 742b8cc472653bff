"""What was measured on a model that ships: the figures beside its weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from albertkit.hub import SHIPPED

FIGURES = "figures.json"


@dataclass(frozen=True)
class OrderFigures:
    """Shares of held-out pairs whose order is judged right: the model's with its 95 % interval."""

    accuracy: float
    low: float
    high: float
    bag_of_words: float

    @property
    def learned(self) -> bool:
        """Whether the whole interval is above chance and above a bag of words."""
        return self.low > max(0.5, self.bag_of_words)

    def __str__(self) -> str:
        right = f"right on {self.accuracy:.1%} of held-out pairs, chance is 50%"
        if self.learned:
            return f"{right}, a bag of words {self.bag_of_words:.1%}"
        return f"{right}: order is not learned"


def order_figures(folder: Path) -> OrderFigures | None:
    """Sentence order on held-out rows of 128 tokens; None for a model that does not ship."""
    if folder.parent != SHIPPED:
        return None
    found = json.loads((folder / FIGURES).read_text(encoding="utf-8"))["held_out"]["128"]
    low, high = found["order_interval"]
    return OrderFigures(found["order_accuracy"], low, high, found["order_bag_of_words"])
