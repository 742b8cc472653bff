"""Scores of data sets, tables beside published numbers, files for the GLUE server."""

from __future__ import annotations

from typing import Any

import pytest

from albertkit.benchmarks import find_sets
from albertkit.benchmarks._protocol import DataSet, Example
from albertkit.benchmarks._published import published
from albertkit.benchmarks._scores import scores
from albertkit.benchmarks._table import Row, cell, markdown, table
from albertkit.benchmarks.glue import server_file
from albertkit.errors import PredictionError
from albertkit.tasks.examples import ChoiceExample, SpanExample, TagExample, TextExample


def one(name: str) -> DataSet:
    [found] = find_sets(name)
    return found


def texts(*labels: Any) -> list[Example]:
    return [TextExample(str(n), "a", "b", label) for n, label in enumerate(labels)]


def by_number(*values: Any) -> dict[str, Any]:
    return {str(n): value for n, value in enumerate(values)}


SPANS: list[Example] = [
    SpanExample("0", "the cat", "q", ((4, "cat"),)),
    SpanExample("1", "the cat", "q", (), True),
]
CASES: list[tuple[str, list[Example], dict[str, Any], dict[str, float]]] = [
    # 3 of 4 right; of "1": 1 right of 2 predicted and 1 there.
    (
        *("mrpc", texts("1", "0", "0", "0", None), by_number("1", "1", "0", "0", "1")),
        {"accuracy": 0.75, "f1": 2 / 3},
    ),
    ("cola", texts("1", "0"), by_number("0", "1"), {"matthews": -1.0, "accuracy": 0.0}),
    ("sts-b", texts(1.0, 2.0, 4.0), by_number(1, 3, 7), {"spearman": 1.0, "pearson": 1.0}),
    ("sts-b", texts(1.0, 2.0), by_number(3, 3), {"spearman": 0.0, "pearson": 0.0}),
    ("mnli", texts("neutral", "entailment"), by_number("neutral", "what"), {"accuracy": 0.5}),
    (
        "cluener",
        [TagExample("0", ("a", "b", "c"), ("B-name", "I-name", "B-game"))],
        {"0": ["B-name", "I-name", "O"]},
        {"entity_f1": 2 / 3, "macro_f1": 0.5, "precision": 1.0, "recall": 0.5},
    ),
    (
        "dream",
        [ChoiceExample(str(n), "c", "q", ("a", "b"), n) for n in (0, 1)],
        by_number(0, 0),
        {"accuracy": 0.5},
    ),
    ("squad-1.1", SPANS[:1], {"0": "black cat"}, {"f1": 2 / 3, "exact_match": 0.0}),
    ("squad-2.0", SPANS, {"0": "cat", "1": "the"}, {"f1": 1.0, "exact": 1.0}),
    (
        "cmrc-2018",
        [SpanExample("0", "\u5317\u4eac\u5e02", "q", ((0, "\u5317\u4eac"),))],
        {"0": "\u5317\u4eac\u5e02"},
        {"F1": 0.8, "EM": 0.0},
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "examples", "predictions", "expected"),
    CASES,
    ids=[f"{number}-{case[0]}" for number, case in enumerate(CASES)],
)
def test_scores_are_those_computed_by_hand(
    name: str, examples: list[Example], predictions: dict[str, Any], expected: dict[str, float]
) -> None:
    found = scores(one(name), examples, predictions)
    assert found == pytest.approx(expected)
    assert list(found) == list(one(name).scores)


def test_no_answer_scores_give_the_best_threshold() -> None:
    predictions = {"0": "cat", "1": "cat"}
    assert scores(one("squad-2.0"), SPANS, predictions) == {"f1": 0.5, "exact": 0.5}
    best = scores(one("squad-2.0"), SPANS, predictions, {"0": -1.0, "1": 1.0})
    assert best == {"f1": 1.0, "exact": 1.0}


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(PredictionError, match="no example has an answer"):
        scores(one("cola"), texts(None), by_number("0"))
    with pytest.raises(PredictionError, match="no prediction for 1"):
        scores(one("cola"), texts("0", "1"), by_number("0"))


def test_published_scores_stand_with_their_sources() -> None:
    found = {(x.model, x.value, x.of): x.source for x in published("CMRC 2018")}
    assert "CLUE README" in found["ALBERT-tiny", "73.95/48.31", "dev F1/EM"]
    assert "CLUE README" in found["brightmart-tiny", "53.35", "test EM"]
    assert [x.value for x in published("RACE (middle)")] == ["88.2", "89.0"]
    assert all(x.source for name in ("MNLI", "SQuAD 2.0", "LCQMC") for x in published(name))


def test_the_table_leaves_cells_without_a_run_empty() -> None:
    sets = find_sets("glue")
    rows = table(sets, {"mine": {"cola": {"matthews": 0.1234, "accuracy": 0.9}}})
    assert rows[0] == Row("mine", "this run", {"cola": "12.3"})
    google = next(row for row in rows if row.model == "ALBERT-xxlarge, 1.5M steps")
    assert google.cells["cola"] == "71.4"
    assert "wnli" not in google.cells
    text = markdown(sets, rows).splitlines()
    assert text[2] == "| mine | 12.3 |" + "  |" * 9 + " [1] |"
    assert text[0].count("|") == len(sets) + 3
    assert any(line.startswith("[2] google-research/albert README") for line in text)
    assert cell(one("squad-1.1"), {"f1": 0.902, "exact_match": 0.832}) == "90.2/83.2"


def test_models_with_the_same_published_scores_share_a_row() -> None:
    rows = table(find_sets("reading"), {})
    assert "albert-base-v2, google-albert-base-v2" in [row.model for row in rows]


@pytest.mark.parametrize(
    ("name", "split", "prediction", "file", "line"),
    [
        ("cola", "test", "1", "CoLA.tsv", "7\t1"),
        ("mnli", "test", "neutral", "MNLI-m.tsv", "7\tneutral"),
        ("mnli", "test_mismatched", "neutral", "MNLI-mm.tsv", "7\tneutral"),
        ("rte", "test", "not_entailment", "RTE.tsv", "7\tnot_entailment"),
        ("sts-b", "test", 5.2, "STS-B.tsv", "7\t5.000"),
        ("sts-b", "test", 1.23456, "STS-B.tsv", "7\t1.235"),
        ("ax", "test", "entailment", "AX.tsv", "7\tentailment"),
    ],
)
def test_files_for_the_server_have_its_names_and_labels(
    name: str, split: str, prediction: Any, file: str, line: str
) -> None:
    found = server_file(one(name), [TextExample("7", "a")], {"7": prediction}, split)
    assert found == (file, f"index\tprediction\n{line}\n")


def test_the_server_takes_no_other_labels() -> None:
    with pytest.raises(PredictionError, match=r"0, 1(?s:.)*'2'(?s:.)*example 7"):
        server_file(one("cola"), [TextExample("7", "a")], {"7": "2"}, "test")


def test_hyper_parameters_of_the_paper_are_keys_of_a_recipe() -> None:
    [settings] = one("rte").settings
    assert settings.start_from == "mnli"
    assert settings.recipe() == {
        "schedule.learning_rate": 3e-5,
        "schedule.batch_size": 32,
        "schedule.steps": 800,
        "schedule.warmup_share": 0.25,
        "objective.max_tokens": 512,
        "model.hidden_dropout": 0.1,
        "model.attention_dropout": 0.1,
        "model.classifier_dropout": 0.1,
    }
