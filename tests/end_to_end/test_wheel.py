"""What a user installs: the wheel alone, in an empty environment, without a network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = CHECKOUT / "src" / "albertkit"
# Any attempt to connect ends in an error: what runs needs no network.
NO_NETWORK = "import socket; socket.socket.connect = socket.create_connection = None"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources with what is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(CHECKOUT / "src", source / "src", ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(CHECKOUT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder]
    subprocess.run([*command, *options, source], check=True)
    [path] = folder.glob("albertkit-*.whl")
    return path


@pytest.fixture(scope="module")
def albertkit(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command `albertkit` of an environment with the wheel; it sees our dependencies."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(place)}))
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    python = place / "bin" / "python"
    install = ["install", "--no-deps", "--no-index", "--no-warn-script-location", wheel]
    subprocess.run([*command, "--python", python, *install], check=True)
    dependencies = sysconfig.get_path("purelib")  # added behind its own packages
    (packages / "dependencies.pth").write_text(f"{dependencies}\n{NO_NETWORK}\n")
    return place / "bin" / "albertkit"


def run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run in an empty folder and home, without variables that could lead back to the checkout."""
    clean = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, check=True, timeout=60
    )


def test_it_holds_every_file_of_the_package(wheel: Path) -> None:
    ours = {
        f"albertkit/{path.relative_to(PACKAGE).as_posix()}": path.read_bytes()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {n: archive.read(n) for n in archive.namelist() if n.startswith("albertkit/")}
    assert packed == ours
    assert {"albertkit/recipes/demo.toml", "albertkit/weights/tiny-zh/model.safetensors"} <= {*ours}


def test_masks_are_filled_in_both_languages_from_it_alone(albertkit: Path, tmp_path: Path) -> None:
    where = "import albertkit, pathlib; print(pathlib.Path(albertkit.__file__).parents[4])"
    python = albertkit.with_name("python")
    assert run([python, "-c", where], tmp_path).stdout.strip() == str(albertkit.parents[1])
    for text, model in (
        ("He opened the [MASK].", "tiny-en"),
        ("公司[MASK]当依法纳税。", "tiny-zh"),
    ):
        done = run([albertkit, "fill-mask", text, "--json"], tmp_path)
        assert done.stderr == f"model: albertkit/{model}, chosen by the script of the first text\n"
        fillings = json.loads(done.stdout)["fillings"]
        assert len(fillings) == 5
        assert all(filling["sequence"].endswith(text[-1]) for filling in fillings)
