"""`embed` and `predict` on very many lines: memory, progress, and what is left after kills.

    python bench/many_lines.py                             # 1,000,000 lines by albertkit/tiny-en
    python bench/many_lines.py --count 20000 --command predict --model finetuned --words text.txt

Lines are one or two words of a text, one after the other. The command runs with its output in a
file and its messages on a terminal of 80 columns, is killed with SIGKILL at random moments of its
first half and started again, until it ends. Then every line must have its row: of `predict` the
line and the text of each, of both the answers of the rows around each kill and of 2,000 others,
computed anew, and of 200 each by itself. Printed are lines a second of processor time, the largest
resident set when a tenth of the lines of a process was done and at its end, and what the terminal
showed. `predict` asks a head of seeded random numbers where the model has none.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import json
import lzma
import os
import pty
import random
import re
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from albertkit import Checkpoint, Predictor
from albertkit.infer.calibration import sample_texts
from albertkit.model.loading import tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.progress import format_bytes
from albertkit.tasks.head import TaskHead

AROUND, OTHERS, SINGLE = 1024, 2000, 200  # rows that are looked at: at each kill, elsewhere, alone
TOLERANCE = 1e-4
COLUMNS = 80
WORDS = (1,) * 9 + (2,)  # of a line, drawn
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def lines(words: Sequence[str], count: int) -> list[str]:
    """So many lines of a few words each."""
    draw, following = random.Random(0), itertools.cycle(words)
    return [
        " ".join(itertools.islice(following, number)) for number in draw.choices(WORDS, k=count)
    ]


def words_of(file: Path | None, model: str) -> list[str]:
    """Words of a text, which may be packed with xz, or of our sentences."""
    if file is None:
        return " ".join(sample_texts(Checkpoint.load(model).tokenizer)).split()
    with lzma.open(file) if file.suffix == ".xz" else file.open("rb") as opened:
        return opened.read(20_000_000).decode("utf-8", "ignore").split()


@dataclass
class Run:
    """One process. resident: the largest resident set so far by rows done; screens: as shown."""

    code: int = 0
    processor: float = 0
    seconds: float = 0
    resident: list[tuple[int, int]] = field(default_factory=list)
    screens: list[str] = field(default_factory=list)

    def memory(self) -> str:
        """The largest resident set after a tenth of the rows and at the end."""
        begin, end = self.resident[0][0], self.resident[-1][0]
        tenth = next(each for each in self.resident if each[0] - begin >= (end - begin) / 10)
        return (
            f"largest resident set {format_bytes(tenth[1])} at row {tenth[0]:,}, "
            f"{format_bytes(self.resident[-1][1])} at row {end:,}"
        )


def run(words: list[str], output: Path, kill_at: int | None, count: int) -> Run:
    """Run a command; kill it when so many rows are done."""
    done, begun, used = Run(), time.monotonic(), processor_seconds()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs, env=environment)
    os.close(theirs)
    first = done_rows(output)
    while process.poll() is None:
        done.screens += screens(ours)
        rows, peak = done_rows(output), resident(process.pid)
        if rows and peak:
            done.resident.append((rows, peak))
        if kill_at is not None and rows > first and rows >= kill_at:
            process.send_signal(signal.SIGKILL)
            kill_at = None
        time.sleep(0.2)
    done.screens += screens(ours)
    os.close(ours)
    if process.returncode == 0 and done.resident:
        done.resident.append((count, done.resident[-1][1]))
    done.code, done.seconds = process.returncode, time.monotonic() - begun
    done.processor = processor_seconds() - used
    return done


def screens(terminal: int) -> list[str]:
    """Lines that were shown since the last look."""
    shown = b""
    while select.select([terminal], [], [], 0)[0]:
        try:
            block = os.read(terminal, 1 << 16)
        except OSError:  # its process has ended
            break
        if not block:
            break
        shown += block
    text = _CONTROL.sub("", shown.decode("utf-8", "replace"))
    return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def processor_seconds() -> float:
    """Of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def resident(pid: int) -> int:
    """Bytes of the largest resident set so far; 0 where Linux does not say it.

    What the system says of a process that has ended counts its parent's memory in.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return 1024 * int(found[1]) if found else 0


def done_rows(output: Path) -> int:
    """Rows that count in an output that is not finished."""
    note = output.with_name(output.name + ".part.json")
    try:
        return int(json.loads(note.read_text())["rows"])
    except OSError:
        return 0


def with_head(model: str, place: Path) -> str:
    """The model, or its copy with a random head."""
    checkpoint = Checkpoint.load(model)
    if checkpoint.head is not None:
        return model
    torch.manual_seed(1)
    head = TaskHead("classification", 4)
    own = tensors_of(AlbertForTask(checkpoint.config, head))
    tensors = own | {name: checkpoint.tensors[name] for name in own if name in checkpoint.tensors}
    Checkpoint(checkpoint.config, tensors, checkpoint.tokenizer, head=head).save(place)
    return str(place)


def looked_at(count: int, kills: Sequence[int], draw: random.Random) -> list[int]:
    """Rows whose answers are computed anew."""
    rows = set(draw.sample(range(count), min(OTHERS, count)))
    for at in kills:
        rows |= set(range(max(0, at - AROUND // 2), min(count, at + AROUND // 2)))
    return sorted(rows)


def wrong_vectors(
    output: Path, written: Sequence[str], rows: Sequence[int], predictor: Predictor
) -> int:
    """Rows of an array that are not the vector of their line."""
    found = np.load(output, mmap_mode="r")
    if len(found) != len(written):
        return abs(len(found) - len(written))
    alone = random.Random(1).sample(rows, min(SINGLE, len(rows)))
    expected = predictor.embed([written[n] for n in rows])
    singles = np.stack([predictor.embed([written[n]])[0] for n in alone])
    wrong = (np.abs(found[rows] - expected).max(1) > TOLERANCE).sum()
    return int(wrong + (np.abs(found[alone] - singles).max(1) > TOLERANCE).sum())


def wrong_rows(
    output: Path, written: Sequence[str], rows: Sequence[int], predictor: Predictor
) -> int:
    """Rows of a file of predictions that are not of their line."""
    with output.open(encoding="utf-8") as file:
        found = [json.loads(row) for row in file]
    if len(found) != len(written):
        return abs(len(found) - len(written))
    wrong = sum(
        row["line"] != number or row["text"] != text
        for number, (row, text) in enumerate(zip(found, written, strict=True), 1)
    )
    alone = random.Random(1).sample(rows, min(SINGLE, len(rows)))
    answers = predictor.classify([written[n] for n in rows])
    wrong += sum(not same(found[n], each) for n, each in zip(rows, answers, strict=True))
    return wrong + sum(not same(found[n], predictor.classify(written[n])) for n in alone)


def same(row: Mapping[str, Any], answer: Any) -> bool:
    """Whether a row has the answer: the score of its label."""
    scores = {label.name: label.probability for label in answer.labels}
    return abs(scores[row["prediction"]] - row["score"]) <= TOLERANCE


def until_it_ends(
    command: list[str], output: Path, count: int, kill_at: Sequence[int]
) -> Iterator[Run]:
    """Each process in turn; all but the last are killed."""
    for at in [*kill_at, None]:
        yield run(command, output, at, count)
        if output.exists():
            return


def main(arguments: list[str] | None = None) -> int:
    """Run, kill, compare; the exit code is 0 if every line has its row."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--command", choices=("embed", "predict"), default="embed")
    parser.add_argument("--model", default="albertkit/tiny-en")
    parser.add_argument("--words", type=Path, help="a text; else sentences of ours")
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        written = lines(words_of(options.words, options.model), options.count)
        source = place / "lines.txt"
        source.write_text("".join(f"{line}\n" for line in written), encoding="utf-8")
        if options.command == "embed":
            output, model = place / "vectors.npy", options.model
            words = ["embed", "--input", str(source)]
        else:
            output, model = place / "answers.jsonl", with_head(options.model, place / "model")
            words = ["predict", str(source)]
        words += ["--model", model, "--output", str(output), "--engine", options.engine]
        command = [sys.executable, "-m", "albertkit", *words, "--threads", str(options.threads)]
        kill_at = sorted(draw.randrange(options.count // 2) for _ in range(options.kills))
        kills, before = [], 0
        for each in until_it_ends(command, output, options.count, kill_at):
            end = options.count if output.exists() else done_rows(output)
            print(
                f"{options.command}: {'ended' if output.exists() else 'killed'} with {each.code} "
                f"at row {end:,} of {options.count:,}; {(end - before) / each.processor:,.0f} "
                f"lines a second of processor time, {each.seconds:.0f} s in all; {each.memory()}",
                flush=True,
            )
            shown = each.screens
            widest = max(map(len, shown), default=0)
            print(f"  {len(shown)} lines shown, {widest} columns at most; for example:")
            for line in shown[:1] + shown[len(shown) // 2 :][:1] + shown[-1:]:
                print(f"  {line}", flush=True)
            kills.append(end)
            before = end
        if not output.exists():
            return 1
        rows = looked_at(options.count, kills[:-1], draw)
        predictor = Predictor(model, threads=options.threads, engine=options.engine)
        check = wrong_vectors if options.command == "embed" else wrong_rows
        wrong = check(output, written, rows, predictor)
    print(f"{options.command}: rows that are not of their line: {wrong}")
    return int(each.code != 0 or wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
