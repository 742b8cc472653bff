"""95 % intervals of the figures of a head: Wilson's of an accuracy, others by drawing again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from albertkit.tasks.figures import figures_by_name
from albertkit.tasks.head import TaskHead
from albertkit.tasks.metrics import bootstrap_interval, f1_of_counts, wilson_interval
from albertkit.tasks.rows import Ints
from albertkit.tasks.tag_metrics import entities
from albertkit.tasks.tag_words import has_entities, tags_of_words

Intervals = dict[str, tuple[float, float]]
_DRAWS = 200


def intervals_of_units(
    head: TaskHead, targets: Any, predictions: Any, sizes: Ints, figures: Mapping[str, Any]
) -> Intervals:
    """Of the figures of U units: texts, words or questions; of entities by drawing sentences."""
    count = len(targets)
    if head.traits.task == "tag" and has_entities(head):
        gold, found = (tags_of_words(head, classes, sizes) for classes in (targets, predictions))
        right = round(figures["accuracy"] * count)
        return {**_of_entities(gold, found), "accuracy": wilson_interval(right, count)}
    made: Intervals = {}
    for name, of in figures_by_name(head).items():
        if name == "accuracy":
            made[name] = wilson_interval(round(figures[name] * count), count)
        elif count > 1:

            def score(rows: Any, of: Any = of) -> float:
                return float(of(targets[rows], predictions[rows]))

            made[name] = bootstrap_interval(score, count, draws=_DRAWS)
    return made


def _of_entities(gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> Intervals:
    pairs = [(set(entities(a)), set(entities(b))) for a, b in zip(gold, found, strict=True)]
    counts = np.array([(len(a & b), len(b), len(a)) for a, b in pairs])

    def score(rows: Any) -> float:
        return f1_of_counts(*(int(x) for x in counts[rows].sum(0)))

    return {"entity_f1": bootstrap_interval(score, len(pairs), draws=_DRAWS)}


def intervals_of_answers(exact: Sequence[float], overlap: Sequence[float]) -> Intervals:
    """Of exact match and F1 of questions, each 0 to 1; none of a single question."""
    if len(exact) < 2:
        return {}
    return {
        name: bootstrap_interval(_mean_of(np.array(values)), len(values), draws=_DRAWS)
        for name, values in (("f1", overlap), ("exact_match", exact))
    }


def _mean_of(values: npt.NDArray[np.float64]) -> Any:
    return lambda rows: float(values[rows].mean())
