"""Fine-tuning runs: what they learn, keep, resume and refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from animals import sentences, write_csv, write_jsonl
from rich.console import Console

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import AlbertkitError, CorpusError, OutputError, RecipeError, TrainingError
from albertkit.infer.predictor import Predictor
from albertkit.train.finetune import FinetuneResult, finetune, open_recipe
from albertkit.train.finetune_prepare import PreparedTask
from albertkit.train.finetune_seeds import finetune_seeds
from albertkit.train.health import DOES_NOT_LEARN
from albertkit.train.loop import Trainer
from albertkit.train.metrics import read_metrics
from albertkit.train.task_losses import task_loss

QUICK = {
    "schedule.epochs": 6,
    "schedule.batch_size": 16,
    "schedule.learning_rate": 0.01,
    "run.device": "cpu",
    "run.threads": 1,
}
Start = Callable[..., FinetuneResult]


@pytest.fixture
def start(tiny_model: Path, tmp_path: Path) -> Start:
    """Fine-tune the random tiny model; `said` gets what is printed."""

    def run(task: str = "classify", *, out: str = "run", **options: Any) -> FinetuneResult:
        changed = options.pop("set", {})
        with (tmp_path / "said.txt").open("a") as said:
            return finetune(
                task,
                model=options.pop("model", tiny_model / "model"),
                out=tmp_path / out,
                set={**QUICK, **changed},
                console=Console(file=said, width=200),
                **options,
            )

    return run


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "reviews.csv", 160)


def test_from_one_file_to_a_model_that_answers_and_opens_in_transformers(
    start: Start, csv: Path, tmp_path: Path
) -> None:
    result = start(train=csv)
    assert (result.exit_code, result.finished) == (0, True)
    assert result.figures["accuracy"] > 0.9
    said = (tmp_path / "said.txt").read_text()
    assert "text from column 'review', label from 'animal'" in said
    assert "held out" in said
    predictor = Predictor(result.model)
    answers = predictor.classify(["a cat sat on the mat .", "the dog ran and ran ."])
    assert [answer.label for answer in answers] == ["cat", "dog"]
    theirs = transformers.AlbertForSequenceClassification.from_pretrained(result.model)
    assert theirs.config.id2label == {0: "cat", 1: "dog"}
    assert theirs.config.problem_type == "single_label_classification"
    tokenizer = transformers.BertTokenizer.from_pretrained(result.model)
    logits = theirs.eval()(**tokenizer("a cat sat", return_tensors="pt")).logits[0]
    assert logits.softmax(-1)[0].item() == pytest.approx(
        predictor.classify("a cat sat").labels[0].probability, abs=1e-5
    )
    report = (result.folder / "report.html").read_text()
    headings = re.findall("<h2>(.*?)</h2>", report)
    assert headings == [
        *("Held-out examples", "Curves", "Classes", "How sure it is", "Worst errors", "Lengths"),
        "Examples and model",
    ]
    assert f"{result.figures['accuracy']:.4f}" in report
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"|<!DOCTYPE.*?>|<metadata>.*?</metadata>', "",
                                report, flags=re.DOTALL)  # fmt: skip
    card = (result.model / "README.md").read_text()
    assert "one class of 2 for a text (cat, dog)" in card
    assert str(tmp_path) not in card


def test_the_split_is_recorded_and_its_texts_are_not_trained_on(start: Start, csv: Path) -> None:
    result = start(train=csv, set={"schedule.steps": 1})
    split = json.loads((result.folder / "split.json").read_text())
    lines = csv.read_text().splitlines()
    held = {lines[n - 1] for n in split["held_out_lines"]}
    assert held
    kept = [line for n, line in enumerate(lines, 1) if n > 1 and n not in split["held_out_lines"]]
    assert not held & set(kept)
    assert result.figures["count"] == len(split["held_out_lines"])


@pytest.mark.parametrize("kind", ["pair", "multi_label", "regression"])
def test_other_kinds_of_labels_are_learned(start: Start, tmp_path: Path, kind: str) -> None:
    rows: list[dict[str, object]] = []
    for n, (text, animal) in enumerate(sentences(400, 1)):
        if kind == "pair":  # the second text decides, whatever the first one is about
            other = ("cat", "dog")[n // 2 % 2]
            rows.append({"premise": f"the {other} sat", "hypothesis": text, "label": animal})
        elif kind == "multi_label":
            found = [word for word in ("cat", "on", "ran") if word in text.split()]
            rows.append({"text": text, "label": found})
        else:
            rows.append({"text": text, "score": (animal == "cat") * 2.0 - 1 + n * 1e-4})
    result = start(train=write_jsonl(tmp_path / "rows.jsonl", rows), set={"schedule.epochs": 8})
    report = (result.folder / "report.html").read_text()
    assert "<h2>Worst errors</h2>" in report
    assert ("<h2>Classes</h2>" in report) == (kind != "regression")
    assert ("calibration error" in report) == (kind != "regression")
    figure = {"pair": "accuracy", "multi_label": "micro_f1", "regression": "pearson"}[kind]
    assert result.figures["metric"] == figure
    assert result.figures[figure] > 0.9
    predictor = Predictor(result.model)
    if kind == "pair":
        assert predictor.classify("the cat sat", "a dog sat on a mat").label == "dog"
        return
    answer = predictor.classify("a cat sat on a mat")
    if kind == "multi_label":
        probable = {label.name for label in answer.labels if label.probability > 0.5}
        assert probable == {"cat", "on"}
    if kind == "regression":
        assert answer.value == pytest.approx(1.0, abs=0.3)


def test_texts_longer_than_the_model_are_read_in_windows(start: Start, tmp_path: Path) -> None:
    """The word that decides stands behind the model's 32 tokens, or before them."""
    rows: list[dict[str, object]] = []
    for number, (_, animal) in enumerate(sentences(160)):
        filler = "the mat , " * (12 + number % 7)
        text = f"{filler} {animal} ." if number % 3 else f"{animal} {filler}"
        rows.append({"text": text, "label": animal})
    result = start(train=write_jsonl(tmp_path / "long.jsonl", rows))
    assert result.figures["accuracy"] > 0.9
    assert "are read in windows" in (tmp_path / "said.txt").read_text()
    predictor = Predictor(result.model)
    text = "the mat , " * 40 + "dog ."
    found = predictor.classify(text)
    assert found.label == "dog"
    # A text of a million characters is answered, and is not an error.
    assert predictor.classify("cat " * 5000).label == "cat"


