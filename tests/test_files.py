"""Files and folders appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from albertkit.errors import OutputError
from albertkit.files import (
    atomic_folder,
    clear_leftovers,
    sha256_of,
    translate_os_errors,
    write_atomic,
)


def test_a_folder_appears_whole_under_its_name(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "a" / "out") as folder:
        (folder / "x").write_text("1")
        assert not (tmp_path / "a" / "out").exists()
    assert (tmp_path / "a" / "out" / "x").read_text() == "1"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["out"]


def test_a_failure_leaves_nothing_not_even_new_parents(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "a" / "b" / "out") as folder:
        (folder / "x").write_text(Path("missing").read_text())
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused_and_replaced_only_on_request(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(OutputError, match="free name"), atomic_folder(target):
        pass
    with pytest.raises(KeyError), atomic_folder(target, replace=True):
        raise KeyError
    assert [p.name for p in target.iterdir()] == ["old"]
    with atomic_folder(target, replace=True) as folder:
        (folder / "new").touch()
    assert [p.name for p in target.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_counts_as_free(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "x").touch()
    assert (tmp_path / "out" / "x").exists()


def test_a_full_disk_is_told_and_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left") as caught, atomic_folder(tmp_path / "o"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.facts["expected"] == "free space on the disk"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_also_when_safetensors_meets_it() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OutputError, match="free space"), translate_os_errors(full):
        full.write_bytes(b"x" * 100_000)
    from safetensors import SafetensorError

    with pytest.raises(OutputError, match="free space"), translate_os_errors(full):
        raise SafetensorError("Error while serializing: I/O error: x (os error 28)")


def test_a_parent_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(OutputError, match="to do"), atomic_folder(tmp_path / "file" / "out"):
        pass
    with pytest.raises(OutputError, match="part of the path is a file"):
        write_atomic(tmp_path / "file" / "x", "y")
    with pytest.raises(OutputError, match="make the folder first"):
        write_atomic(tmp_path / "missing" / "x", "y")
    assert (tmp_path / "file").read_text() == "text"


def test_a_missing_permission_is_told(
    tmp_path: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with (
        unprivileged(),
        pytest.raises(OutputError, match="permission"),
        atomic_folder(tmp_path / "closed" / "out"),
    ):
        pass


def test_a_missing_input_is_not_called_an_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "out"):
        (tmp_path / "input").read_text()


def test_a_file_keeps_its_old_content_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomic(tmp_path / "x", "old")

    def refuse(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError):
        write_atomic(tmp_path / "x", "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("x", "old")]


def test_leftovers_of_a_kill_are_cleared_and_a_half_replaced_folder_comes_back(
    tmp_path: Path,
) -> None:
    (tmp_path / ".a.writing-00").mkdir()
    (tmp_path / ".b.writing-11").touch()
    (tmp_path / ".model.replaced-22").mkdir()
    (tmp_path / ".model.replaced-22" / "weights").touch()
    (tmp_path / ".hidden").touch()
    removed = clear_leftovers(tmp_path)
    assert [p.name for p in removed] == [".a.writing-00", ".b.writing-11"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [".hidden", "model"]
    assert (tmp_path / "model" / "weights").exists()


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()


def test_safetensors_writes_into_the_folder(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out") as folder:
        save_file({"a": np.zeros(3, np.float32)}, folder / "t.safetensors")
    written = (tmp_path / "out" / "t.safetensors").stat()
    assert written.st_size > 12
    assert written.st_mode & 0o444 == (tmp_path / "out").stat().st_mode & 0o444
