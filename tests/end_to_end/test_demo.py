"""The demo with the models that ship: what it shows is what they answer, and it says how good."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albertkit import Predictor
from albertkit.cli import main
from albertkit.cli.demo import FIRST, MASKED, QUERY, SECOND, TEN
from albertkit.cli.demo_reviews import EXAMPLES, TEST, TRAIN
from albertkit.hub import shipped
from albertkit.hub.by_script import ENGLISH
from albertkit.hub.measured import order_figures

FEW = ["stages.0.steps=2", "stages.0.warmup_steps=1", "run.validation_rows=16"]
FEW += ["schedule.steps=1"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What a demo of two steps prints for programs, and for people in 80 columns."""
    folder = tmp_path_factory.mktemp("demo") / "demo-run"
    settings = [part for setting in FEW for part in ("--set", setting)]
    done = subprocess.run(
        [sys.executable, "-m", "albertkit", "demo", "--out", folder, "--json", *settings],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
    )
    facts = json.loads(done.stdout)
    learned = facts["mlm_loss"] < facts["mlm_loss_before"] and facts["classifier"]["learns"]
    assert done.returncode == (0 if learned else 1)
    return facts, done.stderr


def test_the_guesses_are_counted(demo: tuple[dict[str, Any], str]) -> None:
    facts, said = demo
    for name, questions in MASKED.items():
        predictor = Predictor(shipped(name))
        found = [predictor.fill_mask(text, top_k=5) for text, _ in questions]
        guesses = [[x.tokens[0].removeprefix("▁") for x in fillings] for fillings in found]
        words = [right for _, right in questions]
        assert facts["masks"][name] == {
            "shown": len(words),
            "right_first": sum(g[0] == right for g, right in zip(guesses, words, strict=True)),
            "right_in_five": sum(right in g for g, right in zip(guesses, words, strict=True)),
        }
        for (text, right), five in zip(questions, guesses, strict=True):
            assert text.count("[MASK]") == 1
            assert {right, f"▁{right}"} & {*predictor.tokenizer.pieces}
            assert all(guess in said for guess in (right, *five))


def test_order_is_shown_with_how_often_it_is_right(demo: tuple[dict[str, Any], str]) -> None:
    facts, said = demo
    measured = order_figures(shipped(ENGLISH))
    assert measured is not None
    order = facts["order"]
    assert order["score"] == pytest.approx(Predictor(ENGLISH).sentence_order(FIRST, SECOND), 1e-5)
    assert order["learned"] == measured.learned == ("order is not learned" not in said)
    assert f"measured: {measured}\n" in said


def test_the_nearest_come_first(demo: tuple[dict[str, Any], str]) -> None:
    nearest = demo[0]["nearest"]
    assert sorted(x["text"] for x in nearest) == sorted(TEN)
    cosines = [x["cosine"] for x in nearest]
    assert cosines == sorted(cosines, reverse=True)
    a, b = Predictor(ENGLISH).embed([QUERY, nearest[0]["text"]])
    cosine = float(a @ b / np.sqrt((a @ a) * (b @ b)))
    assert cosines[0] == pytest.approx(cosine, abs=1e-5)


def test_the_model_goes_on_and_its_losses_are_those_of_the_run(
    demo: tuple[dict[str, Any], str],
) -> None:
    facts, said = demo
    model = Path(facts["model"])
    lines = (model.parent / "metrics.jsonl").read_text().splitlines()
    validated = [x for x in map(json.loads, lines) if x["event"] == "validation"]
    assert [x["step"] for x in validated] == [0, 2]
    assert [x["mlm_loss"] for x in validated] == [facts["mlm_loss_before"], facts["mlm_loss"]]
    assert Path(facts["report"]).is_file()
    assert "PSF-2.0" in (model / "README.md").read_text()
    assert Predictor(model).tokenizer.fingerprint == Predictor(ENGLISH).tokenizer.fingerprint
    assert f"--model {model}" in said


def test_the_fine_tuned_model_is_measured_on_reviews_that_nothing_was_chosen_by(
    demo: tuple[dict[str, Any], str],
) -> None:
    facts, said = demo
    classifier = facts["classifier"]
    folder = Path(classifier["folder"])
    test, train = (
        list(csv.DictReader((folder.parent / name).read_text(encoding="utf-8").splitlines()))
        for name in (TEST, TRAIN)
    )
    assert not {row["text"] for row in test} & {row["text"] for row in train}
    answers = Predictor(classifier["model"]).classify([row["text"] for row in test])
    right = [a.labels[0].name == row["label"] for a, row in zip(answers, test, strict=True)]
    assert classifier["figures"]["accuracy"] == pytest.approx(sum(right) / len(test))
    assert classifier["baseline"]["metric"] == 0.5  # both classes are equally frequent
    assert "keep_best = false" in (folder / "recipe.toml").read_text()
    assert f"accuracy on {len(test)} reviews never trained on" in said
    assert f"--model {classifier['model']}" in said


def test_examples_have_two_classes_and_no_text_twice() -> None:
    for language, labels in (("en", {"positive", "negative"}), ("zh", {"好评", "差评"})):
        rows = [
            row
            for name in (f"reviews-{language}.csv", f"reviews-{language}-test.csv")
            for row in csv.DictReader((EXAMPLES / name).read_text(encoding="utf-8").splitlines())
        ]
        texts = [row["text"] for row in rows]
        assert len(texts) == len({*texts}) >= 200
        counts = [[row["label"] for row in rows].count(label) for label in labels]
        assert counts == [len(rows) // 2] * 2


def test_tables_fit_into_80_columns_and_nothing_is_cut(demo: tuple[dict[str, Any], str]) -> None:
    lines = demo[1].splitlines()
    ruled = [n for n, line in enumerate(lines) if set(line.strip()) == {"─"}]
    assert len(ruled) >= 4
    assert max(len(lines[n]) for n in ruled) <= 80
    assert "…" not in demo[1]


def test_a_text_is_for_the_demo_from_scratch(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--language", "zh"]) == 2
    assert "albertkit demo --from-scratch --language zh --input FILE" in capsys.readouterr().err