def test_a_resumed_run_ends_with_the_same_bits(
    start: Start, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"model.hidden_dropout": 0.1, "run.save_every": 3, "run.validate_every": 4}
    whole = start(train=csv, out="whole", set=settings)
    step_of = Trainer.train_step
    for number, stop in enumerate((1, 7, 12, 19)):

        def kill(self: Trainer, job: Any, step: int, stop: int = stop) -> Any:
            if step == stop:
                raise KeyboardInterrupt
            return step_of(self, job, step)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "train_step", kill)
            with pytest.raises(KeyboardInterrupt):
                start(train=csv, out="stopped", set=settings, resume=number > 0)
    again = start(train=csv, out="stopped", set=settings, resume=True)
    assert again.figures == whole.figures
    ours, theirs = (Checkpoint.load(r.model).tensors for r in (again, whole))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    lines = [read_metrics(r.folder / "metrics.jsonl") for r in (again, whole)]
    for line in (*lines[0], *lines[1]):
        line.pop("tokens_per_second", None)
    assert lines[0] == lines[1]


def test_the_recipe_of_a_run_goes_on_with_it(start: Start, csv: Path) -> None:
    result = start(train=csv, set={"schedule.steps": 2})
    again = finetune(str(result.folder / "recipe.toml"), resume=True, console=Console(quiet=True))
    assert (again.steps, again.figures) == (2, result.figures)
    with pytest.raises(TrainingError, match="another recipe"):
        start(train=csv, resume=True, set={"schedule.steps": 3})
    csv.write_text(csv.read_text().replace("dog", "cat", 3))
    with pytest.raises(TrainingError, match="another data"):
        start(train=csv, resume=True, set={"schedule.steps": 2})


def test_the_model_is_that_of_the_best_validation(start: Start, csv: Path) -> None:
    settings = {"run.validate_every": 2, "schedule.learning_rate": 0.02, "run.metric": "loss"}
    result = start(train=csv, set=settings)
    lines = [
        line
        for line in read_metrics(result.folder / "metrics.jsonl")
        if line["event"] == "validation"
    ]
    best = min(lines, key=lambda line: line["loss"])
    assert (result.figures["step"], result.figures["loss"]) == (best["step"], best["loss"])
    split = json.loads((result.folder / "split.json").read_text())["held_out_lines"]
    rows = [csv.read_text().splitlines()[n - 1].rsplit(",", 1) for n in split]
    answers = Predictor(result.model).classify([text.strip('"') for text, _ in rows])
    right = [a.label == label for a, (_, label) in zip(answers, rows, strict=True)]
    assert np.mean(right) == pytest.approx(result.figures["accuracy"])
    loss = -np.mean(
        [
            np.log(next(x.probability for x in a.labels if x.name == label))
            for a, (_, label) in zip(answers, rows, strict=True)
        ]
    )
    assert loss == pytest.approx(result.figures["loss"], rel=1e-4)


