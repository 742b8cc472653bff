"""The held-out figures of a pretraining run, each beside the baseline that it has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from albertkit.train.baselines import Baselines
from albertkit.train.validation import wilson_interval

COIN_NATS = 0.693


@dataclass(frozen=True)
class Figure:
    """A loss in nats, or an accuracy, over `count` predictions."""

    name: str  # as in metrics.jsonl
    title: str
    value: float
    count: int
    baseline: float
    baseline_name: str

    @property
    def is_share(self) -> bool:
        """Whether it lies between 0 and 1."""
        return self.name.endswith("accuracy")

    @property
    def text(self) -> str:
        """The value for people; losses without their unit."""
        return self._show(self.value)

    @property
    def baseline_text(self) -> str:
        """The baseline's value for people."""
        return self._show(self.baseline)

    @property
    def interval(self) -> str:
        """95 % interval of an accuracy, as if cases were independent; "" for a loss."""
        if not self.is_share:
            return ""
        low, high = wilson_interval(self.value * self.count, self.count)
        return f"{low:.1%} to {high:.1%}"

    def _show(self, value: float) -> str:
        return f"{value:.1%}" if self.is_share else f"{value:.3f}"


def figures(validated: Mapping[str, Any], baselines: Baselines) -> list[Figure]:
    """Figures of a validation line of metrics.jsonl; masked-LM alone has none of sentence order."""
    return [
        Figure(name, title, validated[name], validated[f"{name[:3]}_count"], baseline, beaten)
        for name, title, baseline, beaten in baseline_rows(baselines)
        if name in validated
    ]


def baseline_rows(baselines: Baselines) -> list[tuple[str, str, float, str]]:
    """(name in metrics.jsonl, title, baseline, name of the baseline) of each held-out figure."""
    rows = [
        ("mlm_loss", "masked-LM loss", baselines.unigram_entropy, "unigram entropy"),
        ("mlm_accuracy", "masked-LM accuracy", baselines.unigram_accuracy, "most frequent token"),
        ("sop_loss", "sentence-order loss", COIN_NATS, "a coin"),
        ("sop_accuracy", "sentence-order accuracy", baselines.order_accuracy, "bag of words"),
    ]
    return [
        (name, title, baseline, beaten)
        for name, title, baseline, beaten in rows
        if baseline is not None
    ]
