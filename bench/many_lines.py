"""`embed` and `predict` on very many lines: memory, and what is left after kills.

    python bench/many_lines.py                             # 1,000,000 lines by albertkit/tiny-en
    python bench/many_lines.py --count 100000 --kills 3 --command predict

Lines are sentences of albertkit's with a number before each, so that no two are the same. The
command runs with its output in a file, is killed with SIGKILL at random moments and started again,
until it ends. Then every line must have its row: of `predict` each is compared, of `embed` the
number of rows, the rows around each kill and 2,000 others, with vectors that are computed anew.
Printed are lines a second, bytes of the largest resident set, and what was done at each kill.
`predict` asks a head of seeded random numbers where the model has none.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from albertkit import Checkpoint, Predictor
from albertkit.infer.calibration import sample_texts
from albertkit.model.loading import tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.progress import format_bytes
from albertkit.tasks.head import TaskHead

AROUND, OTHERS = 1024, 2000  # rows that are looked at: around each kill, and elsewhere
TOLERANCE = 1e-4


def lines(sentences: Sequence[str], count: int) -> Iterator[str]:
    """So many lines, no two of them the same."""
    for number in range(count):
        yield f"{number}: {sentences[number % len(sentences)]}"


def run(words: list[str], kill_after: float | None) -> tuple[int, int, float]:
    """Run a command; its exit code, the bytes of its largest resident set, and its seconds."""
    started, peak = time.monotonic(), 0
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, resident(process.pid))
        if kill_after is not None and time.monotonic() - started > kill_after:
            process.send_signal(signal.SIGKILL)
        time.sleep(0.1)
    return process.returncode, peak, time.monotonic() - started


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
    return int(json.loads(note.read_text())["rows"]) if note.exists() else 0


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


def wrong_vectors(
    output: Path, model: str, written: Sequence[str], kills: Sequence[int], draw: random.Random
) -> int:
    """Rows of an array that are not the vector of their line."""
    found = np.load(output, mmap_mode="r")
    if len(found) != len(written):
        return abs(len(found) - len(written))
    rows = set(draw.sample(range(len(written)), min(OTHERS, len(written))))
    for at in kills:
        rows |= set(range(max(0, at - AROUND // 2), min(len(written), at + AROUND // 2)))
    wanted = sorted(rows)
    expected = Predictor(model, threads=1).embed([written[n] for n in wanted])
    return int((np.abs(found[wanted] - expected).max(1) > TOLERANCE).sum())


def wrong_rows(output: Path, written: Sequence[str]) -> int:
    """Rows of a file of predictions that are not of their line."""
    with output.open(encoding="utf-8") as file:
        rows = [json.loads(row) for row in file]
    same = sum(
        row["line"] == number and row["text"] == text
        for number, (row, text) in enumerate(zip(rows, written, strict=False), 1)
    )
    return max(len(rows), len(written)) - same


def main(arguments: list[str] | None = None) -> int:
    """Run, kill, compare; the exit code is 0 if every line has its row."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--command", choices=("embed", "predict"), default="embed")
    parser.add_argument("--model", default="albertkit/tiny-en")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--between", type=float, default=30, help="most seconds before a kill")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        written = list(lines(sample_texts(Checkpoint.load(options.model).tokenizer), options.count))
        source = place / "lines.txt"
        source.write_text("".join(f"{line}\n" for line in written), encoding="utf-8")
        common = ["--threads", str(options.threads)]
        if options.command == "embed":
            output = place / "vectors.npy"
            words = ["embed", "--input", str(source), "--model", options.model]
        else:
            output = place / "answers.jsonl"
            words = ["predict", str(source), "--model", with_head(options.model, place / "model")]
        command = [sys.executable, "-m", "albertkit", *words, "--output", str(output), *common]
        kills: list[int] = []
        for _ in range(options.kills):
            code, peak, seconds = run(command, draw.uniform(5, options.between))
            if code == 0:
                break
            kills.append(done_rows(output))
            print(f"killed after {seconds:.0f} s: {kills[-1]:,} rows, {format_bytes(peak)}")
        before = done_rows(output)
        if not output.exists():
            code, peak, seconds = run(command, None)
        rate = (options.count - before) / seconds
        print(
            f"{options.command}, {options.count:,} lines: ended with {code}, {rate:,.0f} lines a "
            f"second, largest resident set {format_bytes(peak)}",
            flush=True,
        )
        wrong = (
            wrong_vectors(output, options.model, written, kills, draw)
            if options.command == "embed"
            else wrong_rows(output, written)
        )
    print(f"rows that are not of their line: {wrong}")
    return int(code != 0 or wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
