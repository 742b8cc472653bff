"""Make the first state of a pretraining run, from statistics of its text or from another run.

    python bench/shipped/begin.py RECIPE RUN [--data DATA] [--from OTHER_RUN]
    python bench/shipped/go_on.py RUN

The weights are those of first_weights.py.

With --from, weights (and moments) come from the newest state of another run of the same width: the
number of layers, which share their weights, and the schedule may differ.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from first_weights import fill

from albertkit import settings as recipes
from albertkit.files import atomic_folder
from albertkit.train.prepare import PreparedRun
from albertkit.train.pretrain import save_start
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.resume import newest_state, restore


def main() -> None:
    """Make the run folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, help="data folder, if not the recipe's")
    parser.add_argument("--from", dest="other", type=Path, help="run to take weights from")
    parser.add_argument("--plain", action="store_true", help="random numbers only, to compare")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    options = parser.parse_args()
    overrides = [f"run.output={options.run}", *options.overrides]
    if options.data:
        overrides.append(f"data.path={options.data}")
    begin(recipes.load(options.recipe, PretrainingRecipe, overrides), options.other, options.plain)


def begin(recipe: PretrainingRecipe, other: Path | None, plain: bool) -> None:
    """Fill a model, and write it as the state before step 0."""
    prepared = PreparedRun.resolve(recipe)
    model, optimizer = prepared.build()
    if other is not None:
        state = newest_state(other / "checkpoints")
        if state is None:
            raise SystemExit(f"{other} has no training state")
        restore(state, model, optimizer)
    elif not plain:
        fill(model, prepared.data.train)
    baselines = prepared.measure_baselines(prepared.validation_set())
    with atomic_folder(recipe.run.output) as folder:
        recipes.save(prepared.recipe, folder / "recipe.toml")
        (folder / "metrics.jsonl").touch()
        save_start(prepared, model, optimizer, baselines, folder)
    print(baselines)


if __name__ == "__main__":
    main()
