"""What is seen while work takes long: a line that fits, nothing where no terminal is, few lines."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import numpy as np
import pytest
import torch
from rich.cells import cell_len
from rich.console import Console

from albertkit import make_data, progress
from albertkit.cli import main, output
from albertkit.cli.output import print_line
from albertkit.hub import SHIPPED
from albertkit.progress import Bar, fit, format_bytes, format_clock, format_count, format_time

WIDTH = 80


def terminal(width: int = WIDTH) -> Console:
    """A terminal of so many columns that keeps what is written, without colours."""
    return Console(file=io.StringIO(), force_terminal=True, width=width, no_color=True)


def seen(console: Console) -> list[str]:
    """Each line that a terminal was shown, one after the other."""
    assert isinstance(console.file, io.StringIO)
    return lines_of(console.file.getvalue())


def lines_of(written: str) -> list[str]:
    """Lines of what was written to a terminal, those that were overwritten too."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    return [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


# what, bar, count, facts or speed, time: parts that are divided by two spaces and each whole
PART = (
    r"[\d,.]+( [kMGT]?B)?/[\d,.]+( [kMGT]?B)?|[\d,.]+( [kMGT]?B)?|[\d,.]+( [kMGT]?B)?/s"
    r"|loss [\d.]+ \(mlm [\d.]+\)|[\d,.]+ tokens(/s)?|(\d+:)?\d+:\d\d( left)?"
)
LINE = re.compile(rf"[a-z][\w /.-]*?(  [━╸╺ ]{{4,24}})?(  ({PART}))*")


@pytest.mark.parametrize("width", [20, 40, 60, 79, 80, 120])
@pytest.mark.parametrize("what", ["step", "reading a rather long name of a file", "a" * 50])
def test_a_line_fits_and_gives_up_whole_facts(what: str, width: int) -> None:
    facts = ["120,000/1,000,000", "loss 7.123 (mlm 6.430)", "12,345 tokens/s", "1:02:33 left"]
    shown, kept, bar = fit(what, facts, width)
    used = cell_len(shown) + bool(bar) * (2 + bar) + sum(2 + len(fact) for fact in kept)
    assert used <= width or shown == what == "a" * 50  # one word is never cut
    assert [x for x in facts if x in kept] == kept
    assert set(shown.split()) <= {*what.split(), "..."}
    assert bar == 0 or 4 <= bar <= 24


def test_facts_in_the_middle_go_first_the_last_of_them_before_others() -> None:
    facts = ["1/2", "loss 1", "9 tokens/s", "0:10 left"]
    whole = len("step") + sum(2 + len(fact) for fact in facts) + 2 + 4
    assert fit("step", facts, whole) == ("step", facts, 4)
    assert fit("step", facts, whole - 1) == ("step", ["1/2", "loss 1", "0:10 left"], 15)
    assert fit("step", facts, 20)[1] == ["1/2", "0:10 left"]
    assert fit("step", facts, 14)[1] == ["1/2"]


def test_all_of_a_long_run_is_seen_in_eighty_columns() -> None:
    facts = ["1,234/10,000", "loss 7.123 (mlm 6.430)", "12,345 tokens/s", "1:02:33 left"]
    assert fit("step", facts, WIDTH - 1)[1:] == (facts, 4)


