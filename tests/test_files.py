"""Files and folders appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from albertkit.errors import OutputError
from albertkit.files import (
    atomic_file,
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
    with pytest.raises(OutputError, match="a free name"), atomic_folder(target):
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


def test_a_full_disk_is_reported_and_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left") as caught, atomic_folder(tmp_path / "o"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.facts["expected"] == "free space on the disk"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_also_when_safetensors_meets_it() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OutputError, match="free space"), translate_os_errors(full):
        full.write_bytes(b"x" * 100_000)
    from safetensors import SafetensorError

    with pytest.raises(OutputError, match="free space"), translate_os_errors(full):
        raise SafetensorError("Error while serializing: I/O error: x (os error 28)")


def test_a_parent_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(OutputError, match="to do"), atomic_folder(tmp_path / "file" / "out"):
        pass
    with pytest.raises(OutputError, match="part of the path is a file"):
        write_atomic(tmp_path / "file" / "x", "y")
    with pytest.raises(OutputError, match="make the folder first"):
        write_atomic(tmp_path / "missing" / "x", "y")
    assert (tmp_path / "file").read_text() == "text"


def test_a_missing_permission_is_reported(
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


def read_pipe(path: Path) -> tuple[threading.Thread, list[bytes]]:
    """Make a pipe, and read it in the background: the thread, and a list of what came out."""
    os.mkfifo(path)
    came: list[bytes] = []
    reader = threading.Thread(target=lambda: came.append(path.read_bytes()), daemon=True)
    reader.start()
    return reader, came


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_a_pipe_gets_the_bytes_and_stays_a_pipe(tmp_path: Path) -> None:
    reader, came = read_pipe(tmp_path / "pipe")
    write_atomic(tmp_path / "pipe", b"abc")
    reader.join(5)
    assert came == [b"abc"]
    assert (tmp_path / "pipe").is_fifo()
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


def test_a_device_stays_a_device() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    write_atomic(Path("/dev/null"), b"abc")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(OutputError) as caught:
        write_atomic(Path("/dev/full"), b"abc")
    assert caught.value.facts["expected"] == "free space on the disk"
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_an_open_descriptor_gets_the_bytes_between_what_is_printed(
    name: str, tmp_path: Path
) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("this system has no /proc")
    code = (
        "from albertkit.files import write_atomic; from pathlib import Path; print('one');"
        f"write_atomic(Path('{name}'), 'two\\n'); print('three')"
    )
    with (tmp_path / "out").open("wb") as file:  # a file, as `> out` gives
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert (tmp_path / "out").read_text() == "one\ntwo\nthree\n"
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert piped.stdout == b"one\ntwo\nthree\n"


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "real").write_text("old")
    (tmp_path / "link").symlink_to("place/real")
    (tmp_path / "dangling").symlink_to("place/new")
    write_atomic(tmp_path / "link", "new")
    write_atomic(tmp_path / "dangling", "newer")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "place" / "real").read_text() == "new"
    assert (tmp_path / "place" / "new").read_text() == "newer"
    assert len(list((tmp_path / "place").iterdir())) == 2
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OutputError) as caught:
        write_atomic(tmp_path / "circle", "x")
    assert "links" in caught.value.facts["expected"]
    assert (tmp_path / "circle").is_symlink()


def test_a_folder_is_refused_as_a_file_before_the_work_is_done(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught, atomic_file(tmp_path):
        pytest.fail("the work began")
    assert caught.value.facts["found"] == os.strerror(errno.EISDIR)


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "private").write_text("old")
    (tmp_path / "private").chmod(0o600)
    write_atomic(tmp_path / "private", "new")
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600


def test_a_failure_writes_nothing_into_a_link_or_a_device(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")

    def fail_halfway() -> None:
        with atomic_file(tmp_path / "link") as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail_halfway()
    assert (tmp_path / "link").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]


def test_a_folder_behind_a_link_is_replaced_there_and_pipes_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").touch()
    (tmp_path / "link").symlink_to("real")
    with atomic_folder(tmp_path / "link", replace=True) as folder:
        (folder / "new").touch()
    assert (tmp_path / "link").is_symlink()
    assert [p.name for p in (tmp_path / "real").iterdir()] == ["new"]
    if os.name != "nt":
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OutputError), atomic_folder(tmp_path / "pipe", replace=True):
            pass
        assert (tmp_path / "pipe").is_fifo()
