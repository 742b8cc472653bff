"""Lines come in groups as they arrive; bad ones stop the command or are skipped by choice."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from albertkit.cli import inputs
from albertkit.cli.inputs import (
    BadLines,
    Line,
    answered,
    bar_of_lines,
    groups_of,
    in_parts,
    read_groups,
    read_lines,
)
from albertkit.errors import CorpusError, TextError
from albertkit.progress import Bar


def write(tmp_path: Path, data: bytes) -> Path:
    """A file with these bytes."""
    (tmp_path / "lines.txt").write_bytes(data)
    return tmp_path / "lines.txt"


def test_a_file_comes_in_groups_of_the_asked_size(tmp_path: Path) -> None:
    file = write(tmp_path, b"a\nb\nc\nd\ne")
    groups = list(read_groups(file, 2, BadLines()))
    assert [[line.text for line in group] for group in groups] == [["a", "b"], ["c", "d"], ["e"]]
    assert groups[2] == [Line("e", f"{file}, line 5", 5)]


def test_lines_across_blocks_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["", "x", "é" * 7, "猫" * 5, "", "end\r"]
    file = write(tmp_path, "\n".join(texts).encode())
    for size in range(1, 9):
        monkeypatch.setattr(inputs, "_BLOCK", size)
        assert list(read_lines(file)) == [*texts[:-1], "end"]


def test_lines_that_are_there_do_not_wait_for_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"one\ntwo\nthr")
    with os.fdopen(reading, "rb") as pipe:
        monkeypatch.setattr("sys.stdin", type("Input", (), {"buffer": pipe}))
        groups = read_groups(None, 100, BadLines())
        assert [line.text for line in next(groups)] == ["one", "two"]
        threading.Timer(0.05, lambda: (os.write(writing, b"ee\n"), os.close(writing))).start()
        assert [line.text for line in next(groups)] == ["three"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [(b"\xff", "0xff"), (b"a\0b", "NUL"), (b"x" * 2000, "longer")],
    ids=["not UTF-8", "NUL", "too long"],
)
def test_a_bad_line_stops_after_those_before_it_or_is_skipped(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    bad: bytes,
    words: str,
) -> None:
    monkeypatch.setattr(inputs, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(inputs, "_BLOCK", 300)
    file = write(tmp_path, b"one\n" + bad + b"\nthree\n")
    groups = read_groups(file, 10, BadLines())
    assert [line.text for line in next(groups)] == ["one"]
    with pytest.raises(CorpusError) as caught:
        next(groups)
    assert caught.value.facts["where"] == f"{file}, line 2"
    assert words in caught.value.facts["found"]
    skip = BadLines(skip=True)
    texts = [line.text for group in read_groups(file, 10, skip) for line in group]
    assert texts == ["one", "three"]
    assert skip.skipped == 1
    assert f"{file}, line 2" in capsys.readouterr().err


def test_texts_and_an_input_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError):
        next(groups_of(["text"], tmp_path, 1, BadLines()))
    assert [g for g in groups_of(["a", "b", "c"], None, 2, BadLines())] == [
        [Line("a", "text 1"), Line("b", "text 2")],
        [Line("c", "text 3")],
    ]


def test_no_text_is_an_error_unless_nothing_is_fine(tmp_path: Path) -> None:
    file = write(tmp_path, b"")
    with pytest.raises(CorpusError):
        list(groups_of([], file, 1, BadLines()))
    assert list(groups_of([], file, 1, BadLines(), empty=True)) == []


def test_a_closed_standard_input_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CorpusError) as caught:
        list(groups_of([], None, 1, BadLines()))
    assert "closed" in caught.value.facts["found"]


def test_a_text_that_cannot_be_answered_is_found_among_its_group() -> None:
    asked: list[int] = []

    def ask(texts: list[str]) -> list[str]:
        if "" in texts:
            raise TextError("A text is empty.")
        asked.append(len(texts))
        return [text.upper() for text in texts]

    group = [Line(text, f"line {n}") for n, text in enumerate(["a", "b", "c", "", "e", ""], 1)]
    skip = BadLines(skip=True)
    assert list(answered(group, ask, skip)) == [("a", "A"), ("b", "B"), ("c", "C"), ("e", "E")]
    assert skip.skipped == 2
    assert max(asked) > 1  # good neighbours stay together
    found = answered(group, ask, BadLines())
    assert [next(found)[0] for _ in "abc"] == ["a", "b", "c"]
    with pytest.raises(TextError) as caught:
        next(found)
    assert caught.value.facts["where"] == "line 4"


class Seen(Bar):
    """A bar that is drawn into a string, and keeps how much it was said to be done."""

    def __init__(self, total: int) -> None:
        super().__init__("texts", total, console=Console(file=io.StringIO(), force_terminal=True))
        self.steps: list[int] = []

    def update(self, done: int, facts: Sequence[str] = (), total: int | None = None) -> None:
        """Keep the number."""
        self.steps.append(done)
        super().update(done, facts, total)


def test_parts_of_a_group_grow_while_they_are_answered_fast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(inputs.time, "monotonic", lambda: now[0])
    lines = [Line(str(n), "") for n in range(30)]
    sizes = []
    with Seen(30) as bar:
        for part in in_parts(iter([lines[:20], lines[20:]]), bar, 2):
            sizes.append(len(part))
            now[0] += 0.1 if len(sizes) < 3 else 5.0
    assert sizes == [2, 4, 8, 6, 8, 2]  # from the third on they take too long to grow
    assert bar.steps == [2, 6, 14, 20, 28, 30]


def test_groups_stay_whole_where_no_bar_is_seen() -> None:
    lines = [Line(str(n), "") for n in range(30)]
    assert list(in_parts(iter([lines]), Bar("texts", shown=False), 2)) == [lines]
    told: list[int] = []
    log = Bar("texts", console=Console(file=io.StringIO()), late=True)
    log.update = lambda done, *_: told.append(done)  # type: ignore[method-assign]
    assert log.is_shown
    assert list(in_parts(iter([lines, lines]), log, 2)) == [lines, lines]
    assert told == [30, 60]


def test_a_bar_counts_the_lines_of_a_file_and_waits_for_no_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bar, "is_shown", property(lambda bar: bar.wanted))
    monkeypatch.setattr(
        Bar, "__init__", lambda bar, what, *, shown, late: setattr(bar, "wanted", shown)
    )
    totals: list[int | None] = []
    monkeypatch.setattr(Bar, "update", lambda bar, done, total: totals.append(total))
    packed = tmp_path / "lines.gz"
    packed.write_bytes(gzip.compress(b"a\nb\n\nc"))
    os.mkfifo(tmp_path / "pipe")
    assert bar_of_lines(packed, silent=True).is_shown
    assert bar_of_lines(write(tmp_path, b"a\nb\n")).is_shown  # answers go to no terminal here
    assert not bar_of_lines(None).is_shown
    assert not bar_of_lines(tmp_path / "pipe").is_shown
    assert totals == [4, 2]