@pytest.mark.parametrize("width", [40, 80])
def test_a_bar_shows_count_speed_and_time(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    console = terminal(width)
    now = [0.0]
    monkeypatch.setattr(console, "get_time", lambda: now[0])
    with Bar("reading", 40_000_000, format=format_bytes, console=console) as bar:
        for second in range(1, 4):
            now[0] = float(second)
            bar.update(second * 10_000_000)
    drawn = seen(console)
    assert any("30.0 MB/40.0 MB" in line for line in drawn)
    assert all(cell_len(line) < width and LINE.fullmatch(line) for line in drawn)
    if width == 80:
        last = drawn[-1]
        assert "10.0 MB/s" in last  # three times ten million bytes in three seconds
        assert last.endswith("  0:01 left")  # the fourth ten million


def test_other_work_begins_a_line_of_its_own() -> None:
    console = terminal()
    with Bar("opening", format=format_bytes, console=console) as bar:
        bar.report("writing", 1_000_000, 4_000_000)
        bar.report("comparing", 0, 4_000_000)
        bar.report("comparing", 4_000_000, 4_000_000)
        bar.report("training", 0, None)
    order = list(dict.fromkeys(line.split()[0] for line in seen(console)))
    assert order == ["opening", "writing", "comparing", "training"]
    assert all(LINE.fullmatch(line) for line in seen(console))


def test_where_no_terminal_is_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("reading", 10) as bar:
        bar.update(5, ["much"])
        bar.report("writing", 1, 2)
        bar.move(7)
    assert not bar.is_shown
    assert capsys.readouterr() == ("", "")


def test_a_run_writes_a_line_every_ten_seconds_and_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    console = Console(file=io.StringIO(), width=WIDTH)
    with Bar("step", 40, console=console, plain=True) as bar:
        for step in range(1, 41):
            now[0] += 1.0
            bar.update(step, ["loss 7.1", "1,000 tokens/s"])
    lines = seen(console)
    assert lines[0] == "step 1/40  loss 7.1  1,000 tokens/s  39 s left"
    assert [line.split()[1] for line in lines] == ["1/40", "11/40", "21/40", "31/40", "40/40"]


def test_a_long_command_writes_lines_after_ten_seconds_and_a_short_one_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def lines_of(seconds: int, total: int | None, before: int = 0) -> list[str]:
        console = Console(file=io.StringIO(), width=WIDTH)
        with Bar("texts", total, console=console, late=True) as bar:
            bar.report("examples", before, None)
            for done in range(1, seconds + 1):
                now[0] += 1.0
                bar.report("examples", before + 50 * done, None)
        return seen(console)

    assert lines_of(9, 450) == []
    assert lines_of(12, 600) == ["examples 500/600  2 s left", "examples 600/600  0 s left"]
    # a run that goes on: its speed is its own
    assert lines_of(11, None, before=100_000) == ["examples 100,500  50/s"]
    assert lines_of(11, 101_000, before=100_000) == ["examples 100,500/101,000  10 s left"]
    with Bar("texts", late=True, shown=False) as bar:
        assert not bar.is_shown


def test_amounts_are_written_as_people_read_them() -> None:
    sizes = [0, 999, 1000, 47_255_240, 999_600]
    assert [format_bytes(x) for x in sizes] == ["0 B", "999 B", "1.0 kB", "47.3 MB", "1.0 MB"]
    assert [format_count(x) for x in (0, 3, 1.25, 1234.4)] == ["0", "3", "1.2", "1,234"]
    assert [format_clock(x) for x in (8, 3_600 * 3 + 20 * 60 + 5)] == ["0:08", "3:20:05"]
    assert [format_time(x) for x in (48, 720, 12_000)] == ["48 s", "12 min", "3 h 20 min"]


COMMANDS = [
    "build-vocab text.txt --size 45 --output vocab",
    "make-data text.txt --vocab albertkit/tiny-en --output data --held-out 0.2",
    "make-data one.txt --vocab albertkit/tiny-en --output spans --held-out 0.2",  # long notes
    "convert model tf --to google_tf",
    "embed --input text.txt --output vectors.npy --on-bad-line skip",
    "pretrain --from albertkit/tiny-en --data data --out run --set stages.0.steps=2 "
    "--set stages.0.batch_size=2 --set run.validation_rows=4 --set stages.0.warmup_steps=1",
]
RUN_ALL = """
import shlex, sys
from albertkit.cli import main, output
from albertkit.cli.output import print_line
for command in sys.argv[1:]:
    assert main(shlex.split(command)) in (0, 3), command
    print("-- end", flush=True)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands name."""
    folder = tmp_path_factory.mktemp("terminal")
    lines = [
        f"In {n} it rained for {n % 7 + 2} days. The street of {n} was wet." for n in range(99)
    ]
    (folder / "text.txt").write_text("\n\n".join(lines))
    (folder / "one.txt").write_text("\n".join(lines))
    (folder / "model").symlink_to(SHIPPED / "tiny-en")
    return folder


def on_a_terminal(folder: Path, commands: list[str]) -> Iterator[list[str]]:
    """What a terminal of 80 columns is shown by each command, line by line."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 40, WIDTH, 0, 0))
    # As many threads as here, which another test may have changed: a command says how many.
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    environment = {**os.environ, **threads, "TERM": "xterm"}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_ALL, *commands],
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    try:
        while block := os.read(ours, 1 << 16):
            written += block
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0, written.decode()
    yield from (lines_of(part) for part in written.decode().split("-- end")[:-1])


def words_of(lines: list[str]) -> list[str]:
    """Words of printed lines; every number is the same word, for times differ."""
    return re.sub(r"[\d.,]*\d", "#", " ".join(lines)).split()


SLOW = re.compile("(step|texts) [0-9]")  # lines that come every ten seconds


def test_commands_draw_lines_that_fit_and_cut_no_word(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    started = {}
    for command, lines in zip(COMMANDS, on_a_terminal(place, COMMANDS), strict=True):
        drawn = [line for line in lines if LINE.fullmatch(line) and "  " in line]
        started[command.split()[0]] = {line.split("  ")[0] for line in drawn}
        assert [line for line in lines if cell_len(line) > WIDTH] == []
        printed = [line for line in lines if line not in drawn]
        # The same command where no terminal is prints its lines whole.
        (tmp_path / "model").exists() or (tmp_path / "model").symlink_to(place / "model")
        for name in ("text.txt", "one.txt"):
            (tmp_path / name).write_bytes((place / name).read_bytes())
        monkeypatch.chdir(tmp_path)
        assert main(command.split()) in (0, 3)
        whole = capsys.readouterr()
        plain = [x for x in (whole.err + whole.out).splitlines() if not SLOW.match(x)]
        assert sorted(words_of(printed)) == sorted(words_of(plain)), command
    assert started["build-vocab"] >= {"reading", "training"}
    assert started["make-data"] == {"reading"}
    assert started["convert"] >= {"opening model", "comparing"}
    assert started["embed"] == {"loading PyTorch", "texts"}
    assert started["pretrain"] >= {"loading PyTorch", "opening model and data", "step"}
    assert np.load(place / "vectors.npy").shape == np.load(tmp_path / "vectors.npy").shape
    assert json.loads((place / "run" / "start.json").read_text())


def test_make_data_reports_the_bytes_of_its_files(place: Path, tmp_path: Path) -> None:
    said: list[tuple[str, int, int | None]] = []
    text, size = place / "text.txt", (place / "text.txt").stat().st_size
    make_data(
        text, vocab="albertkit/tiny-en", output=tmp_path / "d", progress=lambda *x: said.append(x)
    )
    assert said[-1] == ("reading", size, size)


def test_a_terminal_gets_long_lines_between_words_and_a_pipe_gets_them_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "a :smile: and [bold] words, " * 5
    print_line(line, stderr=True)
    assert capsys.readouterr() == ("", line + "\n")
    monkeypatch.setattr(output, "Output", lambda **_: terminal())
    print_line(line)
    printed = capsys.readouterr().out.splitlines()
    assert [len(x) <= WIDTH for x in printed] == [True, True]
    assert " ".join(printed).split() == line.split()
