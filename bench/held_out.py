"""Measure a run's model on all of its held-out rows, and show it filling held-out masks.

    python bench/held_out.py RUN [--rows 100000] [--masks 20]

RUN is the folder of a pretraining run. Prints Markdown: masked-LM loss and accuracy and order
accuracy with 95 % intervals beside the two lines to beat, all on the same rows; then sentences with
one word masked, the right answer and the five best guesses.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from albertkit import settings as recipes
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.folder import DataFolder
from albertkit.data.masked_examples import masked_examples
from albertkit.infer.predictor import Predictor
from albertkit.model.loading import build
from albertkit.train.figures import figures
from albertkit.train.metrics import read_metrics
from albertkit.train.prepare import PreparedRun
from albertkit.train.pretrain import PretrainingTask
from albertkit.train.recipe import PretrainingRecipe


def main() -> None:
    """Measure, then show."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--rows", type=int, default=100_000, help="most held-out rows used")
    parser.add_argument("--masks", type=int, default=20)
    options = parser.parse_args()
    overrides = [f"run.validation_rows={options.rows}", "run.device=cpu"]
    recipe = recipes.load(options.run / "recipe.toml", PretrainingRecipe, overrides)
    print_figures(options.run, recipe)
    print_masks(options.run / "model", recipe.data.path, options.masks)


def print_figures(run: Path, recipe: PretrainingRecipe) -> None:
    """One table: this model, and the baselines on the same rows."""
    prepared = PreparedRun.resolve(recipe)
    torch.set_num_threads(prepared.recipe.run.threads)
    validation_set = prepared.validation_set()
    baselines = prepared.measure_baselines(validation_set)
    task = PretrainingTask(prepared, prepared.stages(), validation_set, baselines)
    validated = task.validate(build(Checkpoint.load(run / "model")), "fp32", 0)
    steps = max(line["step"] for line in read_metrics(run / "metrics.jsonl") if "step" in line)

    print(f"Step {steps:,} of {task.steps:,}; {validation_set.num_rows:,} held-out rows.\n")
    print("| figure | this model (95 % interval) | baseline |")
    print("|---|---|---|")
    for figure in figures(validated, baselines):
        cases = f" ({figure.interval}; {figure.count:,} cases)" if figure.is_share else " nats"
        baseline = f"{figure.baseline_text}, {figure.baseline_name}"
        print(f"| {figure.title} | {figure.text}{cases} | {baseline} |")


def print_masks(model: Path, data: Path, count: int) -> None:
    """Held-out sentences with one word masked, the right answer beside the guesses."""
    questions = masked_examples(DataFolder.open(data), count)
    answers = Predictor(model).fill_mask([text for text, _ in questions], top_k=5)
    print("\n| held-out sentence | right | guesses |\n|---|---|---|")
    for (text, right), fillings in zip(questions, answers, strict=True):
        guesses = [filling.tokens[0].lstrip("\u2581") for filling in fillings]
        marked = [f"**{guess}**" if guess == right else guess for guess in guesses]
        cells = (cell.replace("|", "\\|") for cell in (text, right, " ".join(marked)))
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
