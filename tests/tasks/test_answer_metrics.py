"""Scores of answers against the official programs of SQuAD 1.1, SQuAD 2.0 and CMRC 2018."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from albertkit.errors import PredictionError
from albertkit.tasks import chinese_metrics
from albertkit.tasks.squad_metrics import (
    exact_match,
    precision_recall_area,
    raw_scores,
    squad1_scores,
    squad2_scores,
    word_f1,
)


def read(golden: Path, name: str) -> Any:
    return json.loads((golden / name).read_text("utf-8"))


def gold_of(data: Any) -> dict[str, list[str]]:
    return {
        question["id"]: [answer["text"] for answer in question["answers"]]
        for article in data["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    }


def test_squad_1_scores_are_the_official_ones(golden: Path) -> None:
    gold = gold_of(read(golden, "squad_metrics/squad_v1_dataset.json"))
    result = read(golden, "squad_metrics/squad_v1_result.json")
    guess = read(golden, "squad_metrics/squad_v1_predictions.json")
    assert squad1_scores(gold, guess) == result["all_predictions"]
    missing = read(golden, "squad_metrics/squad_v1_predictions_one_missing.json")
    assert squad1_scores(gold, missing) == result["one_missing"]
    for question, expected in result["per_question"].items():
        answers = gold[question]
        assert expected == {
            "exact_match": max(exact_match(x, guess[question]) for x in answers),
            "f1": max(word_f1(x, guess[question], empty_agree=False) for x in answers),
        }


def test_squad_2_scores_are_the_official_ones(golden: Path) -> None:
    gold = gold_of(read(golden, "squad_metrics/squad_v2_dataset.json"))
    result = read(golden, "squad_metrics/squad_v2_result.json")
    guess = read(golden, "squad_metrics/squad_v2_predictions.json")
    sure = read(golden, "squad_metrics/squad_v2_na_probabilities.json")
    assert raw_scores(gold, guess) == (result["raw_exact"], result["raw_f1"])
    assert squad2_scores(gold, guess) == result["without_na_probabilities"]
    exact, overlap = raw_scores(gold, guess)
    has = result["has_answer"]
    curves = {
        "pr_exact_ap": precision_recall_area(exact, sure, has.__getitem__),
        "pr_f1_ap": precision_recall_area(overlap, sure, has.__getitem__),
        "pr_oracle_ap": precision_recall_area(
            {x: float(has[x]) for x in has}, sure, has.__getitem__
        ),
    }
    for threshold in (1.0, 0.5):
        found = squad2_scores(gold, guess, sure, threshold=threshold)
        assert found | curves == result[f"with_na_probabilities_threshold_{threshold}"]


def test_cmrc_scores_are_the_official_ones(golden: Path) -> None:
    gold = gold_of(read(golden, "squad_metrics/cmrc2018_dataset.json"))
    result = read(golden, "squad_metrics/cmrc2018_result.json")
    guess = read(golden, "squad_metrics/cmrc2018_predictions.json")
    found = chinese_metrics.cmrc_scores(gold, guess)
    assert found == {name: result[name] for name in found}
    for question, expected in result["per_question"].items():
        assert chinese_metrics.segments(guess[question]) == expected["prediction_segments"]
        answers = gold[question]
        f1 = max(chinese_metrics.segment_f1(x, guess[question]) for x in answers)
        assert f1 == expected["f1"], question
        em = any(chinese_metrics.exact_match(x, guess[question]) for x in answers)
        assert em == expected["em"], question


def test_random_answers_have_the_official_scores(golden: Path) -> None:
    cases = read(golden, "metrics/answers.json")
    for case in cases["squad1"]:
        assert squad1_scores(case["gold"], case["predicted"]) == case["scores"], case
    for case in cases["squad2"]:
        found = squad2_scores(
            case["gold"], case["predicted"], case["no_answer"], threshold=case["threshold"]
        )
        assert found == case["scores"], case
    for case in cases["cmrc"]:
        assert chinese_metrics.cmrc_scores(case["gold"], case["predicted"]) == case["scores"], case


def test_words_between_chinese_characters_are_cut_as_nltk_cuts_them(golden: Path) -> None:
    for case in read(golden, "metrics/words.json"):
        # "(" and "\u4e00" around it would change what begins and ends the stretch.
        found = chinese_metrics.segments("\u4e00" + case["text"] + "\u4e00")
        assert found == ["\u4e00", *case["words"], "\u4e00"], case


def test_a_question_without_prediction_is_named() -> None:
    with pytest.raises(PredictionError, match="none for b"):
        squad2_scores({"a": [], "b": ["x"]}, {"a": ""})


@pytest.mark.parametrize("score", [squad1_scores, squad2_scores, chinese_metrics.cmrc_scores])
def test_no_questions_are_refused(score: Any) -> None:
    with pytest.raises(PredictionError, match="no questions"):
        score({}, {})