def test_a_run_without_progress_ends_early(start: Start, csv: Path) -> None:
    settings = {"run.validate_every": 2, "run.patience": 2, "schedule.learning_rate": 0.0001}
    result = start(train=csv, set=settings)
    steps = [line["step"] for line in read_metrics(result.folder / "metrics.jsonl")
             if line["event"] == "validation"]  # fmt: skip
    assert result.finished
    assert steps[-1] == result.steps < 54
    assert result.figures["step"] == steps[-3]


def test_frozen_parts_stay_as_they_were(start: Start, csv: Path, tiny_model: Path) -> None:
    settings = {"optim.frozen": ["embeddings", "encoder"], "schedule.steps": 3}
    result = start(train=csv, set=settings)
    before, after = (Checkpoint.load(path).tensors for path in (tiny_model / "model", result.model))
    changed = {name for name in after if name in before
               and not np.array_equal(after[name], before[name])}  # fmt: skip
    assert changed == {"albert.pooler.weight", "albert.pooler.bias"}
    with pytest.raises(RecipeError, match="No parameter"):
        start(train=csv, out="b", set={"optim.frozen": ["layer.11"]})


def test_a_fine_tuned_model_keeps_its_head_for_the_same_labels(start: Start, csv: Path) -> None:
    first = start(train=csv)
    hardly = {"schedule.learning_rate": 1e-12, "schedule.steps": 1}
    again = start(train=csv, out="again", model=first.model, set=hardly)
    assert again.figures["accuracy"] == first.figures["accuracy"]


def test_rare_classes_count_as_much_with_balanced_weights(tiny_model: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "label": animal} for text, animal in sentences(80)]
    rows = [row for n, row in enumerate(rows) if row["label"] == "cat" or n % 8 == 1]
    path = write_jsonl(tmp_path / "rare.jsonl", list(rows))  # 40 cats, 10 dogs
    given = {
        "data.train": path,
        "data.dev": path,
        "run.output": tmp_path / "run",
        "model.checkpoint": tiny_model / "model",
    }
    recipe = open_recipe("classify", given, {"objective.class_weights": "balanced"}, resume=False)
    prepared = PreparedTask.resolve(recipe)
    targets = prepared.labelled()[0].targets
    weights = prepared.output_weights(targets)
    assert weights[targets == 0].sum() == pytest.approx(weights[targets == 1].sum())
    assert weights.sum() == pytest.approx(len(targets))


@pytest.mark.parametrize(
    ("content", "options", "error", "message"),
    [
        ("", {}, CorpusError, "no rows"),
        ("review,animal\n", {}, TrainingError, "too few examples"),
        ("review,animal\nthe cat,cat\nthe dog,cat\na cat,cat\na dog,cat\n", {}, TrainingError,
         "same label"),
        ("review,animal\nthe cat,cat\n", {}, TrainingError, "too few examples"),
        (None, {"label_column": "class"}, CorpusError, "no column 'class'"),
        (None, {"max_tokens": 64}, RecipeError, "windows of this length"),
        (None, {"set": {"schedule.epoch": 3}}, RecipeError, "epochs"),
        (None, {"epoch": 3}, RecipeError, "no option 'epoch'"),
        (None, {"metric": "acc"}, RecipeError, "must be one of accuracy"),
        (None, {"model": "no/such/model"}, AlbertkitError, "no/such/model"),
    ],
)  # fmt: skip
def test_mistakes_of_a_beginner_are_named_before_anything_is_written(
    start: Start, csv: Path, content: str | None, options: Any, error: type, message: str
) -> None:
    if content is not None:
        csv.write_text(content)
    with pytest.raises(error, match=message):
        start(train=csv, **options)
    assert not (csv.parent / "run").exists()


