"""Measure a run's model on all of its held-out rows, and show it filling held-out masks.

    python bench/held_out.py RUN [--rows 100000] [--masks 20] [--language en|zh]

RUN is the folder of a pretraining run. Prints Markdown: masked-LM loss and accuracy and order
accuracy with 95 % intervals beside the two lines to beat, all on the same rows; then sentences with
one word masked, the right answer and the five best guesses.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

from albertkit import settings as recipes
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.cli.demo import held_out_masks
from albertkit.infer.predictor import Predictor
from albertkit.model.loading import build
from albertkit.train import prepare
from albertkit.train.losses import Loss, pretraining_loss
from albertkit.train.metrics import read_metrics
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.stages import Micro, Stages
from albertkit.train.validation import validate, wilson_interval


def main() -> None:
    """Measure, then show."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--rows", type=int, default=100_000, help="most held-out rows used")
    parser.add_argument("--masks", type=int, default=20)
    parser.add_argument("--language", overrides=["en", "zh"], default="en")
    options = parser.parse_args()
    overrides = [f"run.validation_rows={options.rows}", "run.device=cpu"]
    recipe = recipes.load(options.run / "recipe.toml", PretrainingRecipe, overrides)
    print_figures(options.run, recipe)
    print_masks(options.run / "model", recipe.data.path, options.language, options.masks)


class Evaluation:
    """What `validate` asks for: the loss of one batch."""

    def loss(self, model: nn.Module, micro: Micro) -> Loss:
        """Masked-LM and order loss."""
        output = model(
            micro.ids, micro.types, lengths=micro.lengths, target_positions=micro.target_positions
        )
        return pretraining_loss(
            output.mlm_logits,
            output.order_logits,
            micro.targets,
            micro.swapped,
            step_targets=micro.step_targets,
            step_rows=micro.step_rows,
        )


def print_figures(run: Path, recipe: PretrainingRecipe) -> None:
    """One table: this model, and the lines to beat on the same rows."""
    data = prepare.Data.open(recipe.data.path)
    recipe, _ = prepare.settle(recipe, data)
    torch.set_num_threads(recipe.run.threads)
    stages = Stages(recipe.stages, data.train, recipe.run.seed)
    held_out = prepare.hold_out(recipe, stages, data)
    baselines = prepare.measure_baselines(recipe, stages, data, held_out)
    model = build(Checkpoint.load(run / "model"))
    totals = validate(model, Evaluation(), held_out, "fp32")  # type: ignore[arg-type]
    means = totals.means()
    steps = max(line["step"] for line in read_metrics(run / "metrics.jsonl") if "step" in line)

    def share(name: str) -> str:
        low, high = wilson_interval(totals.sums[name], totals.counts[name])
        return f"{means[name]:.1%} ({low:.1%} to {high:.1%}; {totals.counts[name]:,} cases)"

    print(f"Step {steps:,} of {stages.steps:,}; {held_out.num_rows:,} held-out rows.\n")
    print("| figure | this model (95 % interval) | line to beat |")
    print("|---|---|---|")
    print(
        f"| masked-LM loss | {means['mlm_loss']:.3f} nats | "
        f"{baselines.unigram_entropy:.3f} nats, unigram entropy |"
    )
    print(
        f"| masked-LM accuracy | {share('mlm_accuracy')} | "
        f"{baselines.unigram_accuracy:.1%}, most frequent token |"
    )
    print(
        f"| order accuracy | {share('sop_accuracy')} | "
        f"{baselines.order_accuracy:.1%}, bag of words |"
    )


def print_masks(model: Path, data: Path, language: str, count: int) -> None:
    """Held-out sentences with one word masked, the right answer beside the guesses."""
    opened = prepare.Data.open(data)
    questions = list(held_out_masks(opened.validation, opened.tokenizer, language, count))
    answers = Predictor(model).fill_mask([text for text, _ in questions], top_k=5)
    print("\n| held-out sentence | right | guesses |\n|---|---|---|")
    for (text, right), fillings in zip(questions, answers, strict=True):
        guesses = [filling.tokens[0].lstrip("\u2581") for filling in fillings]
        marked = [f"**{guess}**" if guess == right else guess for guess in guesses]
        cells = (cell.replace("|", "\\|") for cell in (text, right, " ".join(marked)))
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
