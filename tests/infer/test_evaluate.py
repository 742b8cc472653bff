"""Fine-tuned models on tables: figures beside labels, predictions in order, stopped and resumed."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.cli import main
from albertkit.data.tables import BadRows, Table
from albertkit.errors import OutputError, PredictionError, TrainingError
from albertkit.infer import predict_file
from albertkit.infer.evaluate import evaluate
from albertkit.infer.predictor import Predictor
from albertkit.model.loading import tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.columns import find_columns
from albertkit.tasks.head import TaskHead

HEADS = {
    "classification": TaskHead("classification", 2, ("cat", "dog")),
    "multi_label": TaskHead("multi_label", 3, ("a", "b", "c")),
    "regression": TaskHead("regression", 1),
}
WORDS = ("the", "cat", "dog", "sat", "ran", "on", "mat", ".", "and", "a")
TEXTS = [" ".join(WORDS[(n * k + k) % 10] for k in range(1, 4 + n % 40)) for n in range(50)]


@pytest.fixture(scope="module")
def tuned(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A random fine-tuned folder for each kind of head."""
    base = Checkpoint.load(tiny_model / "model")
    places = {}
    for kind, head in HEADS.items():
        torch.manual_seed(5)
        tensors = tensors_of(AlbertForTask(base.config, head))
        places[kind] = tmp_path_factory.mktemp("tuned") / kind
        Checkpoint(base.config, tensors, base.tokenizer, head=head).save(places[kind])
    return places


def table(folder: Path, labels: Sequence[object] | None, name: str = "test.jsonl") -> Path:
    rows = [{"text": text} for text in TEXTS]
    if labels is not None:
        rows = [{**row, "label": x} for row, x in zip(rows, labels, strict=True)]
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_figures_are_those_of_the_predictors_answers(
    tuned: dict[str, Path], tmp_path: Path
) -> None:
    answers = [a.label for a in Predictor(tuned["classification"]).classify(TEXTS)]
    labels = [("cat", "dog")[n % 2] for n in range(50)]
    found = evaluate(tuned["classification"], table(tmp_path, labels))
    right = sum(a == b for a, b in zip(answers, labels, strict=True))
    assert found.figures["accuracy"] == pytest.approx(right / 50)
    assert found.figures["count"] == 50
    low, high = found.intervals["accuracy"]
    assert low < right / 50 < high
    assert found.confusion is not None
    assert found.confusion.sum(1).tolist() == [25, 25]
    assert found.confusion.sum(0).tolist() == [answers.count("cat"), answers.count("dog")]
    assert np.trace(found.confusion) == right
    assert found.classes[0] == ("cat", int(found.confusion[0, 0]), answers.count("cat"), 25)


def test_numbers_and_several_labels(tuned: dict[str, Path], tmp_path: Path) -> None:
    values = [a.value for a in Predictor(tuned["regression"]).classify(TEXTS)]
    found = evaluate(tuned["regression"], table(tmp_path, [v + 1 for v in values]))
    assert found.figures["loss"] == pytest.approx(1, rel=1e-4)
    assert found.figures["pearson"] == pytest.approx(1)
    answers = Predictor(tuned["multi_label"]).classify(TEXTS)
    named = [[x.name for x in a.labels if x.probability > 0.5] for a in answers]
    found = evaluate(tuned["multi_label"], table(tmp_path, named))
    assert found.figures["micro_f1"] == 1
    assert found.confusion is None


def test_what_cannot_be_measured_is_named(
    tuned: dict[str, Path], tiny_model: Path, tmp_path: Path
) -> None:
    path = table(tmp_path, ["cat", "horse"] * 25)
    with pytest.raises(TrainingError, match="does not have") as caught:
        evaluate(tuned["classification"], path)
    assert "'horse' (25)" in caught.value.facts["found"]
    with pytest.raises(PredictionError, match="no head"):
        evaluate(tiny_model / "model", path)


def predicted(folder: Path, source: Path, output: Path) -> int:
    predictor, made = Predictor(folder), Table(source)
    columns = find_columns(made, needs_label=False)
    return predict_file.predict_file(predictor, made, columns, output, BadRows())


