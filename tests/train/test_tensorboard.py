"""TensorBoard files by option: the figures of metrics.jsonl, no step twice after a resume.

The package is not needed here: what it writes is stood in for by a list.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from animals import write_csv
from rich.console import Console

from albertkit.cli import main
from albertkit.errors import AlbertkitError
from albertkit.train import finetune as finetuning
from albertkit.train import report
from albertkit.train.finetune import finetune
from albertkit.train.metrics import read_metrics
from albertkit.train.pretrain import pretrain
from albertkit.train.recipe import PretrainingRecipe

Make = Callable[..., PretrainingRecipe]
Points = list[tuple[str, float, int]]


class Writer:
    """What torch.utils.tensorboard has under this name, and TensorBoard's rule for purge_step."""

    opened: list[Writer] = []

    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder, self.purge_step = Path(folder), purge_step
        self.written: Points = []
        self.safe: Points = []  # flushed
        Writer.opened.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.written.append((name, value, step))

    def flush(self) -> None:
        self.safe = list(self.written)

    close = flush


def shown() -> Points:
    """What TensorBoard shows of all writers: points from a purged step on are hidden."""
    points: Points = []
    for writer in Writer.opened:
        points = [point for point in points if point[2] < writer.purge_step] + writer.safe
    return points


def lines_as_points(folder: Path) -> Points:
    return [
        (f"{line['event']}/{name}", value, line["step"])
        for line in read_metrics(folder / "metrics.jsonl")
        for name, value in line.items()
        if "step" in line and name != "step" and isinstance(value, (int, float))
    ]


@pytest.fixture(autouse=True)
def _no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "curves", lambda *lines: "")
    monkeypatch.setattr(finetuning, "write_task_report", lambda *parts: None)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if tensorboard were installed."""
    monkeypatch.setattr(Writer, "opened", [])
    module = ModuleType("torch.utils.tensorboard")
    monkeypatch.setattr(module, "SummaryWriter", Writer, raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", ModuleType("tensorboard"))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)


@pytest.mark.usefixtures("package")
def test_pretraining_writes_the_lines_of_its_metrics(make_recipe: Make) -> None:
    result = pretrain(make_recipe(), tensorboard=True, console=Console(quiet=True))
    [writer] = Writer.opened
    assert writer.folder == result.folder / "tensorboard"
    assert shown() == lines_as_points(result.folder)
    names = {name for name, _, _ in shown()}
    assert {"train/mlm_loss", "train/learning_rate", "validation/mlm_loss"} <= names


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("kept", [0, 8])
def test_a_resumed_run_shows_no_step_twice(make_recipe: Make, kept: int) -> None:
    quiet = Console(quiet=True)
    recipe = make_recipe("run.tensorboard=true", "run.keep=9")
    whole = pretrain(recipe, console=quiet)
    points = shown()
    for state in (whole.folder / "checkpoints").iterdir():
        if int(state.name.removeprefix("step-")) > kept:
            shutil.rmtree(state)
    pretrain(recipe, resume=True, console=quiet)
    assert Writer.opened[-1].purge_step == kept + 1

    def steady(found: Points) -> Points:
        return sorted(point for point in found if point[0] != "train/tokens_per_second")

    assert steady(shown()) == steady(points)


@pytest.mark.usefixtures("package")
def test_fine_tuning_writes_them_by_option(tiny_model: Path, tmp_path: Path) -> None:
    train = write_csv(tmp_path / "reviews.csv", 40)
    words = ["finetune", "classify", "--train", str(train), "--model", str(tiny_model / "model")]
    words += ["--out", str(tmp_path / "run"), "--epochs", "1", "--set", "run.threads=1"]
    main([*words, "--tensorboard"])
    assert shown() == lines_as_points(tmp_path / "run")
    assert "validation/accuracy" in {name for name, _, _ in shown()}
    assert "tensorboard = true" in (tmp_path / "run" / "recipe.toml").read_text()


@pytest.mark.parametrize("task", ["pretrain", "finetune"])
def test_without_the_package_nothing_is_begun(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    train = write_csv(tmp_path / "reviews.csv", 40)
    runs: dict[str, Callable[[], Any]] = {
        "pretrain": lambda: pretrain(make_recipe(), tensorboard=True),
        "finetune": lambda: finetune(
            "classify", train=train, out=tmp_path / "run", tensorboard=True
        ),
    }
    with pytest.raises(AlbertkitError, match="tensorboard is not installed") as caught:
        runs[task]()
    assert caught.value.facts["to do"] == 'pip install "albertkit[tensorboard]"'
    assert not (tmp_path / "run").exists()
