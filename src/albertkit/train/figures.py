"""The held-out figures of a pretraining run, each beside the baseline that it has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from albertkit.train.baselines import Baselines
from albertkit.train.health import CLEARLY_BELOW
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
    before: float | None = None  # before step 0, of a run that goes on

    @property
    def is_share(self) -> bool:
        """Whether it is between 0 and 1."""
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
    def before_text(self) -> str:
        """The value before step 0 for people; "" where it was not measured."""
        return "" if self.before is None else self._show(self.before)

    @property
    def interval(self) -> str:
        """95 % interval of an accuracy, as if cases were independent; "" for a loss."""
        if not self.is_share:
            return ""
        low, high = wilson_interval(self.value * self.count, self.count)
        return f"{low:.1%} to {high:.1%}"

    @property
    def beats_baseline(self) -> bool:
        """A loss clearly below the baseline, an accuracy whose interval lies above it."""
        if not self.is_share:
            return self.value < self.baseline - CLEARLY_BELOW
        return wilson_interval(self.value * self.count, self.count)[0] > self.baseline

    @property
    def comparison(self) -> str:
        """Whether the baseline is beaten, not clearly (within chance), or not."""
        if self.beats_baseline:
            return "beaten"
        better = self.value > self.baseline if self.is_share else self.value < self.baseline
        return "not clearly beaten" if better else "not beaten"

    def _show(self, value: float) -> str:
        return f"{value:.1%}" if self.is_share else f"{value:.3f}"


@dataclass(frozen=True)
class Lesson:
    """One thing that a model is to learn, whether it has, and the figure that shows it."""

    name: str  # as in JSON
    title: str
    learned: bool
    figure: Figure

    @property
    def verdict(self) -> str:
        """In two words or one."""
        return "learned" if self.learned else "not learned"

    @property
    def facts(self) -> str:
        """The figure beside its baseline, and what it was before the run."""
        figure = self.figure
        what = "accuracy" if figure.is_share else "loss"
        interval = f" ({figure.interval})" if figure.is_share else ""
        before = f", before the run {figure.before_text}" if figure.before is not None else ""
        baseline = f"{figure.baseline_name} {figure.baseline_text}"
        return f"held-out {what} {figure.text}{interval}, {baseline}{before}"

    def __str__(self) -> str:
        return f"{self.title}: {self.verdict}; {self.facts}"

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        figure = self.figure
        return {
            "learned": self.learned,
            "value": figure.value,
            "baseline": figure.baseline,
            "baseline_name": figure.baseline_name,
            "before": figure.before,
        }


# What shows that a lesson is learned, by the name of the figure.
LESSONS = {"mlm_loss": ("masked_lm", "masked words"), "sop_accuracy": ("sentence_order",) * 2}


def lessons(
    validated: Mapping[str, Any], baselines: Baselines, before: Mapping[str, Any] | None = None
) -> list[Lesson]:
    """Masked words and, where it is trained, sentence order: each learned or not learned."""
    shown = {figure.name: figure for figure in figures(validated, baselines, before)}
    return [
        Lesson(name, title.replace("_", " "), shown[key].beats_baseline, shown[key])
        for key, (name, title) in LESSONS.items()
        if key in shown
    ]


def figures(
    validated: Mapping[str, Any], baselines: Baselines, before: Mapping[str, Any] | None = None
) -> list[Figure]:
    """Figures of a validation line of metrics.jsonl; masked-LM alone has none of sentence order."""
    earlier = before or {}
    return [
        Figure(
            name,
            title,
            validated[name],
            validated[f"{name[:3]}_count"],
            baseline,
            beaten,
            earlier.get(name),
        )
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
