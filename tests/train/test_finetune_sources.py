"""Examples for fine-tuning from folders: a folder for each label, with or without its own parts."""

from __future__ import annotations

from pathlib import Path

from albertkit.train.finetune_data import Examples
from albertkit.train.finetune_recipe import ExampleSettings


def write(folder: Path, count: int) -> None:
    for label in ("neg", "pos"):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            (folder / label / f"{number}.txt").write_text(f"{label} {folder.name} {number}")


def test_a_folder_without_parts_is_split(tmp_path: Path) -> None:
    write(tmp_path / "own", 10)
    found = Examples.read("classify", ExampleSettings(train=tmp_path / "own"), "auto")
    assert (len(found.train), len(found.dev), found.kind) == (18, 2, "classification")
    assert found.split is not None
    assert {example.label for example in found.dev} == {"neg", "pos"}


def test_a_folder_with_its_own_parts_is_not_split(tmp_path: Path) -> None:
    write(tmp_path / "train", 5)
    write(tmp_path / "test", 2)
    found = Examples.read("classify", ExampleSettings(train=tmp_path), "auto")
    assert [example.text for example in found.dev] == [
        f"{label} test {number}" for label in ("neg", "pos") for number in (0, 1)
    ]
    assert len(found.train) == 10
    assert found.split is None
    assert ("held out", f"{tmp_path / 'test'}: 4 examples, 2 classes: neg (2), pos (2)") in (
        found.facts
    )