def test_a_label_of_the_held_out_file_that_was_not_trained_is_named(
    start: Start, csv: Path, tmp_path: Path
) -> None:
    dev = tmp_path / "dev.csv"
    dev.write_text("review,animal\nthe cat,cat\na horse ran,horse\n")
    with pytest.raises(TrainingError, match="labels that the model does not have") as caught:
        start(train=csv, dev=dev)
    assert "'horse' (1)" in caught.value.facts["found"]
    assert caught.value.facts["where"] == str(dev)


def test_a_folder_that_is_taken_or_cannot_be_made_is_refused(start: Start, csv: Path) -> None:
    start(train=csv, set={"schedule.steps": 1})
    with pytest.raises(OutputError, match="a run in this folder") as caught:
        start(train=csv)
    assert "albertkit finetune" in caught.value.for_command_line()
    with pytest.raises(OutputError, match="Cannot write") as caught:
        start(train=csv, out="reviews.csv/run")
    assert "a folder to write into" in caught.value.facts["expected"]


def test_texts_in_a_script_that_the_model_does_not_know_are_refused(
    start: Start, tmp_path: Path
) -> None:
    rows = [{"text": f"今天天气很好{n}", "label": n % 2} for n in range(20)]
    with pytest.raises(TrainingError, match="does not know the characters") as caught:
        start(train=write_jsonl(tmp_path / "zh.jsonl", list(rows)), model="albertkit/tiny-en")
    assert "--model albertkit/tiny-zh" in caught.value.for_command_line()


def test_a_run_that_does_not_learn_ends_with_its_likely_cause_said_once(
    start: Start, csv: Path, tmp_path: Path
) -> None:
    settings = {"schedule.learning_rate": 1e-9, "schedule.epochs": 1}
    result = start(train=csv, set=settings)
    assert result.exit_code == DOES_NOT_LEARN
    assert result.verdict is not None
    assert "never trained" in result.verdict.cause  # the tiny model is random: norms are 1 and 0
    assert (tmp_path / "said.txt").read_text().count("likely cause") == 1


def test_the_threads_and_seeds_of_torch_do_not_decide_the_result(start: Start, csv: Path) -> None:
    torch.manual_seed(1)
    first = start(train=csv, out="a", set={"schedule.steps": 3})
    torch.manual_seed(2)
    second = start(train=csv, out="b", set={"schedule.steps": 3})
    assert first.figures == second.figures


def test_several_seeds_have_a_median_and_one_split(
    tiny_model: Path, csv: Path, tmp_path: Path
) -> None:
    settings = {**QUICK, "schedule.steps": 12, "model.checkpoint": tiny_model / "model"}
    quiet = Console(quiet=True)
    found = finetune_seeds(
        "classify", seeds=3, seed=4, train=csv, out=tmp_path / "runs", set=settings, console=quiet
    )
    values = [run.figures["accuracy"] for run in found.runs]
    assert (found.seeds, found.values) == ((4, 5, 6), values)
    assert found.median == sorted(values)[1]
    assert found.best.figures["accuracy"] == max(values)
    splits = {(run.folder / "split.json").read_text() for run in found.runs}
    assert len(splits) == 1
    again = finetune_seeds(
        "classify", seeds=3, seed=4, train=csv, out=tmp_path / "runs", set=settings, resume=True,
        console=quiet,
    )  # fmt: skip
    assert again.values == values


def test_a_run_that_does_not_learn_begins_again_with_the_next_seed(
    start: Start, csv: Path, tmp_path: Path
) -> None:
    settings = {"schedule.learning_rate": 1e-9, "schedule.epochs": 1}
    result = start(train=csv, set=settings, restarts=2)
    assert result.exit_code == DOES_NOT_LEARN
    assert {path.name for path in tmp_path.glob("run*")} == {"run", "run.failed-1", "run.failed-2"}
    assert "seed = 2" in (result.folder / "recipe.toml").read_text()
    learned = start(train=csv, out="good", restarts=2)
    assert learned.exit_code == 0
    assert not list(tmp_path.glob("good.failed*"))


def test_smoothed_targets_have_the_loss_of_their_formula() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])
    targets, weights = torch.tensor([0, 2]), torch.tensor([1.0, 3.0])
    log_p = logits.log_softmax(-1)
    each = [-(0.9 * log_p[n, t] + 0.1 * log_p[n].mean()) for n, t in enumerate(targets.tolist())]
    found = task_loss("cross_entropy", logits, targets, weights, step_weight=8.0, smoothing=0.1)
    assert found.value.item() == pytest.approx((each[0] + 3 * each[1]).item() / 8)
    assert found.parts["loss"].item() == pytest.approx((each[0] + each[1]).item())
