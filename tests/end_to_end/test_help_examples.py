"""Every example of the help works as it is typed, in a folder that holds what it names."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from albertkit import hub
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.cli import main
from albertkit.cli.app import EXAMPLES
from albertkit.model.loading import tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.head import TaskHead

SMALLER = {"8000": "45"}  # pieces, of which these lines give few
GOALS_MISSED = {"pretrain": 3, "finetune": 3, "demo": 1}  # exit codes of so few steps
# What long work is shortened by; the examples are otherwise run as they are.
SHORTER = {
    "pretrain": ["--set", "stages.0.steps=1", "--set", "stages.0.batch_size=2"],
    "demo": [
        *("--set", "stages.0.steps=1", "--set", "stages.0.batch_size=2"),
        *("--set", "stages.0.warmup_steps=0", "--set", "run.validation_rows=4"),
        *("--set", "schedule.steps=1"),
    ],
    "finetune": ["--set", "schedule.steps=1"],
}
HEADS = {
    "classify": TaskHead("classification", 2),
    "evaluate": TaskHead("classification", 2, ("0", "1")),
    "predict": TaskHead("classification", 2),
    "tag": TaskHead("token_classification", 3),
    "answer": TaskHead("span", 2),
    "choose": TaskHead("multiple_choice", 1),
}
NEEDS_AN_ENGINE = {"export", "quantize"}
LINES = [f"In {year} it rained for {year % 7 + 2} days. The street was wet." for year in range(99)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepare(place: Path, command: str, golden: Path) -> None:
    """Put there what the example of a command names."""
    shipped = hub.SHIPPED / "tiny-en"
    (place / "text.txt").write_text("\n\n".join(LINES))
    (place / "words.txt").write_text("astrolabe\n")
    (place / "lines.txt").write_text("\n".join(LINES[:3]) + "\n")
    reviews = "".join(f"{line},{number % 2}\n" for number, line in enumerate(LINES))
    for name in ("reviews.csv", "test.csv"):
        (place / name).write_text("review,label\n" + reviews)
    if command in ("tokenize", "make-data"):
        (place / "vocab").mkdir()
        shutil.copy(shipped / "spiece.model", place / "vocab")
    if command == "pretrain":
        made = ["make-data", "text.txt", "--vocab", str(shipped), "--output", "data"]
        assert main([*made, "--held-out", "0.2"]) == 0
    if command in ("inspect", "convert"):
        for file in (golden / "google_tf" / "g1_i1_gelu").iterdir():
            shutil.copy(file, place)
    if command in HEADS:
        base, head = Checkpoint.load(shipped), HEADS[command]
        tensors = tensors_of(AlbertForTask(base.config, head))
        Checkpoint(base.config, tensors, base.tokenizer, head=head).save(place / "finetuned")


# Exporting needs ONNX Runtime or OpenVINO, so it is part of the interop check.
@pytest.mark.parametrize(
    "example", [x for x in EXAMPLES.values() if not NEEDS_AN_ENGINE & {*x.split()}]
)
def test_an_example_works_as_typed(
    example: str,
    place: Path,
    golden: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program, command, *rest = shlex.split(example)
    assert program == "albertkit"
    prepare(place, command, golden)
    if command == "download":  # without a network the hub is a folder here
        monkeypatch.setattr(hub, "fetch_repository", lambda *_, **__: hub.SHIPPED / "tiny-en")
    before = {path.name for path in place.iterdir()}
    words = [SMALLER.get(word, word) for word in rest]
    code = main([command, *words, *SHORTER.get(command, [])])
    captured = capsys.readouterr()
    assert code in (0, GOALS_MISSED.get(command, 0)), captured.err
    made = {path.name for path in place.iterdir()} - before
    # What it names, and nothing else; a demo says itself where it puts things.
    assert made <= (set(rest) if command != "demo" else {"demo-run"})
    assert captured.out or made
    if command == "embed":
        assert np.load(place / "vectors.npy").shape[0] == 3
