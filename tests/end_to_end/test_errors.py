"""What goes wrong for users, through the real command line: a message, no traceback, no rubbish.

Each mistake has to be answered with exit code 2 and with what was found and what to do; the
folder around the output has to look as it did before.
"""

from __future__ import annotations

import io
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from albertkit.cli import main
from albertkit.cli.options import ModelOptions

TEXT = "The cat sat on the mat. A dog ran. The dogs and the cats ran on and on.\n\n" * 40
NOBODY = 65534

Refusal = Callable[..., str]


@pytest.fixture
def place(tmp_path: Path, tiny_model: Path) -> Path:
    """Folder with a text, a vocabulary and a model; `out` is its folder for output."""
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    shutil.copy(tiny_model / "vocab.txt", tmp_path / "vocab.txt")
    shutil.copytree(tiny_model / "model", tmp_path / "model")
    (tmp_path / "out").mkdir()
    return tmp_path


@pytest.fixture
def refusal(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Refusal:
    """Run a command that must fail; its message. Standard input holds `data`."""

    def run(*arguments: object, data: bytes = b"") -> str:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        before = listing(place)
        assert main([str(x) for x in arguments]) == 2
        message = capsys.readouterr().err
        assert message.startswith("error: ")
        assert "Traceback" not in message
        assert listing(place) == before, "something half-written stays"
        return message

    return run


def listing(folder: Path) -> list[str]:
    """Every path below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def make_data(place: Path, source: object, output: Path | None = None) -> list[object]:
    """The make-data command for one source."""
    output = output or place / "out" / "data"
    return ["make-data", source, "--vocab", place / "vocab.txt", "--output", output]


def test_the_commands_of_these_tests_succeed_without_the_mistake(place: Path) -> None:
    arguments = [*make_data(place, place / "text.txt"), "--held-out", "0.1", "--json"]
    (place / "text.txt").write_text("".join(f"The cat ran {n}. A dog sat.\n\n" for n in range(99)))
    assert main([str(x) for x in arguments]) == 0
    assert (place / "out" / "data" / "train" / "index.json").is_file()


def test_wrong_paths_say_what_was_expected(place: Path, refusal: Refusal) -> None:
    nowhere = place / "nowhere"
    for arguments in (
        ["build-vocab", nowhere, "--output", place / "out" / "vocab"],
        ["tokenize", "--vocab", nowhere],
        ["tokenize", "--vocab", place / "vocab.txt", "--input", nowhere],
        make_data(place, nowhere),
        ["pretrain", nowhere],
        ["fill-mask", "a [MASK]", "--model", nowhere],
        ["order", "a", "b", "--model", nowhere],
        ["embed", "--model", place / "model", "--input", nowhere],
        ["info", nowhere],
        ["demo", "--from-scratch", "--input", nowhere, "--out", place / "out" / "demo"],
    ):
        message = refusal(*arguments)
        assert "nowhere" in message
        assert "expected:" in message


def test_a_vocabulary_of_another_model_is_refused(place: Path, refusal: Refusal) -> None:
    with (place / "model" / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("more\n")
    message = refusal("fill-mask", "--model", place / "model", "the [MASK]")
    assert "expected: 23" in message
    assert "found: 24" in message
    assert "to do:" in message


def test_empty_input_is_reported(place: Path, refusal: Refusal) -> None:
    (place / "empty.txt").write_text("")
    (place / "spaces.txt").write_text(" \n\n \t\n")
    for name in ("empty.txt", "spaces.txt"):
        assert "no text" in refusal(*make_data(place, place / name))
        assert "no text" in refusal("build-vocab", place / name, "--output", place / "out" / "v")
    assert "no text" in refusal(*make_data(place, "-"))
    assert "no text" in refusal("embed", "--model", place / "model", "--input", place / "empty.txt")
    assert "no text" in refusal("fill-mask", "--model", place / "model")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a cat\nthe \xff dog\n", "0xff"),
        ("文字".encode("gb18030"), "UTF-8"),
        ("a cat".encode("utf-16"), "UTF-"),
    ],
    ids=["bad byte", "gb18030", "utf-16"],
)
def test_bytes_that_are_no_utf8_are_refused_with_their_place(
    place: Path, refusal: Refusal, data: bytes, words: str
) -> None:
    (place / "bad.txt").write_bytes(data)
    for arguments in (
        make_data(place, place / "bad.txt"),
        ["build-vocab", place / "bad.txt", "--output", place / "out" / "v"],
        ["tokenize", "--vocab", place / "vocab.txt", "--input", place / "bad.txt"],
        ["embed", "--model", place / "model", "--input", place / "bad.txt"],
    ):
        message = refusal(*arguments)
        assert words in message
        assert "to do:" in message
    assert "standard input" in refusal("embed", "--model", place / "model", data=data)


def test_a_nul_is_refused_where_text_is_expected(place: Path, refusal: Refusal) -> None:
    (place / "nul.txt").write_bytes(b"the cat\na d\0g ran\n")
    for arguments in (
        make_data(place, place / "nul.txt"),
        ["embed", "--model", place / "model", "--input", place / "nul.txt"],
    ):
        message = refusal(*arguments)
        assert "NUL" in message
        assert "to do:" in message


def test_a_byte_order_mark_is_no_part_of_the_text(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "bom.txt").write_bytes(b"\xef\xbb\xbfthe cat\n")
    assert main(["tokenize", "--vocab", f"{place}/vocab.txt", "--input", f"{place}/bom.txt"]) == 0
    assert capsys.readouterr().out == "the cat\n"


def test_an_endless_line_needs_no_memory(place: Path) -> None:
    """32 MB without a line end: `tokenize` refuses it, make-data cuts it into sentences."""
    maker = "import os\nfor _ in range(32): os.write(1, b'the cat ran ' * 83_334)"
    for arguments, code, words in (
        (["tokenize", "--vocab", place / "vocab.txt"], 2, "line is too long"),
        (make_data(place, "-") + ["--held-out", "0"], 0, "wrote"),
    ):
        producer = subprocess.Popen([sys.executable, "-c", maker], stdout=subprocess.PIPE)
        command = [sys.executable, "-c", LIMITED, *map(str, arguments)]
        done = subprocess.run(command, stdin=producer.stdout, capture_output=True, text=True)
        assert producer.stdout is not None
        producer.stdout.close()
        producer.wait()
        assert done.returncode == code, done.stderr
        assert words in done.stderr + done.stdout
        assert "Traceback" not in done.stderr
        peak = int(done.stderr.split()[-1])  # kB
        assert peak < 400_000


# Runs a command and tells the peak of its memory, in kB, as the last word of standard error. Not
# from getrusage, whose peak begins with that of the process it was forked from.
LIMITED = """
import pathlib, sys
from albertkit.cli import main
from albertkit.cli.options import ModelOptions
code = main(sys.argv[1:])
status = pathlib.Path("/proc/self/status").read_text().split()
print("peak", status[status.index("VmHWM:") + 1], file=sys.stderr)
sys.exit(code)
"""


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """Let no file grow beyond some bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_half_written(place: Path, refusal: Refusal) -> None:
    arguments = [
        make_data(place, place / "text.txt") + ["--held-out", "0"],
        ["build-vocab", place / "text.txt", "--size", 30, "--output", place / "out" / "vocab"],
        ["embed", "--model", place / "model", "the cat", "--output", place / "out" / "vectors.npy"],
    ]
    for each in arguments:
        with full_disk(64):
            message = refusal(*each)
        assert "Cannot write" in message
        assert "expected:" in message
        assert f"where: {each[-1] if each[-2] == '--output' else place / 'out' / 'data'}" in message
        assert "to do:" in message


def test_standard_output_on_a_full_disk_is_reported(place: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "albertkit", "info", "albert-base-v2"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@contextmanager
def unprivileged() -> Iterator[Path]:
    """A folder that cannot be written in: nobody's view of it, also when the tests run as root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(NOBODY)
        yield folder
    finally:
        if user == 0:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_missing_write_permission_is_reported(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Everything is loaded first: nobody may be unable to read the packages of root.
    assert (
        main(["embed", "--model", f"{place}/model", "the cat", "--output", f"{place}/out/v.npy"])
        == 0
    )
    capsys.readouterr()
    vectors = [0.5]
    monkeypatch.setattr(ModelOptions, "predictor", lambda *_: (FakePredictor(vectors), ["the cat"]))
    with unprivileged() as folder:
        assert main(["embed", "--model", "model", "the cat", "--output", f"{folder}/v.npy"]) == 2
        assert list(folder.iterdir()) == []
    message = capsys.readouterr().err
    assert "expected: permission to write" in message
    assert "found: Permission denied" in message


class FakePredictor:
    """Answers without reading files, which nobody could not."""

    def __init__(self, vectors: list[float]) -> None:
        self.vectors = vectors

    def embed(self, *_: object, **__: object) -> object:
        import numpy as np

        return np.array([self.vectors], dtype=np.float32)


def test_a_file_in_place_of_a_folder_is_reported(place: Path, refusal: Refusal) -> None:
    inside = place / "text.txt" / "data"
    for arguments in (
        make_data(place, place / "text.txt", inside),
        ["build-vocab", place / "text.txt", "--size", 30, "--output", inside],
        ["embed", "--model", place / "model", "the cat", "--output", inside],
    ):
        message = refusal(*arguments)
        assert "Cannot write" in message
        assert "part of the path is a file" in message


def test_an_existing_output_is_not_touched(place: Path, refusal: Refusal) -> None:
    taken = place / "out" / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("keep me")
    for arguments in (
        make_data(place, place / "text.txt", taken),
        ["build-vocab", place / "text.txt", "--size", 30, "--output", taken],
        ["demo", "--out", taken],
    ):
        message = refusal(*arguments)
        assert "expected: a free name" in message
        assert "to do: remove it, or choose another name" in message
    assert (taken / "mine.txt").read_text() == "keep me"
