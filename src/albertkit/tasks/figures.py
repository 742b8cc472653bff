"""Which figures each kind of head has, and which of two results is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from albertkit.errors import RecipeError
from albertkit.tasks import choose, tag_words
from albertkit.tasks.classify import constant_answers, losses_of, predictions_of
from albertkit.tasks.head import TaskHead
from albertkit.tasks.metrics import accuracy, f1, matthews, pearson, spearman
from albertkit.tasks.rows import Floats, Ints, Labelled

# Of heads for texts by their loss: (gold, predicted) -> figure, higher is better; the first one
# decides unless another is asked for.
FIGURES: dict[str, dict[str, Callable[[Any, Any], float]]] = {
    "cross_entropy": {
        "accuracy": accuracy,
        "macro_f1": partial(f1, average="macro"),
        "matthews": matthews,
    },
    "binary_cross_entropy": {
        "micro_f1": partial(f1, average="micro"),
        "macro_f1": partial(f1, average="macro"),
    },
    "mean_squared_error": {"pearson": pearson, "spearman": spearman},
}
_ENTITIES, _ACCURACY = ("entity_f1", "precision", "recall", "accuracy"), ("accuracy",)
_ANSWERS = ("f1", "exact_match")
_MORE = ("HasAns_f1", "HasAns_exact", "NoAns_f1", "threshold")  # where there may be no answer
TITLES = {
    "loss": "loss",
    "accuracy": "accuracy",
    "macro_f1": "F1, mean over classes",
    "micro_f1": "F1, all classes together",
    "matthews": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "entity_f1": "F1 of entities",
    "precision": "precision of entities",
    "recall": "recall of entities",
    "f1": "F1 of answers",
    "exact_match": "exact match of answers",
    "HasAns_f1": "F1 where there is an answer",
    "HasAns_exact": "exact match where there is an answer",
    "NoAns_f1": "found that there is no answer",
    "threshold": "threshold for no answer",
    "best_f1": "F1 at the best threshold",
    "best_f1_threshold": "that threshold",
    "layers_used": "layers used, on average",
}


def names_of_figures(head: TaskHead) -> tuple[str, ...]:
    """Figures of a head besides its loss, the one that decides first."""
    if head.traits.task == "span":
        return _ANSWERS
    if head.traits.task == "tag":
        return _ENTITIES if tag_words.has_entities(head) else _ACCURACY
    if head.traits.task == "choose":
        return _ACCURACY
    return tuple(FIGURES[head.traits.loss])


def shown_figures(head: TaskHead, figures: Mapping[str, Any]) -> tuple[str, ...]:
    """What of these figures is shown of a head: those that decide, then what else there is."""
    first = names_of_figures(head)
    return first + tuple(name for name in _MORE if name in figures)


def figures_by_name(head: TaskHead) -> dict[str, Callable[[Any, Any], float]]:
    """Figures of a head that follow from each unit by itself, (gold, predicted) -> figure."""
    one_each = head.traits.task in ("tag", "choose")
    return {"accuracy": accuracy} if one_each else FIGURES[head.traits.loss]


def deciding_figure(head: TaskHead, wanted: str = "") -> str:
    """Name of the figure that decides for a head: the wanted one, else the first of its kind.

    Raises:
        RecipeError: there is no figure of this name.
    """
    known = [*names_of_figures(head), "loss"]
    if wanted and wanted not in known:
        raise RecipeError(
            f"run.metric must be one of {', '.join(known)}.",
            found=wanted,
            fix="correct run.metric, or leave it out",
        )
    return wanted or known[0]


def figures_of(head: TaskHead, logits: Floats, targets: Any, sizes: Ints) -> dict[str, Any]:
    """Every figure of a head for U units: loss, metrics, count, distinct_predictions.

    sizes: units of each example. A correlation with answers that are all the same is not defined;
    it counts as 0.
    """
    predictions = predictions_of(head, logits)
    if head.traits.task == "tag":
        found = tag_words.figures_of(head, logits, targets, sizes)
    else:
        found = {name: of(targets, predictions) for name, of in figures_by_name(head).items()}
    return {
        "loss": float(losses_of(head, logits, targets).mean()),
        **{name: 0.0 if math.isnan(value) else value for name, value in found.items()},
        "count": len(logits),
        "distinct_predictions": len(np.unique(predictions, axis=0)),
    }


def figures_of_units(head: TaskHead, logits: Floats, held: Labelled) -> dict[str, Any]:
    """`figures_of` of held-out examples."""
    return figures_of(head, logits, held.targets, held.rows.sizes)


def constant_figures(head: TaskHead, train: Labelled, held: Labelled) -> dict[str, Any]:
    """Figures of the best answer of who has seen the training targets only.

    Of options, by chance may be better.
    """
    if head.traits.task != "choose":
        return figures_of_units(head, constant_answers(head, train.targets, held.rows), held)
    found = figures_of_units(head, choose.constant_answers(head, train.targets, held.rows), held)
    chance = float(np.mean(1 / held.rows.num_options))
    return {**found, "accuracy": max(chance, found["accuracy"])}


def is_better(name: str, figures: Mapping[str, Any], best: Mapping[str, Any]) -> bool:
    """Whether the figure of this name is better than the best; equal ones by their loss."""
    if name == "loss":
        return bool(figures["loss"] < best["loss"])
    return (figures[name], -figures["loss"]) > (best[name], -best["loss"])
