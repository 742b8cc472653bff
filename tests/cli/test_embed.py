"""The command embed: tables of vectors, arrays that grow, and runs that were stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from albertkit.cli import embed, main
from albertkit.cli.embed import VectorFile, VectorTable
from albertkit.infer.growing import growing_file
from albertkit.infer.predictor import Predictor

WORDS = ["the", "cat", "sat", "on", "a", "mat", "dog", "ran"]


def lines_file(folder: Path, count: int) -> Path:
    """Lines that are all different, of 1 to 12 words."""
    lines = [
        " ".join(WORDS[int(digit)] for digit in f"{n:o}{'7' * (n % 9)}") + "\n"
        for n in range(count)
    ]
    path = folder / "lines.txt"
    path.write_text("".join(lines))
    return path


def test_an_array_grows_and_its_header_has_the_rows(tmp_path: Path) -> None:
    rows = np.arange(33 * 3, dtype=np.float32).reshape(33, 3)
    with growing_file(tmp_path / "x.npy", None) as growing:
        array = VectorFile(growing.file)
        for start in range(0, 33, 4):
            array.append(rows[start : start + 4])
        array.finish()
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
    with growing_file(tmp_path / "pipe", {"input": "lines.txt"}) as growing:
        array = VectorFile(growing.file)
        array.append(np.ones((2, 4), np.float32))
        growing.commit(2, 2)
        array.append(np.ones((1, 4), np.float32))
        array.finish()
    reader.join()
    (tmp_path / "x.npy").write_bytes(came[0])
    assert np.array_equal(np.load(tmp_path / "x.npy"), np.ones((3, 4)))
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "x.npy"]


def test_a_table_of_vectors_has_cosines_to_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    table = VectorTable()
    table.add("first", np.array([3, 4], np.float32))
    table.add("second", np.array([4, 3], np.float32))
    head, one, two = capsys.readouterr().out.splitlines()
    assert head.split() == ["cosine", "to", "first", "length", "first", "3", "of", "2", "text"]
    assert one.split() == ["1.000", "5.00", "+3.00", "+4.00", "first"]
    assert two.split() == ["0.960", "5.00", "+4.00", "+3.00", "second"]  # 24 / 25


def test_a_stopped_run_goes_on_where_it_was(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also over lines that are skipped, which give no row."""
    source, output = lines_file(tmp_path, 60), tmp_path / "v.npy"
    good = source.read_text().splitlines()
    with source.open("a") as file:
        file.write("\n" + "the " * 50 + "\n" + "a cat\n")
    monkeypatch.setattr("albertkit.cli.predict.WINDOW", 10)
    command = ["embed", "--model", str(tiny_model / "model"), "--input", str(source)]
    command += ["--output", str(output), "--on-bad-line", "skip"]
    asked: list[list[str]] = []
    real = Predictor.embed

    def until(count: int) -> None:
        def asking(predictor: Predictor, texts: list[str], *rest: object, **options: object):  # type: ignore[no-untyped-def]
            if len(asked) == count:
                raise KeyboardInterrupt
            asked.append(texts)
            return real(predictor, texts, *rest, **options)

        monkeypatch.setattr(Predictor, "embed", asking)

    until(3)
    assert main(command) == 130
    assert not output.exists()
    note = json.loads((tmp_path / "v.npy.part.json").read_text())
    assert (note["rows"], note["taken"]) == (30, 30)
    with (tmp_path / "v.npy.part").open("ab") as file:
        file.write(b"half a row" * 1000)  # of a killed run
    assert main([*command, "--pooling", "cls"]) == 2  # not mixed with other vectors
    until(-1)
    asked.clear()
    assert main(command) == 0
    assert asked[0] == good[30:40]
    np.testing.assert_allclose(
        np.load(output), real(Predictor(tiny_model / "model"), [*good, "a cat"]), atol=1e-5
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lines.txt", "v.npy"]


def test_a_run_that_was_stopped_behind_its_last_line_ends(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = lines_file(tmp_path, 5), tmp_path / "v.npy"
    command = ["embed", "--input", str(source), "--output", str(output)]
    command += ["--model", str(tiny_model / "model")]
    with monkeypatch.context() as patch:
        patch.setattr(VectorFile, "finish", lambda array: sys.exit(9))
        with pytest.raises(SystemExit):
            main(command)
    assert not output.exists()
    assert main(command) == 0
    assert np.load(output).shape == (5, 16)


def test_a_run_that_fails_before_its_first_group_leaves_nothing(
    tiny_model: Path, tmp_path: Path
) -> None:
    source, output = lines_file(tmp_path, 5), tmp_path / "v.npy"
    with source.open("a") as file:
        file.write("\n")
    command = ["embed", "--input", str(source), "--output", str(output)]
    assert main([*command, "--model", str(tiny_model / "model")]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["lines.txt"]


def test_the_first_lines_choose_the_model_also_behind_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the rest of a file in two languages would be embedded by another model."""
    source, output = tmp_path / "lines.txt", tmp_path / "v.npy"
    source.write_text("It rained.\n" * 2 + "下雨了。\n" * 2, encoding="utf-8")
    monkeypatch.setattr("albertkit.cli.predict.WINDOW", 2)
    monkeypatch.setattr(embed, "WINDOW", 2)
    command = ["embed", "--input", str(source), "--output", str(output)]
    for _ in range(2):
        assert main(command) == 2
        assert "model: albertkit/tiny-en" in capsys.readouterr().err
    assert json.loads((tmp_path / "v.npy.part.json").read_text())["rows"] == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_run_loses_and_doubles_no_line(tiny_model: Path, tmp_path: Path) -> None:
    source, output = lines_file(tmp_path, 6000), tmp_path / "v.npy"
    part, note = tmp_path / "v.npy.part", tmp_path / "v.npy.part.json"
    model = tiny_model / "model"
    command = [sys.executable, "-m", "albertkit", "embed", "--input", source, "--output", output]
    with subprocess.Popen([*command, "--model", model], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not note.exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not output.exists()
    done = json.loads(note.read_text())
    assert 0 < done["rows"] < 6000
    assert part.stat().st_size >= done["bytes"]
    assert main([str(x) for x in [*command[3:], "--model", model]]) == 0
    found, lines = np.load(output), source.read_text().splitlines()
    np.testing.assert_allclose(found, Predictor(model).embed(lines), atol=1e-5)
