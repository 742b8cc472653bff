"""int8 with what it costs; a plugin that rounds weights stands for an exporter and its engine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from albertkit import quantize
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.cli import main
from albertkit.errors import CorpusError, OutputError, PredictionError
from albertkit.exporters._quantize import agreement_of
from albertkit.infer.checked import CHECK, Checked
from albertkit.infer.evaluate import Evaluation
from albertkit.infer.predictor import Predictor
from albertkit.model.loading import tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.head import TaskHead

ENGINE = """
import numpy as np
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.infer.exported import Manifest
from albertkit.infer.torch_engine import TorchEngine

TITLE, PRECISIONS = "Rounded", ("int8",)


def make(checkpoint, settings):
    raise PredictionError("It opens exported folders.")


def open_exported(folder, settings):
    manifest = Manifest.load(folder, TITLE, "model.npz", settings.precision)
    tensors = dict(np.load(folder / "model.npz"))
    return TorchEngine(Checkpoint(manifest.config, tensors, head=manifest.head))
"""
EXPORTER = """
import numpy as np

TITLE, ENGINE, PRECISIONS, PACKAGES = "Rounded", "rounded", ("int8",), ("numpy",)
CALIBRATED, FIXES_LENGTH, TOKENIZER_PACKAGE, EXAMPLE = (), False, None, "{inputs}"


def write(checkpoint, folder, task, precision, calibrate, length, tokenize):
    steps = 127 / max(np.abs(x).max() for x in checkpoint.tensors.values())
    rounded = {n: (np.round(x * steps) / steps).astype("f4") for n, x in checkpoint.tensors.items()}
    np.savez(folder / "model.npz", **rounded)
