"""The scores of a data set: predictions against its examples, as its official program has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from albertkit.benchmarks._protocol import DataSet, Example
from albertkit.errors import PredictionError
from albertkit.tasks import metrics
from albertkit.tasks.chinese_metrics import cmrc_scores
from albertkit.tasks.examples import ChoiceExample, SpanExample, TagExample, TextExample
from albertkit.tasks.squad_metrics import squad1_scores, squad2_scores
from albertkit.tasks.tag_metrics import entity_scores

_OF_CLASSES: dict[str, Callable[[Any, Any], float]] = {
    "accuracy": metrics.accuracy,
    "f1": metrics.f1,  # of the second label, the "yes"
    "macro_f1": lambda gold, predicted: metrics.f1(gold, predicted, "macro"),
    "matthews": metrics.matthews,
    "pearson": metrics.pearson,
    "spearman": metrics.spearman,
}


def scores(
    data_set: DataSet,
    examples: Sequence[Example],
    predictions: Mapping[str, Any],
    no_answer: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """The scores that `data_set.scores` names, -1 or 0 to 1, of the examples whose answer is known.

    predictions: by id: the name of a class, a number, a tag for each word, the index of an option,
    or the text of an answer. A correlation with predictions that are all the same counts as 0.
    no_answer: of SQuAD 2.0, how sure it is that there is none; with it exact and f1 are those at
    the best threshold.

    Raises:
        PredictionError: no example has a known answer, or one of these has no prediction.
    """
    known = [example for example in examples if is_known(example)]
    missing = next((x.id for x in known if x.id not in predictions), None)
    if not known or missing is not None:
        raise PredictionError(
            f"{data_set.title} cannot be scored.",
            expected="examples with answers, and a prediction for each",
            found="no example has an answer" if not known else f"no prediction for {missing}",
            fix="score a split whose answers are public, and predict all of it",
        )
    found = _scores(data_set, known, predictions, no_answer)
    return {
        name: 0.0 if math.isnan(found[name]) else float(found[name]) for name in data_set.scores
    }


def is_known(example: Example) -> bool:
    """Whether the answer of an example is known."""
    if isinstance(example, TextExample):
        return example.label is not None
    if isinstance(example, TagExample):
        return example.tags is not None
    if isinstance(example, ChoiceExample):
        return example.answer is not None
    return bool(example.answers) or example.is_impossible


def _scores(
    data_set: DataSet,
    examples: Sequence[Example],
    predictions: Mapping[str, Any],
    no_answer: Mapping[str, float] | None,
) -> dict[str, float]:
    if isinstance(examples[0], SpanExample):
        return _of_answers(data_set, examples, predictions, no_answer)
    predicted = [predictions[x.id] for x in examples]
    if isinstance(examples[0], TagExample):
        gold = [x.tags for x in examples if isinstance(x, TagExample) and x.tags is not None]
        made = entity_scores(gold, predicted)
        return {
            "entity_f1": made.f1,
            "macro_f1": made.macro_f1,
            "precision": made.precision,
            "recall": made.recall,
        }
    if isinstance(examples[0], ChoiceExample):
        right: list[Any] = [x.answer for x in examples if isinstance(x, ChoiceExample)]
        return {"accuracy": metrics.accuracy(right, predicted)}
    labels: list[Any] = [x.label for x in examples if isinstance(x, TextExample)]
    if data_set.kind != "regression":
        names = data_set.labels or sorted({*map(str, labels), *map(str, predicted)})
        # A class that the data set does not have is wrong whatever it is.
        numbers = {name: number for number, name in enumerate(names)}
        labels = [numbers[str(x)] for x in labels]
        predicted = [numbers.get(str(x), len(names)) for x in predicted]
    return {name: _OF_CLASSES[name](labels, predicted) for name in data_set.scores}


def _of_answers(
    data_set: DataSet,
    examples: Sequence[Example],
    predictions: Mapping[str, str],
    no_answer: Mapping[str, float] | None,
) -> dict[str, float]:
    """By CMRC's program for Chinese, by SQuAD's of the version that the names of scores are of."""
    gold = {x.id: [text for _, text in x.answers] for x in examples if isinstance(x, SpanExample)}
    if data_set.language == "zh":
        made = cmrc_scores(gold, predictions)
    elif "exact" in data_set.scores:
        made = squad2_scores(gold, predictions, no_answer)
        if no_answer:
            made |= {"exact": made["best_exact"], "f1": made["best_f1"]}
    else:
        made = squad1_scores(gold, predictions)
    return {name: value / 100 for name, value in made.items()}
