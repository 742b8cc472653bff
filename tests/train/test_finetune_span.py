"""A model that answers questions: learned from rows and SQuAD's JSON, measured as SQuAD does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from animals import questions, write_jsonl
from rich.console import Console

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.cli import main
from albertkit.infer.evaluate import evaluate
from albertkit.infer.predictor import Predictor
from albertkit.tasks.squad_metrics import squad1_scores, squad2_scores
from albertkit.train.finetune import FinetuneResult, finetune

QUICK = {
    "schedule.epochs": 6,
    "schedule.batch_size": 16,
    "schedule.learning_rate": 0.01,
    "run.device": "cpu",
    "run.threads": 1,
    "objective.max_tokens": 24,
}


def as_squad(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The same questions as SQuAD's JSON, a paragraph and an article for each."""
    data = []
    for number, row in enumerate(rows):
        answers = []
        if row["answer"]:
            answers = [{"text": row["answer"], "answer_start": row["answer_start"]}]
        one = {"id": f"q{number}", "question": row["question"], "answers": answers}
        one["is_impossible"] = not answers
        data.append(
            {"title": f"a{number}", "paragraphs": [{"context": row["context"], "qas": [one]}]}
        )
    return {"version": "v2.0", "data": data}


def run(tiny_model: Path, folder: Path, train: Path, **options: Any) -> FinetuneResult:
    with (folder / "said.txt").open("w") as said:
        return finetune(
            "span",
            train=train,
            model=tiny_model / "model",
            out=folder / "run",
            set=QUICK,
            console=Console(file=said, width=200),
            **options,
        )


@pytest.fixture(scope="module")
def answered(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> FinetuneResult:
    folder = tmp_path_factory.mktemp("span")
    return run(tiny_model, folder, write_jsonl(folder / "rows.jsonl", questions(200)))


@pytest.fixture(scope="module")
def beam(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> FinetuneResult:
    folder = tmp_path_factory.mktemp("beam")
    path = folder / "train-v2.0.json"
    path.write_text(json.dumps(as_squad(questions(240, impossible=True))))
    return run(tiny_model, folder, path)


def test_rows_of_questions_give_a_model_that_answers(answered: FinetuneResult) -> None:
    assert answered.exit_code == 0
    assert answered.figures["metric"] == "f1"
    assert answered.figures["f1"] > 0.9
    said = (answered.folder.parent / "said.txt").read_text()
    assert "start and end of an answer" in said
    assert "albertkit/tiny" not in said
    text = "on the mat , cat sat and on . the ,"
    found = Predictor(answered.model).answer("the cat", text)
    assert (found.text, text[found["start"] : found["end"]]) == ("sat", "sat")
    theirs = transformers.AlbertForQuestionAnswering.from_pretrained(answered.model)
    assert theirs.qa_outputs.out_features == 2
    report = (answered.folder / "report.html").read_text()
    assert "exact match of answers" in report
    card = (answered.model / "README.md").read_text()
    assert "predictor.answer(" in card
    split = json.loads((answered.folder / "split.json").read_text())
    assert len(split["held_out_questions"]) == answered.figures["count"]


def test_questions_without_an_answer_need_a_beam_and_a_threshold(beam: FinetuneResult) -> None:
    assert beam.exit_code == 0
    head = Checkpoint.load(beam.model).head
    assert head is not None
    assert (head.kind, head.no_answer_threshold) == ("beam_span", beam.figures["threshold"])
    assert beam.figures["f1"] > 0.6
    assert beam.figures["NoAns_f1"] > 0.4
    found = Predictor(beam.model).answer("the dog", "on the mat , cat sat and on . the ,")
    assert found.no_answer is not None


def test_figures_are_those_of_the_official_program(
    beam: FinetuneResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = questions(40, impossible=True, seed=5)
    path = tmp_path / "test.json"
    path.write_text(json.dumps(as_squad(rows)))
    model, predicted = ["--model", str(beam.model)], tmp_path / "answers.json"
    best = tmp_path / "best.json"
    found = ["--output", str(predicted), "--n-best", str(best)]
    assert main(["predict", str(path), *found, *model]) == 0
    answers = json.loads(predicted.read_text())
    gold = {f"q{n}": [row["answer"]] if row["answer"] else [] for n, row in enumerate(rows)}
    wanted = squad2_scores(gold, answers)
    figures = evaluate(beam.model, path).figures
    for ours, theirs in (("f1", "f1"), ("exact_match", "exact"), ("HasAns_f1", "HasAns_f1")):
        assert 100 * figures[ours] == pytest.approx(wanted[theirs])
    assert figures["best_f1"] >= figures["f1"]
    lists = json.loads(best.read_text())
    assert all(sum(x["probability"] for x in of) == pytest.approx(1) for of in lists.values())
    assert all(answers[name] in ("", of[0]["text"]) for name, of in lists.items())
    capsys.readouterr()
    assert main(["evaluate", str(path), *model]) == 0
    assert "F1 of answers" in capsys.readouterr().out


def test_a_table_is_measured_and_predicted_in_its_order(
    answered: FinetuneResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = questions(30, seed=7)
    test = tmp_path / "test.csv"
    lines = [f'{r["question"]},"{r["context"]}",{r["answer"]}' for r in rows]
    test.write_text("\n".join(["Question,passage,Answer", *lines]) + "\n")
    figures = evaluate(answered.model, test).figures
    model = ["--model", str(answered.model)]
    assert main(["predict", str(test), *model]) == 0
    made = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in made] == [str(n) for n in range(2, 32)]
    guess = {row["id"]: row["prediction"] for row in made}
    gold = {str(n): [row["answer"]] for n, row in enumerate(rows, 2)}
    wanted = squad1_scores(gold, guess)
    assert 100 * figures["f1"] == pytest.approx(wanted["f1"])
    assert 100 * figures["exact_match"] == pytest.approx(wanted["exact_match"])
