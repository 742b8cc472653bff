"""A model that chooses among options: from a table to answers, measured, resumed, predicted."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from animals import sentences, write_jsonl
from rich.console import Console

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.cli import main
from albertkit.infer.evaluate import evaluate
from albertkit.infer.predictor import Predictor
from albertkit.train.finetune import FinetuneResult, finetune

QUICK = {
    "schedule.epochs": 10,
    "schedule.batch_size": 16,
    "schedule.learning_rate": 0.01,
    "run.device": "cpu",
    "run.threads": 1,
}
LONG = " ".join(["the mat and a mat"] * 10)


def rows_of(count: int, seed: int = 0) -> list[dict[str, object]]:
    """Which animal a sentence names: two, three or four options."""
    chance = random.Random(seed)
    made: list[dict[str, object]] = []
    for number, (text, animal) in enumerate(sentences(count, seed)):
        options = [word for word in ("cat", "dog", "mat", "sat", "on") if word != animal]
        chance.shuffle(options)
        options = options[: 1 + number % 3]
        right = chance.randrange(len(options) + 1)
        options.insert(right, animal)
        made.append({"context": text, "question": "a _ ran .", "options": options, "label": right})
    return made


@pytest.fixture(scope="module")
def chosen(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> FinetuneResult:
    folder = tmp_path_factory.mktemp("choose")
    return finetune(
        "choose",
        train=write_jsonl(folder / "train.jsonl", rows_of(240)),
        model=tiny_model / "model",
        out=folder / "run",
        set=QUICK,
        console=Console(quiet=True),
    )


def test_the_right_option_is_learned_and_transformers_opens_the_model(
    chosen: FinetuneResult, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chosen.exit_code == 0
    assert chosen.figures["metric"] == "accuracy"
    assert chosen.figures["accuracy"] > 0.9
    split = json.loads((chosen.folder / "split.json").read_text())
    assert len(split["held_out_lines"]) == chosen.figures["count"]
    sizes = [2, 3, 4]
    by_chance = np.mean([1 / sizes[(line - 1) % 3] for line in split["held_out_lines"]])
    assert chosen.baseline.metric >= by_chance
    report = (chosen.folder / "report.html").read_text()
    assert "By number of options" in report
    assert "2 options" in report
    assert "of the chosen option" in report  # how sure it is
    card = (chosen.model / "README.md").read_text()
    assert "2 or 3 or 4 options each" in card
    theirs = transformers.AlbertForMultipleChoice.from_pretrained(chosen.model)
    assert theirs.classifier.out_features == 1
    predictor = Predictor(chosen.model)
    found = predictor("the _ sat", ["mat", "dog"], "the dog sat on a mat")
    assert found.text == "dog"
    assert sum(found.probabilities) == pytest.approx(1)
    several = predictor.choose(["the _ sat"] * 2, [["mat", "dog"]] * 2, ["a dog ran"] * 2)
    assert [x.text for x in several] == ["dog", "dog"]
    command = ["choose", "the _ sat", "--options", "mat", "--options", "dog"]
    command += ["--context", "the dog sat on a mat", "--model", str(chosen.model), "--json"]
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["choices"][said["label"]]["choice"] == "dog"
    assert said["score"] == pytest.approx(found.probability)


def test_a_long_context_is_read_in_windows_and_its_mean_counts(chosen: FinetuneResult) -> None:
    predictor = Predictor(chosen.model)
    whole = predictor.choose("a _ ran .", ["cat", "dog"], LONG + " the dog sat")
    assert whole.text == "dog"  # cut at its end the context would not name it
    cut = predictor.choose("a _ ran .", ["cat", "dog"], LONG + " the dog sat", truncate=True)
    assert cut.probabilities != pytest.approx(whole.probabilities)


def test_it_is_measured_by_number_of_options_and_predicts_files(
    chosen: FinetuneResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(60, seed=9)
    test = write_jsonl(tmp_path / "test.jsonl", rows)
    found = evaluate(chosen.model, test)
    assert [(size, support) for size, _, support in found.by_options] == [(2, 20), (3, 20), (4, 20)]
    right = sum(correct for _, correct, _ in found.by_options)
    assert found.figures["accuracy"] == pytest.approx(right / 60)
    low, high = found.intervals["accuracy"]
    assert low < right / 60 <= high + 1e-9
    model = ["--model", str(chosen.model)]
    assert main(["evaluate", str(test), *model]) == 0
    assert "by chance" in capsys.readouterr().out
    assert main(["predict", str(test), *model, "--output", str(tmp_path / "out.csv")]) == 0
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "line,question,prediction,index,score"
    answers = [line.split(",") for line in lines[1:]]
    assert [int(line) for line, *_ in answers] == list(range(1, 61))
    hits = [int(x[3]) == row["label"] for x, row in zip(answers, rows, strict=True)]
    assert sum(hits) == right
    capsys.readouterr()
    turns = [[["the dog ran"], [{"question": "a _ sat", "choice": ["cat", "dog"]}], "1-2"]]
    (tmp_path / "test.json").write_text(json.dumps(turns))  # answers are not known
    assert main(["predict", str(tmp_path / "test.json"), *model]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["id"], said["prediction"], said["index"]) == ("test/1-2-0", "dog", 1)


def test_a_resumed_run_ends_with_the_same_bits(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_jsonl(tmp_path / "train.jsonl", rows_of(40))

    def run(out: str, **options: Any) -> FinetuneResult:
        few = {**QUICK, "schedule.epochs": 2, "schedule.micro_batch_tokens": 100}
        place = {"train": data, "model": tiny_model / "model", "out": tmp_path / out}
        return finetune("choose", set=few, console=Console(quiet=True), **place, **options)

    whole = run("whole")
    from albertkit.train.run import Run

    save = Run.save

    def stopped(self: Run, step: int) -> None:
        save(self, step)
        if step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        run("part")
    monkeypatch.undo()
    part = run("part", resume=True)
    ours, theirs = (Checkpoint.load(x.model).tensors for x in (whole, part))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_run_without_progress_is_called_so(tiny_model: Path, tmp_path: Path) -> None:
    rows = [
        {"question": "the cat", "A": "sat", "B": "ran", "answer": "AB"[n % 2]} for n in range(40)
    ]
    path = write_jsonl(tmp_path / "train.jsonl", rows)
    stuck = {**QUICK, "schedule.steps": 2, "schedule.learning_rate": 1e-9}
    result = finetune(
        "choose", train=path, dev=path, model=tiny_model / "model", out=tmp_path / "run", set=stuck,
        console=Console(quiet=True),
    )  # fmt: skip
    assert result.exit_code == 3
    assert result.verdict is not None
    assert result.verdict.cause
    assert result.baseline.loss == pytest.approx(np.log(2))
    assert result.baseline.metric == 0.5
