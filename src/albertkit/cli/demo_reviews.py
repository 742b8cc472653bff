"""The demo's fine-tuning: the English model learns to tell good reviews from bad ones.

The reviews were written for this package (`examples/`); those of the test file are never trained on
and choose nothing, so the accuracy on them is that of the model on new texts.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from albertkit.data import tables
from albertkit.errors import TrainingError, quoted
from albertkit.hub.by_script import ENGLISH
from albertkit.infer.predictor import Predictor
from albertkit.train.finetune import FinetuneResult, finetune

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TRAIN, TEST = "reviews-en.csv", "reviews-en-test.csv"
SHOWN = 5  # reviews of the test file
# About half a minute on two cores.
SETTINGS = {
    "schedule.epochs": 10,
    "run.validate_every": 14,
    "run.save_every": 1000,
    "run.keep_best": False,  # the last model: nothing is chosen by the test file
    "card.data": "reviews written for albertkit",
    "card.data_license": "Apache-2.0",
    "card.language": "en",
}


def copy_examples(folder: Path) -> None:
    """Put the example files of the package into a folder."""
    for path in sorted(x for x in EXAMPLES.iterdir() if x.suffix in (".csv", ".txt", ".json")):
        shutil.copyfile(path, folder / path.name)


def learn_reviews(console: Console, folder: Path, overrides: Sequence[str]) -> FinetuneResult:
    """Fine-tune the English model on the reviews of a folder, into its folder `classifier`.

    overrides: changes of the recipe, as in "schedule.epochs=5".

    Raises:
        TrainingError: the run was stopped.
    """
    result = finetune(
        "classify",
        train=folder / TRAIN,
        dev=folder / TEST,
        model=ENGLISH,
        out=folder / "classifier",
        set=[*(f"{key}={json.dumps(value)}" for key, value in SETTINGS.items()), *overrides],
        console=console,
    )
    if not result.finished:
        raise TrainingError(
            "The demo was stopped.",
            where=result.folder,
            fix=f"albertkit finetune {quoted(result.folder / 'recipe.toml')} --resume",
        )
    show_answers(console, folder / TEST, result.model)
    return result


def show_answers(console: Console, test: Path, model: Path) -> None:
    """The first reviews of the test file with their class and the model's answer."""
    rows = [row.cells for row in itertools.islice(tables.Table(test).rows(), SHOWN)]
    answers = Predictor(model).classify([row["text"] for row in rows])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("review, never trained on", ratio=1, overflow="fold")
    table.add_column("class")
    table.add_column("answer")
    for row, answer in zip(rows, answers, strict=True):
        best = answer.labels[0]
        right = best.name == row["label"]
        said = Text(f"{best.name} {best.probability:.0%}", "bold green" if right else "yellow")
        table.add_row(Text(row["text"]), row["label"], said)
    console.print(table)
