"""Speed and memory of the data path: make-data in MB/s, the loader in tokens per second.

    python bench/data_speed.py --tokenizer spiece.model --input english.txt.xz --megabytes 20

Each figure is repeated, the repeats of all figures taking turns; printed are the median and the
range. Every repeat is a process of its own, so its peak memory is its own; one core is used.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from albertkit.data.corpus import Corpus, Document, read_documents
from albertkit.data.loader import LoaderSettings, PretrainingLoader
from albertkit.data.shards import Shards
from albertkit.data.writing import write_shards
from albertkit.text.tokenizer import Tokenizer

LOADERS = {"loader at 128": (128, 20, 64), "loader at 512": (512, 77, 16)}


def up_to(corpus: Corpus, num_bytes: int) -> Iterator[Document]:
    """Documents until so many bytes of text were read."""
    return itertools.takewhile(lambda _: corpus.report.text_bytes < num_bytes, corpus)


def measure(name: str, options: argparse.Namespace, folder: Path) -> float:
    """One figure once, in this process."""
    if name == "read":
        corpus = read_documents(options.input)
        started = time.perf_counter()
        for _ in up_to(corpus, options.megabytes * 10**6):
            pass
        return corpus.report.text_bytes / 1e6 / (time.perf_counter() - started)
    if name == "make-data":
        tokenizer = Tokenizer.load(options.tokenizer)
        corpus = read_documents(options.input)
        started = time.perf_counter()
        documents = up_to(corpus, options.megabytes * 10**6)
        write_shards(documents, tokenizer, folder / "data", replace=True)
        return corpus.report.text_bytes / 1e6 / (time.perf_counter() - started)
    tokens, predictions, rows = LOADERS[name]
    shards = Shards(folder / "data" / "train")
    settings = LoaderSettings(max_tokens=tokens, max_predictions=predictions)
    loader = PretrainingLoader(shards, shards.special_ids, settings, rows)
    loader.batch(0)
    count = 0
    batches = loader.batches()
    started = time.perf_counter()
    while time.perf_counter() - started < options.seconds:
        count += next(batches).num_tokens
    seconds = time.perf_counter() - started
    batches.close()
    return count / 1e6 / seconds


def main() -> None:
    """Measure every figure in turns, each in a fresh process on one core."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        figure = measure(options.only, options, options.folder)
        # Not ru_maxrss, which a process can inherit from the one that started it.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        peak = int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) / 1024
        print(json.dumps({"figure": figure, "peak_megabytes": peak}))
        return
    names = ["read", "make-data", *LOADERS]
    results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for _, name in itertools.product(range(options.repeats), names):
            command = [sys.executable, *sys.argv, "--only", name, "--folder", folder]
            ran = subprocess.run(
                command,
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"},
            )
            results[name].append(json.loads(ran.stdout))
    for name, repeats in results.items():
        figures = [repeat["figure"] for repeat in repeats]
        unit = "M tokens/s" if name in LOADERS else "MB/s"
        peak = max(repeat["peak_megabytes"] for repeat in repeats)
        print(
            f"{name:14s} {statistics.median(figures):7.2f} {unit:10s} "
            f"({min(figures):.2f} to {max(figures):.2f}), peak {peak:.0f} MB"
        )


if __name__ == "__main__":
    main()
