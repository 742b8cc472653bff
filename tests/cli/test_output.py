"""Outputs: names of files, pipes whose reader goes away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from albertkit.cli.output import output_file
from albertkit.errors import OutputError


def test_a_hyphen_as_output_is_explained() -> None:
    with pytest.raises(OutputError) as caught:
        output_file(Path("-"))
    assert "--json" in caught.value.facts["to do"]
    assert "/dev/stdout" in caught.value.facts["to do"]
    assert output_file(None) is None
    assert output_file(Path("x.npy")) == Path("x.npy")


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
