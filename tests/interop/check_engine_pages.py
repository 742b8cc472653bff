"""Every command and every line of Python of docs/onnx.md and docs/fast.md runs.

Run by the stage `engines` of run.py with its own Python; no part of the ordinary tests.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import albertkit
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.checkpoint.early_exit import exit_shapes
from albertkit.cli import main
from albertkit.infer.predictor import Predictor
from albertkit.parameters import parameter_shapes
from albertkit.tasks.head import TaskHead

ROOT = Path(__file__).resolve().parents[2]
LINES = "A fine film.\nThe soup was cold.\nNobody came.\n" * 4
BLOCK = re.compile(r"```(bash|python)\n(.*?)```", re.DOTALL)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages speak of: `finetuned`, a classifier, lines.txt and dev.csv;
    `quick`, the same with a classifier after each layer.

    The labels of dev.csv are those that the model does not give: int8 can only gain.
    """
    base = Checkpoint.load(Path(albertkit.__file__).parent / "weights" / "tiny-en")
    head = TaskHead("classification", 2, ("bad", "good"))
    draws = np.random.default_rng(0)
    own = {
        name: draws.normal(0, 0.05, shape).astype(np.float32)
        for name, shape in parameter_shapes(base.config, head).items()
        if name.startswith(head.part)
    }
    body = {name: x for name, x in base.tensors.items() if name.startswith("albert.")}
    tuned = replace(base, tensors={**body, **own}, head=head)
    tuned.save(tmp_path / "finetuned")
    exits = {
        name: np.zeros(shape, np.float32) for name, shape in exit_shapes(base.config, head).items()
    }
    replace(tuned, exits=exits).save(tmp_path / "quick")
    (tmp_path / "lines.txt").write_text(LINES, encoding="utf-8")
    texts = LINES.splitlines()[:3]
    answers = Predictor(tmp_path / "finetuned").classify(texts)
    others = {"bad": "good", "good": "bad"}
    rows = [f"{text},{others[x.label]}\n" for text, x in zip(texts, answers, strict=True)]
    (tmp_path / "dev.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
    monkeypatch.setenv("ALBERTKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("page", "made"), [("onnx.md", "tiny-int8"), ("fast.md", "tiny-ir")])
def test_the_page_runs_as_typed(place: Path, page: str, made: str) -> None:
    ran = 0
    for kind, block in BLOCK.findall((ROOT / "docs" / page).read_text("utf-8")):
        if "optimum" in block:
            continue  # optimum_reads.py runs it where Optimum is
        if kind == "python":
            exec(compile(block, page, "exec"), {})
            continue
        for line in block.splitlines():
            program, *words = shlex.split(line)
            if program == "albertkit":  # else pip: the packages are here
                assert main(words) == 0, line
                ran += 1
    assert ran >= 2
    assert (place / made / "albertkit_export.json").is_file()
    if page == "fast.md":
        assert np.load(place / "vectors.npy").shape == (12, 384)
        check = json.loads((place / "finetuned-int8" / "albertkit_check.json").read_text())
        assert (check["before"], check["keeps"], check["count"]) == (0, True, 3)
        assert check["bytes"] < check["bytes_before"] / 3


def test_the_example_beside_an_export_runs(place: Path) -> None:
    assert main(["export", "finetuned", "--to", "onnx", "--out", "made"]) == 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, str(place / "made" / "example.py")],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("logits (2, 2)")


def test_int8_of_onnx_is_checked_before_auto_takes_it(place: Path) -> None:
    command = ["quantize", "finetuned", "--check", "dev.csv", "--to", "onnx", "--out", "made"]
    assert main(command) == 0
    check = json.loads((place / "made" / "albertkit_check.json").read_text())
    assert (check["before"], check["keeps"], check["count"]) == (0, True, 3)
    assert check["bytes"] < check["bytes_before"] / 3
    classify = ["classify", "A fine film.", "--model", "made", "--engine", "auto"]
    assert main(classify) == 0
    (place / "made" / "albertkit_check.json").unlink()
    assert main(classify) == 2