"""
LABELS = ("bad", "good", "so so")


@pytest.fixture(autouse=True)
def _plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, text in (("engines", ENGINE), ("exporters", EXPORTER)):
        folder = tmp_path / "plugins" / kind
        folder.mkdir(parents=True)
        (folder / "rounded.py").write_text(text)
    monkeypatch.setenv("ALBERTKIT_PLUGINS", str(tmp_path / "plugins"))


@pytest.fixture
def tuned(tiny_model: Path, tmp_path: Path) -> Path:
    """A random model with three classes that are about as likely."""
    base = Checkpoint.load(tiny_model / "model")
    head = TaskHead("classification", 3, LABELS)
    torch.manual_seed(7)
    tensors = tensors_of(AlbertForTask(base.config, head))
    tensors["classifier.bias"] = np.zeros(3, np.float32)
    Checkpoint(base.config, tensors, base.tokenizer, head=head).save(tmp_path / "tuned")
    return tmp_path / "tuned"


@pytest.fixture
def dev(tuned: Path, tmp_path: Path) -> Path:
    """Texts with the labels that the model gives, so that its accuracy is 1."""
    words = ["the", "cat", "sat", "on", "a", "mat", "dog", "ran"]
    texts = [" ".join(words[int(d)] for d in f"{n:o}") for n in range(64)]
    answers = Predictor(tuned).classify(texts)
    rows = [f"{text},{answer.label}\n" for text, answer in zip(texts, answers, strict=True)]
    path = tmp_path / "dev.csv"
    path.write_text("text,label\n" + "".join(rows))
    return path


def test_columns_are_named_as_for_evaluate(tuned: Path, dev: Path, tmp_path: Path) -> None:
    head, *rows = dev.read_text().splitlines()
    wrong = {"bad": "good", "good": "so so", "so so": "bad"}
    lines = [f"{row},{row.rpartition(',')[0]},{wrong[row.rpartition(',')[2]]}" for row in rows]
    other = tmp_path / "other.csv"  # what would be found by its name is wrong
    other.write_text("\n".join([f"said,meant,{head}", *lines]) + "\n")
    found = quantize(tuned, check=other, out=tmp_path / "by-name", to="rounded").checked
    assert found.before == 0.0
    columns = {"text_column": "said", "label_column": "meant"}
    found = quantize(tuned, check=other, out=tmp_path / "named", to="rounded", **columns).checked
    assert found.before == 1.0
    words = [str(tuned), "--check", str(other), "--to", "rounded", "--out", str(tmp_path / "typed")]
    assert main(["quantize", *words, "--text-column", "said", "--label-column", "meant"]) == 0
    typed = Checked.load(tmp_path / "typed")
    assert (typed.before, typed.after) == (1.0, found.after)


def test_what_int8_costs_is_measured_and_kept_beside_the_model(
    tuned: Path, dev: Path, tmp_path: Path
) -> None:
    done = quantize(tuned, check=dev, out=tmp_path / "small", to="rounded")
    found = done.checked
    assert (found.metric, found.before, found.count) == ("accuracy", 1.0, 64)
    rows = [row.rpartition(",") for row in dev.read_text().splitlines()[1:]]
    answers = Predictor(tmp_path / "small").classify([text for text, _, _ in rows])
    same = np.mean([x.label == row[2] for x, row in zip(answers, rows, strict=True)])
    assert found.after == pytest.approx(same)
    assert found.agreement == pytest.approx(same)  # the labels of the file are the model's
    assert found.clear_count is not None
    assert 0 < found.clear_count <= 64
    assert found.bytes == (tmp_path / "small" / "model.npz").stat().st_size
    assert found.bytes_before == 4 * sum(x.size for x in Checkpoint.load(tuned).tensors.values())
    assert found.seconds > 0
    assert found.seconds_before > 0
    assert Checked.load(tmp_path / "small") == found
    values = json.loads((tmp_path / "small" / CHECK).read_text())
    assert values["keeps"] == found.keeps
    assert done.export.folder == tmp_path / "small"


def test_the_command_shows_the_costs(
    tuned: Path, dev: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["quantize", str(tuned), "--check", str(dev), "--to", "rounded"]
    assert main([*command, "--out", str(tmp_path / "a")]) == 0
    shown = capsys.readouterr().out
    assert "accuracy" in shown
    assert "labels that are the same" in shown
    assert main([*command, "--out", str(tmp_path / "b"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["before"] == 1.0
    assert found["precision"] == "int8"
    assert {"after", "agreement", "clear_agreement", "bytes", "speed", "keeps"} <= set(found)


def test_a_length_reaches_the_exporter(
    tuned: Path, dev: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["quantize", str(tuned), "--check", str(dev), "--to", "rounded"]
    assert main([*command, "--length", "16", "--out", str(tmp_path / "a")]) != 0
    assert "writes models for any length" in capsys.readouterr().err  # this exporter's answer


def test_nothing_stays_of_a_model_that_cannot_be_checked(
    tuned: Path, dev: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "made" / "small"
    with pytest.raises(PredictionError, match="no head"):
        quantize(tiny_model / "model", check=dev, out=out, to="rounded")
    with pytest.raises(CorpusError):
        quantize(tuned, check=tmp_path / "missing.csv", out=out, to="rounded")
    assert not out.parent.exists()
    dev.write_text("text,label\nthe cat,worse\na dog,bad\n")
    with pytest.raises(ValueError, match="labels that the model does not have"):
        quantize(tuned, check=dev, out=out, to="rounded")
    assert not out.parent.exists()
    out.mkdir(parents=True)
    (out / "mine").touch()
    with pytest.raises(OutputError, match="exists"):
        quantize(tuned, check=dev, out=out, to="rounded")


def test_auto_takes_int8_only_where_it_was_checked_and_keeps_the_metric(
    tuned: Path, dev: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small"
    made = quantize(tuned, check=dev, out=out, to="rounded").checked
    replace(made, before=0.9, after=0.896).save(out)
    assert Predictor(out, engine="auto").classify("the cat").label in LABELS
    said = capsys.readouterr().err
    assert "engine: rounded, int8; accuracy 0.9000 before, 0.8960 after" in said
    replace(made, before=0.9, after=0.894).save(out)  # more than half a point
    with pytest.raises(PredictionError, match="keeps its metric") as refused:
        Predictor(out, engine="auto")
    assert "0.8940" in refused.value.facts["found"]
    (out / CHECK).write_text("{}")
    with pytest.raises(PredictionError, match="damaged"):
        Predictor(out, engine="auto")
    (out / CHECK).unlink()
    with pytest.raises(PredictionError) as refused:
        Predictor(out, engine="auto")
    assert refused.value.facts["found"] == "none"
    Predictor(out)  # asked for by its folder


def evaluation(kind: str, logits: object = None, answers: tuple[str, ...] = ()) -> Evaluation:
    values = None if logits is None else np.array(logits, np.float32)
    head = TaskHead(kind, {"regression": 1, "span": 2}.get(kind, 3))
    return Evaluation(head, {}, {}, (), None, logits=values, answers=answers)


def test_labels_agree_by_their_best_logit_and_clear_ones_are_counted_apart() -> None:
    def agreement(kind: str, before: object, after: object) -> object:
        one, other = evaluation(kind, before), evaluation(kind, after)
        return agreement_of(one.head, one, other)

    before = [[2.0, 1.0, 0.0], [1.0, 1.0005, 0.0], [0.0, 0.0, 5.0], [0.0, 3.0, 1.0]]
    after = [[1.5, 1.0, 0.0], [1.1, 1.0, 0.0], [0.0, 9.0, 5.0], [0.0, 3.0, 1.0]]
    assert agreement("classification", before, after) == (0.5, pytest.approx(2 / 3), 3)
    # each label of several counts: 12 of them, one of which is 0.0005 from the threshold
    before = [[2.0, -1.0, -3.0], [1.0, 0.0005, -1.0], [-1.0, -1.0, 5.0], [-2.0, 3.0, 1.0]]
    after = [[2.0, -1.0, -3.0], [1.0, -0.1, -1.0], [-1.0, 1.0, 5.0], [-2.0, 3.0, 1.0]]
    assert agreement("multi_label", before, after) == (
        pytest.approx(10 / 12),
        pytest.approx(10 / 11),
        11,
    )
    assert agreement("regression", [[1.0]], [[1.1]]) == (None, None, None)
    spans = (evaluation("span", answers=("a", "b")), evaluation("span", answers=("a", "c")))
    assert agreement_of(spans[0].head, *spans) == (0.5, None, None)
