"""Convert an albert-xxlarge of random numbers: peak memory and speed, for each family we write.

python bench/convert_memory.py [--size albert-xxlarge-v2] [--repeats 3] [--place FOLDER]

Each conversion is a process of its own. Memory is the largest resident size of that process, less
what importing albertkit takes, as a share of the weights; speed is weights per second of wall time
of `convert` itself (result, writing, reading back and comparing), the source in the page cache.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.checkpoint.families import all_families
from albertkit.conversion import convert
from albertkit.parameters import parameter_shapes
from albertkit.sizes import size

TARGETS = ["huggingface", "google_tf", "paddlenlp", "keras_hub", "albertkit"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="albert-xxlarge-v2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--place", type=Path, default=None)
    parser.add_argument("--targets", nargs="*", default=TARGETS)
    parser.add_argument("--once", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        source, target, to = given.once
        convert_here(Path(source), Path(target), to)
        return
    with tempfile.TemporaryDirectory(dir=given.place) as name:
        place = Path(name)
        config = size(given.size)
        draw = np.random.default_rng(0)
        tensors = {
            name: draw.standard_normal(shape, dtype=np.float32)
            for name, shape in parameter_shapes(config).items()
        }
        weights = sum(x.nbytes for x in tensors.values())
        Checkpoint(config, tensors).save(place / "huggingface")
        del tensors
        print(f"{given.size}: {weights / 1e6:.0f} MB of weights")
        print("| from | to | peak / weights | MB/s (median, range) |\n|---|---|---|---|")
        sources = {target: place / "huggingface" for target in given.targets}
        for target, source in sources.items():
            measure(source, "huggingface", place / "out", target, weights, given.repeats)
            if target == "google_tf":
                keep = place / "google_tf"
                convert_once(source, keep, target)
                measure(keep, target, place / "out", "huggingface", weights, given.repeats)


def convert_once(source: Path, target: Path, to: str) -> dict[str, float]:
    """One conversion in a process of its own: its seconds, and its peak memory in bytes."""
    done = subprocess.run(
        [sys.executable, __file__, "--once", str(source), str(target), to],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def convert_here(source: Path, target: Path, to: str) -> None:
    """What that process does: convert, watched by a thread, and print the figures as JSON."""
    all_families()
    start = resident()
    peaks = [start]

    def watch() -> None:
        while True:
            peaks.append(resident())
            time.sleep(0.002)

    threading.Thread(target=watch, daemon=True).start()
    done = convert(source, target, to, allow_loss=True)
    print(json.dumps({"seconds": done.seconds, "peak": max(peaks) - start}))


def resident() -> int:
    """Bytes in memory; pages of mapped files count, too."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(source: Path, family: str, target: Path, to: str, weights: int, repeats: int) -> None:
    """Print one row."""
    peaks, speeds = [], []
    for _ in range(repeats):
        found = convert_once(source, target, to)
        subprocess.run(["rm", "-r", str(target)], check=True)
        peaks.append(found["peak"] / weights)
        speeds.append(weights / 1e6 / found["seconds"])
    middle = statistics.median(speeds)
    print(
        f"| {family} | {to} | {max(peaks):.2f} | "
        f"{middle:.0f} ({min(speeds):.0f}-{max(speeds):.0f}) |",
        flush=True,
    )


if __name__ == "__main__":
    main()
