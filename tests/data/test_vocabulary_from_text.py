"""A vocabulary from files is the one that the command makes of them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest

import albertkit
from albertkit.cli import main
from albertkit.errors import AlbertkitError, CorpusError, VocabularyError
from albertkit.text.tokenizer import Tokenizer

TEXT = topics["assignment"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with text in three forms, where the test runs."""
    monkeypatch.chdir(tmp_path)
    for name in ("text.txt", "other.txt"):
        Path(name).write_text(TEXT, encoding="utf-8")
    Path("packed.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    Path("books").mkdir()
    Path("books/one.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def from_command(*sources: str) -> str:
    """Fingerprint of what build-vocab makes."""
    assert main(["build-vocab", *sources, "--output", "by-command", "--size", "300"]) == 0
    return Tokenizer.load("by-command").fingerprint


@pytest.mark.parametrize(
    ("given", "sources"),
    [
        (lambda: "text.txt", ["text.txt"]),
        (lambda: Path("text.txt"), ["text.txt"]),
        (lambda: "packed.txt.gz", ["packed.txt.gz"]),
        (lambda: "books", ["books"]),
        (lambda: "*.txt", ["*.txt"]),
        (lambda: ["text.txt", "other.txt"], ["text.txt", "other.txt"]),
        (lambda: [Path("text.txt"), "books"], ["text.txt", "books"]),
        (lambda: ("books", "packed.txt.gz"), ["books", "packed.txt.gz"]),
    ],
)
def test_paths_are_read_as_the_command_reads_them(
    folder: Path, given: Callable[[], Any], sources: list[str]
) -> None:
    made = albertkit.train_vocabulary(given(), size=300, output="by-function")
    assert made == Path("by-function")
    assert Tokenizer.load(made).fingerprint == from_command(*sources)


def test_the_words_of_the_command_are_those_of_the_function(folder: Path) -> None:
    text = "\u6211\u4eec\u5728\u5317\u4eac\u3002" * 9
    Path("zh.txt").write_text(text, encoding="utf-8")
    options = {"kind": "wordpiece", "size": 11, "format": "lines", "language": "zh"}
    made = albertkit.train_vocabulary("zh.txt", output="a", lower_case=False, **options)
    words = [x for key, value in options.items() for x in (f"--{key}", str(value))]
    assert main(["build-vocab", "zh.txt", "--output", "b", "--cased", *words]) == 0
    assert Tokenizer.load(made).fingerprint == Tokenizer.load("b").fingerprint


def test_sentences_are_taken_as_they_are(folder: Path) -> None:
    sentences = [line for line in TEXT.splitlines() if line.strip()]
    pieces = [
        Tokenizer.load(albertkit.train_vocabulary(given, "sentencepiece", 300, name)).pieces
        for name, given in (
            ("a", sentences),
            ("b", (x for x in sentences)),
            ("c", tuple(sentences)),
        )
    ]
    assert pieces[0] == pieces[1] == pieces[2]


@pytest.mark.parametrize("given", ["txet.txt", ["txet.txt"], ["text.txt", "txet.txt"], [Path("x")]])
def test_a_file_that_is_missing_is_no_sentence(folder: Path, given: Any) -> None:
    with pytest.raises(CorpusError, match=r"txet\.txt|x"):
        albertkit.train_vocabulary(given, size=300, output="out")
    assert not Path("out").exists()


def test_the_largest_size_is_named_in_what_can_be_typed_next(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(VocabularyError) as caught:
        albertkit.train_vocabulary("text.txt", output="out")
    largest = caught.value.facts["to do"].split("size=")[1].split(",")[0]
    assert main(["build-vocab", "text.txt", "--output", "out"]) == 2
    assert f"--size {largest}," in capsys.readouterr().err
    assert main(["build-vocab", "text.txt", "--output", "out", "--size", largest]) == 0
    assert issubclass(VocabularyError, AlbertkitError)


def test_progress_is_that_of_the_files_and_then_of_the_training(folder: Path) -> None:
    said: list[tuple[str, int, int | None]] = []
    files = ["text.txt", "packed.txt.gz"]
    albertkit.train_vocabulary(files, size=300, output="v", progress=lambda *x: said.append(x))
    size = sum(Path(name).stat().st_size for name in files)
    assert {what for what, _, _ in said[:-1]} == {"reading"}
    assert said[-2] == ("reading", size, size)
    assert said[-1] == ("training", 0, None)
