"""What options of fine-tuning are worth on CoLA and OCNLI: several seeds, with and without.

    python bench/finetune_options.py DATA RUNS [--sets cola,ocnli] [--arms plain,fgm] [--rows 1000]
        [--dev-rows 600] [--epochs 2] [--seeds 3]

DATA holds the official files (CoLA/train.tsv, OCNLI/train.json ...), RUNS gets a folder and a line
of results.jsonl for each run: a run that is there already is not made again, so that the same
command goes on after an interruption. The rows are the same for every arm, evenly spread over the
file. Prints a table: median of the seeds, lowest and highest. Of early exit each patience is
measured: figure, layers used on average, examples per second beside all layers.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console

from albertkit import Predictor, evaluate, finetune
from albertkit.benchmarks import find_sets
from albertkit.tasks.examples import TextExample

# Arm: settings. R-Drop needs dropout, which the shipped models have before the head only.
ARMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "layer_decay": {"optim.layer_decay": 0.8},
    "fgm": {"objective.fgm_epsilon": 1.0},
    "dropout": {"model.hidden_dropout": 0.1},
    "rdrop": {"model.hidden_dropout": 0.1, "objective.rdrop_alpha": 1.0},
    "early_exit": {"objective.early_exit": True},
}
METRICS = {"cola": "matthews", "ocnli": "accuracy"}
PATIENCES = (1, 2, 3)
RESULTS = "results.jsonl"


def main() -> None:
    """Make the runs that are missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--sets", default=",".join(METRICS))
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--rows", type=int, default=1000, help="of the training file")
    parser.add_argument("--dev-rows", type=int, default=600)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.runs.mkdir(parents=True, exist_ok=True)
    sets, arms = options.sets.split(","), options.arms.split(",")
    sizes = {"train": options.rows, "dev": options.dev_rows}
    for seed in range(options.seeds):
        for name in sets:
            files = {split: rows_of(options, name, split, sizes[split]) for split in sizes}
            for arm in arms:
                facts = {"set": name, "arm": arm, "seed": seed, **sizes, "epochs": options.epochs}
                if not any(facts.items() <= line.items() for line in read(options.runs)):
                    found = measure(options.runs, files, facts)
                    with (options.runs / RESULTS).open("a") as file:
                        file.write(json.dumps({**facts, **found}) + "\n")
                    print(json.dumps({**facts, **found}), flush=True)
    of_this_size = {**sizes, "epochs": options.epochs}
    print(table([line for line in read(options.runs) if of_this_size.items() <= line.items()]))


def read(runs: Path) -> list[dict[str, Any]]:
    """The results so far."""
    path = runs / RESULTS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def rows_of(options: argparse.Namespace, name: str, split: str, count: int) -> Path:
    """A file of `count` labelled rows of a split, evenly spread over it."""
    path: Path = options.runs / f"{name}-{split}-{count}.jsonl"
    if not path.is_file():
        [data_set] = find_sets(name)
        examples = data_set.examples(options.data, split)
        every = [x for x in examples if isinstance(x, TextExample) and x.label is not None]
        kept = [every[n * len(every) // count] for n in range(min(count, len(every)))]
        lines = [{"text": x.text, "text_b": x.pair, "label": x.label} for x in kept]
        if kept[0].pair is None:
            lines = [{"text": x.text, "label": x.label} for x in kept]
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return path


def measure(runs: Path, files: dict[str, Path], facts: dict[str, Any]) -> dict[str, Any]:
    """One run: figures of its best validation, and of early exit those of each patience."""
    name, arm, seed = facts["set"], facts["arm"], facts["seed"]
    out = runs / f"{name}-{arm}-{seed}-{facts['train']}-{facts['epochs']:g}"
    pair = {"text_column": "text"}
    if '"text_b"' in files["train"].open().readline():
        pair["pair_column"] = "text_b"
    began = time.monotonic()
    result = finetune(
        "classify",
        train=files["train"],
        dev=files["dev"],
        out=out,
        resume=(out / "recipe.toml").is_file(),
        seed=seed,
        epochs=facts["epochs"],
        metric=METRICS[name],
        console=Console(quiet=True),
        set={"run.threads": 1, "run.device": "cpu", **ARMS[arm]},
        **pair,
    )
    found: dict[str, Any] = {
        "metric": METRICS[name],
        "value": result.figures[METRICS[name]],
        "loss": result.figures["loss"],
        "learns": result.exit_code == 0,
        "seconds": round(time.monotonic() - began, 1),
    }
    if arm == "early_exit":
        found["patience"] = [of_patience(result.model, files["dev"], name, pair, patience)
                             for patience in (None, *PATIENCES)]  # fmt: skip
    return found


def of_patience(
    model: Path, dev: Path, name: str, pair: dict[str, str], patience: int | None
) -> dict[str, Any]:
    """Figures and speed with a patience; None: all layers. Processor time, so load matters less."""
    predictor = Predictor(model, batch_size=32)
    evaluate(predictor, dev, **pair)  # once without the clock
    began = time.process_time()
    found = evaluate(predictor, dev, **pair, patience=patience)
    seconds = time.process_time() - began
    return {
        "patience": patience,
        "value": found.figures[METRICS[name]],
        "layers": found.figures.get("layers_used", predictor.config.num_hidden_layers),
        "examples_per_second": round(found.figures["count"] / seconds, 1),
    }


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Markdown: of each arm the median over the seeds, lowest and highest."""
    rows = ["| set | option | figure, median (lowest to highest) | seeds |", "|---|---|---|---|"]
    kinds = dict.fromkeys((line["set"], line["arm"]) for line in lines)
    for name, arm in kinds:
        mine = [line for line in lines if (line["set"], line["arm"]) == (name, arm)]
        values = [line["value"] for line in mine]
        rows.append(f"| {name} | {arm} | {_spread(values)} | {len(values)} |")
        for number, patience in enumerate(PATIENCES, 1):
            found = [line["patience"] for line in mine if "patience" in line]
            if found:
                layers = median(x[number]["layers"] for x in found)
                speed = median(
                    x[number]["examples_per_second"] / x[0]["examples_per_second"] for x in found
                )
                values = [x[number]["value"] for x in found]
                rows.append(
                    f"| {name} | {arm}, patience {patience}: {layers:.1f} layers, {speed:.2f} "
                    f"times as fast | {_spread(values)} | {len(values)} |"
                )
    return "\n".join(rows)


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
