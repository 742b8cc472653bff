"""docs/add-a-family.md, run as it is written: one file outside the package makes a family."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from albertkit import plugins
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


def test_a_folder_of_plugins_that_is_not_there_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALBERTKIT_PLUGINS", "/no/such/folder")
    with pytest.raises(AlbertkitError, match="ALBERTKIT_PLUGINS"):
        families.all_families()


def test_a_name_costs_no_import_and_each_plugin_is_imported_when_it_is_named(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.with_name("broken.py").write_text("raise RuntimeError('imported')")
    toy.with_name("_helper.py").write_text("raise RuntimeError('imported')")
    assert plugins.names("families")[-2:] == ["broken", "toy"]
    assert families.named("toy").TITLE == "the toy of the documentation"
    with pytest.raises(AlbertkitError) as caught:
        families.named("broken")
    assert caught.value.facts["found"] == "RuntimeError: imported"
    assert caught.value.facts["where"] == str(toy.with_name("broken.py"))


def test_a_plugin_may_be_a_folder(toy: Path) -> None:
    package = toy.with_name("boxed")
    package.mkdir()
    (package / "_whole.py").write_text(toy.read_text(encoding="utf-8"), encoding="utf-8")
    (package / "__init__.py").write_text("from ._whole import *\nfrom ._whole import TITLE\n")
    (toy.with_name("no_plugin")).mkdir()
    assert plugins.names("families")[-2:] == ["boxed", "toy"]
    assert families.named("boxed").TITLE == families.named("toy").TITLE


def test_what_a_plugin_lacks_is_named(toy: Path) -> None:
    toy.with_name("half.py").write_text("TITLE = 'half'\n\n\ndef detect(path):\n    return None\n")
    with pytest.raises(AlbertkitError) as caught:
        families.named("half")
    assert caught.value.facts["found"] == "no WRITES, read(), losses(), write()"


def test_an_installed_package_brings_a_plugin_by_an_entry_point(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    info = site / "albertkit_toy-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: albertkit-toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[albertkit.families]\ntoy_too = toy_module\n")
    shutil.move(toy, site / "toy_module.py")
    monkeypatch.syspath_prepend(str(site))
    assert plugins.names("families")[-1] == "toy_too"
    assert families.named("toy_too").TITLE == "the toy of the documentation"
