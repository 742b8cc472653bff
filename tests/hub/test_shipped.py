"""The models inside the package: found by name, without a network, small enough to travel."""

from __future__ import annotations

from pathlib import Path

import pytest

from albertkit import Predictor
from albertkit.cli import main
from albertkit.hub import SHIPPED, resolve, shipped_models

MAX_WEIGHTS_BYTES = 6_500_000
MAX_FOLDER_BYTES = 7_500_000


def test_there_is_one_for_each_language() -> None:
    assert shipped_models() == ["tiny-en", "tiny-zh"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("albertkit/tiny-en", "He was born in the [MASK] of London.", {"city", "town"}),
        ("albertkit/tiny-zh", "公司[MASK]当依法纳税。", {"应"}),
    ],
)
def test_it_fills_a_mask_offline(name: str, text: str, words: set[str]) -> None:
    predictor = Predictor(resolve(name, offline=True))
    guesses = {x.token.removeprefix("\u2581") for x in predictor.fill_mask(text, 5).masks[0]}
    assert guesses & words


@pytest.mark.parametrize("folder", sorted(SHIPPED.iterdir()), ids=lambda path: path.name)
def test_it_is_small(folder: Path) -> None:
    assert (folder / "model.safetensors").stat().st_size <= MAX_WEIGHTS_BYTES
    assert sum(path.stat().st_size for path in folder.iterdir()) <= MAX_FOLDER_BYTES


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "albertkit" / "tiny-en").mkdir(parents=True)
    assert resolve("albertkit/tiny-en") == Path("albertkit/tiny-en")


def test_it_can_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "albertkit/tiny-zh", "--json"]) == 0
    assert '"vocab_size": 8000' in capsys.readouterr().out
