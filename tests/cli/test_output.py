"""Outputs: arrays that grow, tables of vectors, pipes whose reader goes away."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from albertkit.cli.output import VectorTable, array_file, output_file
from albertkit.errors import OutputError


def test_an_array_grows_and_its_header_tells_the_rows(tmp_path: Path) -> None:
    rows = np.arange(33 * 3, dtype=np.float32).reshape(33, 3)
    with array_file(tmp_path / "x.npy") as append:
        for start in range(0, 33, 4):
            append(rows[start : start + 4])
        assert not (tmp_path / "x.npy").exists()
    read = np.load(tmp_path / "x.npy")
    assert read.dtype == np.float32
    assert np.array_equal(read, rows)
    np.save(tmp_path / "theirs.npy", rows)
    assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_an_array_goes_through_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    came: list[bytes] = []
    reader = threading.Thread(target=lambda: came.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    with array_file(tmp_path / "pipe") as append:
        append(np.ones((2, 4), np.float32))
        append(np.ones((1, 4), np.float32))
    reader.join()
    (tmp_path / "x.npy").write_bytes(came[0])
    assert np.array_equal(np.load(tmp_path / "x.npy"), np.ones((3, 4)))
    assert (tmp_path / "pipe").is_fifo()


def test_a_hyphen_as_output_is_explained() -> None:
    with pytest.raises(OutputError) as caught:
        output_file(Path("-"))
    assert "--json" in caught.value.facts["to do"]
    assert "/dev/stdout" in caught.value.facts["to do"]
    assert output_file(None) is None
    assert output_file(Path("x.npy")) == Path("x.npy")


def test_a_table_of_vectors_has_cosines_to_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    table = VectorTable()
    table.add("first", np.array([3, 4], np.float32))
    table.add("second", np.array([4, 3], np.float32))
    head, one, two = capsys.readouterr().out.splitlines()
    assert head.split() == ["cosine", "to", "first", "length", "first", "3", "of", "2", "text"]
    assert one.split() == ["1.000", "5.00", "+3.00", "+4.00", "first"]
    assert two.split() == ["0.960", "5.00", "+4.00", "+3.00", "second"]  # 24 / 25


@pytest.mark.parametrize(
    "arguments", ["models", "info albert-base-v2", "--help", "inspect MODEL --tensors"]
)
def test_a_reader_that_goes_away_is_no_error(tiny_model: Path, arguments: str) -> None:
    command = f"{sys.executable} -m albertkit {arguments}".replace("MODEL", f"{tiny_model}/model")
    # `true` reads nothing, so that every write may fail
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | true"], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_an_output_never_replaces_its_own_input(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a\n")
    (tmp_path / "link").symlink_to("lines.txt")
    for output in ("lines.txt", "link"):
        with pytest.raises(OutputError):
            output_file(tmp_path / output, tmp_path / "lines.txt")
    free = tmp_path / "vectors.npy"
    assert output_file(free, tmp_path / "lines.txt") == free


def test_a_program_without_standard_output_does_its_work(tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m albertkit models >&- 2>&-'
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
