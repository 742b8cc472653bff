"""What leaving the network early costs and saves, for a model fine-tuned with early exit.

    python bench/early_exit.py RUN/model test.jsonl [--engine onnxruntime] [--turns 5]

test.jsonl is any table that `albertkit evaluate` takes. Each patience and all layers take turns on
all rows; prints the figure of the task, the layers a row went through on average, and how many
times as fast as with all layers: median of the turns, lowest and highest, by processor time of one
thread, tokenizing included.
"""

from __future__ import annotations

import argparse
import os
import time
from statistics import median

from albertkit import Predictor, evaluate


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--pair-column", help="of a second text")
    parser.add_argument("--engine")
    parser.add_argument("--patience", type=int, nargs="*", default=[1, 2, 3, 4])
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    columns = {"pair_column": options.pair_column} if options.pair_column else {}
    predictor = Predictor(options.model, engine=options.engine, threads=1)
    seconds: dict[int | None, list[float]] = {None: [], **{k: [] for k in options.patience}}
    figures: dict[int | None, dict[str, float]] = {}
    for turn in range(options.turns + 1):
        for patience, taken in seconds.items():
            began = time.process_time()
            found = evaluate(predictor, options.data, patience=patience, **columns)
            if turn:  # the first is for warming up
                taken.append(time.process_time() - began)
            figures[patience] = found.figures
    layers = predictor.config.num_hidden_layers
    metric = str(figures[None]["metric"])
    print(f"{figures[None]['count']:,} rows, {options.engine or 'torch'}, {options.turns} turns\n")
    print(f"| patience | {metric} | layers | times as fast |\n|---|---:|---:|---|")
    for patience, taken in seconds.items():
        ratios = [whole / mine for whole, mine in zip(seconds[None], taken, strict=True)]
        shown = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        used = figures[patience].get("layers_used", layers)
        name = "all layers" if patience is None else patience
        print(f"| {name} | {figures[patience][metric]:.2%} | {used:.2f} | {shown} |")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
