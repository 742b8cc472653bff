"""How well each class is found: of a text one or several, of words, or types of entities."""

from __future__ import annotations

from typing import Any, NamedTuple

from albertkit.tasks.classify import label_name
from albertkit.tasks.head import TaskHead
from albertkit.tasks.metrics import f1_of_counts
from albertkit.tasks.rows import Ints
from albertkit.tasks.tag_metrics import entity_scores
from albertkit.tasks.tag_words import has_entities, tags_of_words


class OfClass(NamedTuple):
    """One class: `correct` of the `predicted`, and of the `support` that are there."""

    name: str
    correct: int
    predicted: int
    support: int

    @property
    def precision(self) -> float:
        """Share of the predicted that is right; 0 where there are none."""
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of what is there that was found; 0 where there is none."""
        return self.correct / self.support if self.support else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return f1_of_counts(self.correct, self.predicted, self.support)


def by_class(head: TaskHead, targets: Any, predictions: Any, sizes: Ints) -> tuple[OfClass, ...]:
    """Every class of a head in its order, or every type of entity; () where there are no classes.

    targets, predictions: of U units, see `classify.targets_of`; sizes: units of each example.
    """
    if not head.traits.has_classes:
        return ()
    if head.traits.task == "tag" and has_entities(head):
        gold, found = (tags_of_words(head, classes, sizes) for classes in (targets, predictions))
        types = entity_scores(gold, found).by_type.items()
        return tuple(OfClass(name, x.right, x.predicted, x.gold) for name, x in types)
    made = []
    for n in range(head.num_labels):
        if head.kind == "multi_label":
            there, guessed = targets[:, n] > 0, predictions[:, n] > 0
        else:
            there, guessed = targets == n, predictions == n
        counts = (int(x.sum()) for x in (there & guessed, guessed, there))
        made.append(OfClass(label_name(head, n), *counts))
    return tuple(made)
