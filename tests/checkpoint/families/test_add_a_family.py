"""docs/add-a-family.md, run as it is written: one file outside the package makes a family."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from albertkit.checkpoint import families
from albertkit.conversion import convert
from albertkit.errors import AlbertkitError, CheckpointError

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "add-a-family.md"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of plugins that holds the guide's family."""
    code = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    (tmp_path / "plugins" / "families").mkdir(parents=True)
    file = tmp_path / "plugins" / "families" / "toy.py"
    file.write_text(code[1], encoding="utf-8")
    monkeypatch.setenv("ALBERTKIT_PLUGINS", str(tmp_path / "plugins"))
    return file


def test_the_guides_family_reads_what_it_writes(
    toy: Path, tmp_path: Path, tiny_model: Path
) -> None:
    assert "toy" in families.all_families()
    done = convert(tiny_model / "body", tmp_path / "toy", "toy")
    assert done.lost == []
    assert len(done.kept) == len(done.source.checkpoint.tensors)
    back = convert(tmp_path / "toy", tmp_path / "back", "huggingface")
    assert back.source.family == "toy"
    for name, tensor in done.source.checkpoint.tensors.items():
        assert np.array_equal(back.source.checkpoint.tensors[name], tensor)


def test_what_it_cannot_hold_is_lost_only_with_leave(
    toy: Path, tmp_path: Path, tiny_model: Path
) -> None:
    with pytest.raises(CheckpointError, match="sentence_order"):
        convert(tiny_model / "model", tmp_path / "toy", "toy")
    assert not (tmp_path / "toy").exists()
    done = convert(tiny_model / "model", tmp_path / "toy", "toy", allow_loss=True)
    assert len(done.lost) == 1
    assert "sentence_order.weight" not in done.kept


def test_two_plugins_of_one_name_are_refused(toy: Path) -> None:
    toy.rename(toy.with_name("albertkit.py"))
    with pytest.raises(AlbertkitError, match="one name"):
        families.all_families()


def test_a_folder_of_plugins_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALBERTKIT_PLUGINS", "/no/such/folder")
    with pytest.raises(AlbertkitError, match="ALBERTKIT_PLUGINS"):
        families.all_families()
