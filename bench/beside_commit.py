"""Is this tree as fast as another commit? The same work by both, in turn, as ratios of time.

    git worktree add ../before COMMIT
    python bench/beside_commit.py ../before --english TEXT --vocabulary spiece.model \
        --chinese TEXT --chinese-vocabulary vocab.txt [--model albert-xxlarge-v2] [--repeats 15]

Each tree works in a process of its own (one thread, its `src` on PYTHONPATH) that is asked again
and again: tokenizing 20,000 lines, and converting a model of random numbers to two families.
`wall` and `cpu` are old time / new time, so above 1 is faster: median and quartiles. For the start,
the time of `albertkit fill-mask` less that of `import torch`, in this tree alone, median of 7.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.parameters import parameter_shapes
from albertkit.sizes import size

HERE = Path(__file__).resolve().parents[1]
LOOP = """
for _ in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)
    tidy()
"""
TOKENIZE = """
import sys, time
from albertkit.text.tokenizer import Tokenizer
tokenizer = Tokenizer.load(sys.argv[1])
lines = [x for x in open(sys.argv[2], encoding="utf-8").read().split("\\n") if x.strip()][:20000]
one = getattr(tokenizer, sys.argv[3].removesuffix("_batch"))  # a tree may have no batches
encode = getattr(tokenizer, sys.argv[3], lambda lines: [one(line) for line in lines])
work = lambda: encode(lines)
tidy = lambda: None
encode(lines[:1000])
"""
CONVERT = """
import shutil, sys, time
try:
    from albertkit.conversion import convert
except ImportError:  # until November 2026
    from albertkit.convert import convert
source, target, family = sys.argv[1:]
work = lambda: convert(source, target, family, allow_loss=True)
tidy = lambda: shutil.rmtree(target)
"""


def main() -> None:
    """Measure all that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path, help="checkout of the other commit")
    parser.add_argument("--english", type=Path)
    parser.add_argument("--vocabulary", type=Path)
    parser.add_argument("--chinese", type=Path)
    parser.add_argument("--chinese-vocabulary", type=Path)
    parser.add_argument("--model", default="albert-xxlarge-v2")
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    trees = (given.before.resolve(), HERE)
    print("| work | wall (quartiles) | cpu (quartiles) |\n|---|---|---|")
    for name, text, vocabulary in (
        ("English", given.english, given.vocabulary),
        ("Chinese", given.chinese, given.chinese_vocabulary),
    ):
        if text is not None:
            for method in ("ids_batch", "align_batch", "encode_batch"):
                each = [vocabulary.resolve(), text.resolve(), method]
                asked = [(tree, each) for tree in trees]
                compare(f"{name}, {method}", TOKENIZE, asked, given.repeats)
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "model"
        write_random(given.model, source)
        for family in ("huggingface", "google_tf"):
            asked = [
                (tree, [source, Path(place) / f"out-{number}", family])
                for number, tree in enumerate(trees)
            ]
            compare(f"{given.model} to {family}", CONVERT, asked, given.repeats)
    print(f"\nstart of fill-mask above import torch: {start():.2f} s")


def compare(name: str, code: str, asked: list[tuple[Path, list[Path | str]]], repeats: int) -> None:
    """Print one row; who goes first changes from round to round."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code + LOOP, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(tree),
        )
        for tree, arguments in asked
    ]
    walls, cpus = [], []
    for turn in range(repeats + 1):
        times = {}
        for number in (0, 1) if turn % 2 else (1, 0):
            times[number] = ask(workers[number])
        if turn:  # the first round warms up
            walls.append(times[0][0] / times[1][0])
            cpus.append(times[0][1] / times[1][1])
    for worker in workers:
        worker.communicate()
    print(f"| {name} | {spread(walls)} | {spread(cpus)} |", flush=True)


def ask(worker: subprocess.Popen[str]) -> tuple[float, float]:
    """Seconds of wall and of processor time of one round."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()
    wall, cpu = map(float, worker.stdout.readline().split())
    return wall, cpu


def spread(ratios: list[float]) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def start() -> float:
    """Seconds of a cold `fill-mask` less those of `import torch`, median of 7 pairs."""
    command = ["-m", "albertkit", "fill-mask", "She opened the [MASK]."]
    command += ["--model", "albertkit/tiny-en"]
    pairs = [(run(command), run(["-c", "import torch"])) for _ in range(8)]
    return statistics.median(ours - torch for ours, torch in pairs[1:])


def run(arguments: list[str]) -> float:
    """Seconds of one run of Python, with its bytecode cached as users have it."""
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, env=environment(HERE)
    )
    return time.perf_counter() - begin


def environment(tree: Path) -> dict[str, str]:
    """One thread, and this tree's albertkit."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**own, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}


def write_random(name: str, folder: Path) -> None:
    """A model of this size with random numbers."""
    config = size(name)
    draw = np.random.default_rng(0)
    shapes = parameter_shapes(config)
    tensors = {key: draw.standard_normal(shape, dtype=np.float32) for key, shape in shapes.items()}
    Checkpoint(config, tensors).save(folder)


if __name__ == "__main__":
    main()
