"""A model that answers questions: learned from rows and SQuAD's JSON, measured as SQuAD does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from animals import questions, write_jsonl
from rich.console import Console

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.cli import main
from albertkit.errors import ConfigError, CorpusError, RecipeError, TrainingError
from albertkit.infer.evaluate import evaluate
from albertkit.infer.predict_answers import predict_answers
from albertkit.infer.predictor import Predictor
from albertkit.tasks.head import TaskHead
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
    for heading in ("Curves", "How sure it is", "Worst errors", "Lengths"):
        assert f"<h2>{heading}</h2>" in report
    f1 = f"{answered.figures['f1']:.4f}</td>"
    assert re.search(f1 + r'<td[^>]*interval">[01]\.\d+ to [01]\.\d+<', report)
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


def test_the_threshold_is_that_of_the_model_that_is_kept(tiny_model: Path, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", questions(60, impossible=True))
    few = {"schedule.steps": 6, "run.validate_every": 2, "run.keep_best": False}
    with Console(quiet=True) as console:
        result = finetune(
            "span", train=path, model=tiny_model / "model", out=tmp_path / "run",
            set={**QUICK, **few}, console=console,
        )  # fmt: skip
    lines = [json.loads(x) for x in (result.folder / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["event"] == "validation"][-1]
    head = Checkpoint.load(result.model).head
    assert head is not None
    assert head.no_answer_threshold == last["threshold"]


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
    assert [row["line"] for row in made] == list(range(2, 32))
    guess = {str(row["line"]): row["prediction"] for row in made}
    table = tmp_path / "answers.tsv"
    assert main(["predict", str(test), "--output", str(table), *model]) == 0
    cells = [line.split("\t") for line in table.read_text().splitlines()]
    assert cells[0] == ["line", "question", "prediction", "score", "start", "end"]
    assert {line: text for line, _, text, *_ in cells[1:]} == guess
    assert main(["predict", str(test), "--n-best", str(table), *model]) == 2
    gold = {str(n): [row["answer"]] for n, row in enumerate(rows, 2)}
    wanted = squad1_scores(gold, guess)
    assert 100 * figures["f1"] == pytest.approx(wanted["f1"])
    assert 100 * figures["exact_match"] == pytest.approx(wanted["exact_match"])


def test_the_threshold_is_kept_in_a_folder_of_transformers(
    tiny_model: Path, tmp_path: Path
) -> None:
    base = Checkpoint.load(tiny_model / "model")
    config, width = base.config, base.config.hidden_size
    shapes = TaskHead("span", 2).shapes(width)
    tensors = {name: x for name, x in base.tensors.items() if name.startswith("albert.")}
    tensors |= {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    for head in (TaskHead("span", 2, no_answer_threshold=-1.25), TaskHead("span", 2)):
        Checkpoint(config, tensors, base.tokenizer, head=head).save(tmp_path / "m", replace=True)
        found = Checkpoint.load(tmp_path / "m").head
        assert found is not None
        assert found.no_answer_threshold == head.no_answer_threshold
        transformers.AlbertForQuestionAnswering.from_pretrained(tmp_path / "m")
        answer = Predictor(tmp_path / "m").answer("the cat", "a dog ran .")
        # All logits are 0: no answer is 0 above the best one, which is not below -1.25.
        assert (answer.text == "") == (head.no_answer_threshold is not None)
        with pytest.raises(ConfigError, match="finite"):
            TaskHead("span", 2, no_answer_threshold=float("nan"))


@pytest.mark.parametrize(
    ("rows", "options", "error", "message"),
    [
        (
            [{"question": "?", "context": f"a {n}", "answer": []} for n in range(6)],
            {},
            TrainingError,
            "No question",
        ),
        (questions(2), {}, TrainingError, "too few examples"),
        (questions(9), {"label_smoothing": 0.1}, RecipeError, "smoothing is for classes"),
        (questions(9), {"kind": "classification"}, RecipeError, "auto, span, beam_span"),
        (questions(9), {"metric": "accuracy"}, RecipeError, "f1, exact_match, loss"),
        (questions(9), {"max_tokens": 4}, RecipeError, "windows of this length"),
        (
            [dict(questions(1)[0], question=f"{n}?") for n in range(9)],
            {},
            TrainingError,
            "held out",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_step(
    tiny_model: Path, tmp_path: Path, rows: Any, options: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        finetune(
            "span",
            train=write_jsonl(tmp_path / "rows.jsonl", rows),
            model=tiny_model / "model",
            out=tmp_path / "run",
            console=Console(quiet=True),
            **options,
        )


def test_questions_are_asked_with_the_names_of_the_pipeline(answered: FinetuneResult) -> None:
    predictor = Predictor(answered.model)
    text = "on the mat , cat sat and on . the ,"
    found = predictor.answer("the cat", text, doc_stride=4, max_answer_len=1, top_k=2)
    assert len(found) == 2
    assert all(" " not in one.text for one in found)
    assert found == predictor.answer("the cat", text, stride=4, max_answer_tokens=1, top_k=2)
    impossible = predictor.answer("the cat", text, handle_impossible_answer=True)
    assert impossible == predictor.answer("the cat", text, unanswerable=True)
    assert impossible.no_answer is not None
    with pytest.raises(TypeError, match="two names"):
        predictor.answer("the cat", text, stride=4, doc_stride=4)


def test_ids_that_are_not_unique_are_refused_where_answers_go_by_them(
    answered: FinetuneResult, tmp_path: Path
) -> None:
    rows = as_squad(questions(6))
    for article in rows["data"]:
        article["paragraphs"][0]["qas"][0]["id"] = "same"
    (tmp_path / "test.json").write_text(json.dumps(rows))
    with pytest.raises(CorpusError, match="more than one with same"):
        predict_answers(Predictor(answered.model), tmp_path / "test.json")
    assert evaluate(answered.model, tmp_path / "test.json").figures["count"] == 6
