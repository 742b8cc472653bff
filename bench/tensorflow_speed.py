"""ALBERT in TensorFlow: albertkit beside KerasHub and transformers 4.57, in one run and in turns.

    python bench/tensorflow_speed.py --albertkit PYTHON --keras-hub PYTHON --transformers PYTHON \
        [--shape base tiny-zh] [--work pooled hidden train] [--rows short full]

Each is a process of its own Python (tensorflow_worker.py), with the same random weights and two
threads: inference to pooled vectors or to those of all tokens, and training steps of a classifier
(forward, backward, Keras' AdamW; no dropout). Peers run in a graph and with XLA, a line each,
padded to the longest text of a batch, and compiled before. Short rows have 28 tokens in the mean,
sorted by length for inference and as drawn in training; full rows have 128. Printed are ratios of
wall and of processor time, peer / albertkit (median, smallest and largest of the turns), and the
largest difference of the outputs, for training of the losses of the first steps.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.conversion import convert
from albertkit.parameters import parameter_shapes
from albertkit.tasks.head import TaskHead

WORKER = Path(__file__).with_name("tensorflow_worker.py")
SHAPES = {"base": (768, 12, 12, 128), "tiny-zh": (312, 12, 4, 128)}  # H, N, layers, E
BATCH = {"base": 8, "tiny-zh": 16}
SIDES = ("albertkit", "keras-hub", "transformers")
Times = dict[str, list[tuple[float, float]]]


def main() -> None:
    """Measure what was asked for; print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in SIDES:
        parser.add_argument(f"--{name}", help="Python that has it")
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--layers", type=int, help="instead of the shape's own number")
    parser.add_argument("--work", nargs="+", default=["pooled", "hidden", "train"])
    parser.add_argument("--rows", nargs="+", default=["short", "full"])
    parser.add_argument("--ways", nargs="+", default=["graph", "xla"], help="of the peers")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    pythons = {name: vars(options)[name.replace("-", "_")] for name in SIDES}
    print("| shape | work | rows | peer | wall | processor | difference |\n" + "|---" * 7 + "|")
    for shape in options.shape:
        with tempfile.TemporaryDirectory() as place:
            layers = options.layers or SHAPES[shape][2]
            prepare(Path(place), shape, layers)
            workers = {name: Worker(name, python, place) for name, python in pythons.items()}
            for work in options.work:
                for rows in options.rows:
                    found = measure(workers, work, rows, options)
                    show(f"{shape}, {layers} layers", work, rows, *found)
            for worker in workers.values():
                worker.process.communicate()


def prepare(place: Path, shape: str, layers: int) -> None:
    """Write the model for each, and the batches."""
    width, heads, _, inner = SHAPES[shape]
    config = AlbertConfig(
        vocab_size=21128 if shape == "tiny-zh" else 30000,
        embedding_size=inner,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        classifier_dropout_prob=0.0,
    )
    head = TaskHead("classification", 2)
    draw = np.random.default_rng(0)
    tensors = {}
    for name, size in parameter_shapes(config, head).items():
        numbers = 0.05 * draw.standard_normal(size, dtype=np.float32)
        tensors[name] = numbers + 1 if name.endswith("norm.weight") else numbers
    Checkpoint(config, tensors, head=head).save(place / "albertkit")
    head_parts = {"kernel": tensors["classifier.weight"].T, "bias": tensors["classifier.bias"]}
    np.savez(place / "head.npz", **head_parts)
    body = {name: x for name, x in tensors.items() if name.startswith("albert.")}
    Checkpoint(config, body).save(place / "transformers")
    convert(place / "transformers", place / "keras-hub", "keras_hub")
    rows = BATCH[shape]
    lengths = {"full": [np.full(rows, 128)]}
    short = np.minimum(draw.gamma(2.5, 28 / 2.5, 6 * rows) + 3, 128).astype(int)
    lengths["short train"] = [short[:rows], short[rows : 2 * rows]]
    lengths["short"] = np.split(np.sort(short), 6)[1::2]
    for kind, batches in lengths.items():
        for number, each in enumerate(batches):
            mask = np.arange(each.max()) < each[:, None]
            ids = draw.integers(5, config.vocab_size, mask.shape) * mask
            labels = draw.integers(0, 2, rows)
            arrays = {"ids": ids, "mask": mask, "labels": labels}
            np.savez(
                place / f"{kind} {number}.npz", **{n: x.astype("i4") for n, x in arrays.items()}
            )


class Worker:
    """A contestant in a process of its own."""

    def __init__(self, name: str, python: str, place: str) -> None:
        own = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "2"}
        own |= {"TF_USE_LEGACY_KERAS": "1"} if name == "transformers" else {}
        self.process = subprocess.Popen(
            [python, str(WORKER), name, place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **own},
        )

    def ask(self, **order: Any) -> Any:
        """Its answer to one order."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def measure(
    workers: dict[str, Worker], work: str, rows: str, options: argparse.Namespace
) -> tuple[Times, dict[str, np.ndarray]]:
    """Wall and processor seconds of every way, turn by turn, and the outputs of each."""
    kind = "short train" if (rows, work) == ("short", "train") else rows
    peers = [(name, way) for name in SIDES[1:] for way in options.ways]
    ways = [("albertkit", "graph"), *peers]
    outputs = {
        f"{name} {way}": np.array(workers[name].ask(do="prepare", work=work, rows=kind, way=way))
        for name, way in ways
    }
    times: Times = {f"{name} {way}": [] for name, way in ways}
    for turn in range(options.turns + 1):
        for name, way in ways if turn % 2 else reversed(ways):
            spent = workers[name].ask(do="run", way=way)
            if turn:  # the first warms up
                times[f"{name} {way}"].append(tuple(spent))
    return times, outputs


def show(shape: str, work: str, rows: str, times: Times, outputs: dict[str, np.ndarray]) -> None:
    """A line for each way of each peer."""
    ours, *others = times
    for name in others:
        cells = []
        for clock in (0, 1):
            pairs = zip(times[name], times[ours], strict=True)
            ratios = sorted(theirs[clock] / mine[clock] for theirs, mine in pairs)
            cells.append(f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})")
        apart = float(np.abs(outputs[name] - outputs[ours]).max())
        print(f"| {shape} | {work} | {rows} | {name} | {' | '.join(cells)} | {apart:.0e} |")
    seconds = statistics.median(wall for wall, _ in times[ours])
    print(f"| | | | {ours} | {seconds:.3f} s | | |", flush=True)


if __name__ == "__main__":
    main()