@pytest.mark.parametrize("kind", HEADS)
def test_every_row_is_predicted_in_order(tuned: dict[str, Path], tmp_path: Path, kind: str) -> None:
    folder = tuned[kind]
    source, output = table(tmp_path, None), tmp_path / "answers.jsonl"
    assert predicted(folder, source, output) == 50
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["text"] for row in rows] == TEXTS
    assert [row["line"] for row in rows] == list(range(1, 51))
    for row, answer in zip(rows, Predictor(folder).classify(TEXTS), strict=True):
        if kind == "regression":
            assert row["prediction"] == pytest.approx(answer.value, abs=1e-5)
        elif kind == "classification":
            assert row["prediction"] == answer.label
            assert row["score"] == pytest.approx(answer.probability, abs=1e-5)
        else:
            assert row["prediction"] == [x.name for x in answer.labels if x.probability > 0.5]


def test_a_stopped_prediction_goes_on_where_it_was(
    tuned: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict_file, "GROUP", 8)
    folder, source = tuned["classification"], table(tmp_path, None)
    classify = predict_file.logits_of_examples
    for suffix in ("jsonl", "csv"):
        whole, output = tmp_path / f"whole.{suffix}", tmp_path / f"answers.{suffix}"
        predicted(folder, source, whole)
        asked: list[str] = []

        def until(predictor: Predictor, head: Any, group: Any, asked: list[str] = asked) -> Any:
            if len(asked) == 24:
                raise KeyboardInterrupt
            asked += [example.text for example in group]
            return classify(predictor, head, group)

        with monkeypatch.context() as patch:
            patch.setattr(predict_file, "logits_of_examples", until)
            with pytest.raises(KeyboardInterrupt):
                predicted(folder, source, output)
        assert not output.exists()
        with (tmp_path / f"answers.{suffix}.part").open("ab") as file:
            file.write(b"half a line" * 1000)  # of a killed run; longer than the rest
        assert predicted(folder, source, output) == 50
        assert output.read_bytes() == whole.read_bytes()
        assert {path.name for path in tmp_path.glob("answers*.part*")} == set()


def test_a_place_that_cannot_be_written_is_named(tuned: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "answers.jsonl"
    (tmp_path / "answers.jsonl.part").mkdir()  # as in a folder without permission to write
    with pytest.raises(OutputError, match="Cannot write"):
        predicted(tuned["classification"], table(tmp_path, None), output)


def test_another_unfinished_prediction_is_not_mixed_in(
    tuned: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "answers.jsonl"
    (tmp_path / "answers.jsonl.part").write_text("{}\n")
    note = {"input": "other.csv", "input_bytes": 3, "model": "m", "rows": 1, "bytes": 3}
    (tmp_path / "answers.jsonl.part.json").write_text(json.dumps(note))
    with pytest.raises(OutputError, match="not finished") as caught:
        predicted(tuned["classification"], table(tmp_path, None), output)
    assert "other.csv" in caught.value.facts["found"]
    source = table(tmp_path, None)
    note |= {"input": str(source), "input_bytes": source.stat().st_size}
    note |= {"model": str(tuned["classification"]), "precision": "bf16"}
    (tmp_path / "answers.jsonl.part.json").write_text(json.dumps(note))
    with pytest.raises(OutputError, match="not finished") as caught:
        predicted(tuned["classification"], source, output)
    assert caught.value.facts["found"] == "precision=bf16"


def test_the_commands(
    tuned: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, labels = str(tuned["classification"]), [("cat", "dog")[n % 2] for n in range(50)]
    source = str(table(tmp_path, labels))
    assert main(["evaluate", source, "--model", folder]) == 0
    shown = capsys.readouterr().out
    assert "accuracy" in shown
    assert "dog" in shown
    assert main(["evaluate", source, "--model", folder, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["labels"] == ["cat", "dog"]
    (tmp_path / "lines.txt").write_text("the cat\n\na dog ran, and ran\n")
    assert main(["predict", str(tmp_path / "lines.txt"), "--model", folder]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["line"] for row in rows] == [1, 3]
    output = tmp_path / "answers.csv"
    asked = ["predict", str(tmp_path / "lines.txt"), "--model", folder, "--output", str(output)]
    assert main(asked) == 0
    assert "wrote 2 predictions" in capsys.readouterr().out
    with output.open(newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == ["the cat", "a dog ran, and ran"]
    assert main(["predict", source]) == 2
    assert "--model" in capsys.readouterr().err


def test_a_file_in_a_script_that_the_model_does_not_know_is_noted(
    tuned: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", str(tuned["classification"])]
    for text, noted in (("\u0411\u0416\u0429", True), ("the cat sat", False)):
        path = tmp_path / "data.csv"
        path.write_text("text,label\n" + f"{text},cat\n" * 9, encoding="utf-8")
        for command in ("evaluate", "predict"):
            assert main([command, str(path), *model]) == 0
            said = capsys.readouterr().err
            assert ("is it in its language?" in said) == noted, (command, text)
