"""Scores of classes, numbers and tags against scikit-learn, scipy and seqeval."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albertkit.errors import PredictionError
from albertkit.tasks import metrics
from albertkit.tasks.tag_metrics import EntityScores, entities, entity_scores, to_bio


def cases(golden: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((golden / "metrics" / name).read_text("utf-8"))
    assert found
    return found


@pytest.mark.parametrize("name", ["labels.json", "several_labels.json"])
def test_scores_of_classes_are_those_of_scikit_learn(golden: Path, name: str) -> None:
    for case in cases(golden, name):
        gold, predicted = case["gold"], case["predicted"]
        for average in metrics.AVERAGES:
            if average in case:
                assert metrics.f1(gold, predicted, average) == pytest.approx(case[average]), case
        if "accuracy" in case:
            assert metrics.accuracy(gold, predicted) == case["accuracy"]
            assert metrics.matthews(gold, predicted) == pytest.approx(case["matthews"]), case


def test_correlations_are_those_of_scipy(golden: Path) -> None:
    for case in cases(golden, "numbers.json"):
        for name, function in (("pearson", metrics.pearson), ("spearman", metrics.spearman)):
            expected = math.nan if case[name] is None else case[name]
            found = function(case["gold"], case["predicted"])
            assert found == pytest.approx(expected, abs=1e-12, nan_ok=True), (name, case)


def test_wilsons_interval_is_that_of_scipy(golden: Path) -> None:
    for case in cases(golden, "intervals.json"):
        found = metrics.wilson_interval(case["right"], case["total"], case["level"])
        assert found == pytest.approx(tuple(case["interval"]), abs=1e-12), case


def test_a_confusion_table_has_a_row_for_each_true_class() -> None:
    found = metrics.confusion([0, 0, 1, 2, 2], [0, 1, 1, 0, 2], 4)
    assert found.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


def test_the_bootstrap_interval_of_a_mean_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(2).normal(3, 2, 2000)
    low, high = metrics.bootstrap_interval(
        lambda n: float(values[n].mean()), len(values), draws=4000
    )
    error = values.std() / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)
    again = metrics.bootstrap_interval(lambda n: float(values[n].mean()), len(values), draws=4000)
    assert again == (low, high)


@pytest.mark.parametrize(("gold", "predicted"), [([], []), ([0, 1], [0]), ([0], [[0, 1]])])
def test_predictions_that_do_not_fit_are_refused(gold: list[int], predicted: list[int]) -> None:
    with pytest.raises(PredictionError, match="do not fit the examples"):
        metrics.accuracy(gold, predicted)


def as_reported(scores: EntityScores) -> dict[str, list[float]]:
    """In the shape of seqeval's classification_report."""
    if not scores.by_type:
        return {}
    types = list(scores.by_type.values())
    rows = {
        name: [x.precision, x.recall, x.f1, float(x.gold)] for name, x in scores.by_type.items()
    }
    rows["micro avg"] = [scores.precision, scores.recall, scores.f1, float(scores.gold)]
    means = [np.mean([getattr(x, key) for x in types]) for key in ("precision", "recall")]
    rows["macro avg"] = [*map(float, means), scores.macro_f1, float(scores.gold)]
    return rows


@pytest.mark.parametrize("strict", [False, True])
def test_scores_of_tags_are_those_of_seqeval(golden: Path, strict: bool) -> None:
    for case in cases(golden, "tags.json"):
        if not strict and "default" not in case:
            continue
        scheme = case["scheme"] if strict else None
        found = as_reported(entity_scores(case["gold"], case["predicted"], scheme))
        expected = case["strict" if strict else "default"]
        assert found.keys() == expected.keys(), case
        for kind, values in expected.items():
            assert found[kind] == pytest.approx(values), (kind, case)


def test_bmes_is_bioes_with_another_letter(golden: Path) -> None:
    def renamed(tags: list[list[str]]) -> list[list[str]]:
        return [[x.replace("I-", "M-") for x in words] for words in tags]

    for case in cases(golden, "tags.json"):
        if case["scheme"] == "BIOES":
            gold, predicted = renamed(case["gold"]), renamed(case["predicted"])
            for scheme, key in (("BMES", "strict"), (None, "default")):
                found = entity_scores(gold, predicted, scheme)
                assert found.f1 == pytest.approx(case[key].get("micro avg", [0] * 3)[2]), case


@pytest.mark.parametrize(
    ("tags", "bio"),
    [
        ("I-PER I-PER B-PER O I-LOC", "B-PER I-PER B-PER O B-LOC"),  # IOB1
        ("B-a E-a S-a B-b M-b E-b O", "B-a I-a B-a B-b I-b I-b O"),  # BMES
        ("B-a L-a U-a U-a", "B-a I-a B-a B-a"),  # BILOU
        ("B I O", "B I O"),
    ],
)
def test_tags_of_other_schemes_become_bio(tags: str, bio: str) -> None:
    assert to_bio(tags.split()) == tuple(bio.split())
    assert to_bio(bio.split()) == tuple(bio.split())


def test_a_tag_outside_the_scheme_is_named() -> None:
    with pytest.raises(PredictionError, match=r"S-PER(?s:.)*word 2"):
        entities(["O", "S-PER"], "BIO")
    with pytest.raises(PredictionError, match="one of BIO, IOB1, BIOES, BILOU, BMES; got 'IOE1'"):
        entities(["O"], "IOE1")


def test_sentences_with_other_lengths_are_named() -> None:
    with pytest.raises(PredictionError, match=r"1 tags for 2 words(?s:.)*sentence 2"):
        entity_scores([["O"], ["O", "O"]], [["O"], ["O"]])
