"""A disk that becomes full at any write of fine-tuning: the state before loads, and goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from animals import write_csv
from failing_writes import disk, points

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.cli import main
from albertkit.cli.app import MISTAKE
from albertkit.files import sha256_of
from albertkit.train import finetune_report
from albertkit.train.health import DOES_NOT_LEARN

Command = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def _no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawings take longer than these runs; they are written as one file all the same."""
    for name in ("curves", "lengths", "calibration"):
        monkeypatch.setattr(finetune_report, name, lambda *lines: "")


@pytest.fixture
def finetune(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """`albertkit finetune` of four steps with a state after each other one; code, what it said."""
    train = write_csv(tmp_path / "reviews.csv", 20)

    def run(out: Path, *more: str) -> tuple[int, str]:
        settings = ["schedule.steps=4", "schedule.batch_size=8", "run.threads=1"]
        settings += ["run.validate_every=2", "run.save_every=2", "model.hidden_dropout=0.1"]
        words = [word for setting in settings for word in ("--set", setting)]
        words += ["--train", str(train), "--model", str(tiny_model / "model")]
        code = main(["finetune", "classify", *words, "--out", str(out), *more])
        return code, capsys.readouterr().err

    return run


def half_written(folder: Path) -> list[str]:
    """What no program should find: folders and files that were being written."""
    return [str(x.relative_to(folder)) for x in folder.rglob("*") if ".writing-" in x.name]


def test_a_run_that_finds_the_disk_full_goes_on_to_the_same_weights(
    finetune: Command, tmp_path: Path
) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    with disk(place) as free:
        code, _ = finetune(place / "whole")
    assert code in (0, DOES_NOT_LEARN)
    exported = next(
        n for n, what in enumerate(free.done, 1) if what.startswith("rename whole/.model")
    )
    whole = sha256_of(place / "whole" / "model" / "model.safetensors")
    for name, number in points(free.done).items():
        folder = place / f"run-{number}"
        run = folder / "whole"
        folder.mkdir()
        with disk(folder, number):
            code, said = finetune(run)
        assert (code, "Traceback" in said) == (MISTAKE, False), (name, said)
        assert "No space left" in said, (name, said)
        assert str(run) in said, (name, said)
        assert "free some space" in said, (name, said)
        assert not half_written(folder), name
        if number > exported:
            assert Checkpoint.load(run / "model").tensors, name  # the one before, whole
        if (run / "recipe.toml").exists():  # else nothing was begun
            again = run / "recipe.toml"
            assert f"albertkit finetune {again} --resume" in said, (name, said)
            code = main(["finetune", str(again), "--resume"])
        else:
            assert not run.exists()
            code, _ = finetune(run)
        assert code in (0, DOES_NOT_LEARN), name
        assert sha256_of(run / "model" / "model.safetensors") == whole, name
        assert (run / "report.html").is_file(), name
        shutil.rmtree(folder)
