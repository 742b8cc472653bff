"""The demo: what the models that ship can do, and what half a minute of training changes.

Masks are filled in both languages, two sentences are put in order, the nearest of ten is found;
then the English model goes on training, on the text that every Python carries (`python_text.py`),
and is fine-tuned for a job (`demo_reviews.py`). The sentences are our own and stand in no training
text. `from_scratch.py` is the demo from nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from albertkit.cli.demo_reviews import copy_examples, learn_reviews
from albertkit.cli.guesses import Masks, show_masks
from albertkit.cli.python_text import TOPICS, TOPICS_LICENSE, write_topics
from albertkit.data.corpus import Corpus
from albertkit.data.shards import VALIDATION
from albertkit.data.writing import ShardSummary, write_shards
from albertkit.errors import TrainingError, quoted
from albertkit.files import atomic_folder, require_free
from albertkit.hub import shipped
from albertkit.hub.by_script import CHINESE, ENGLISH
from albertkit.hub.measured import OrderFigures, order_figures
from albertkit.infer.predictor import Predictor
from albertkit.text.tokenizer import Tokenizer
from albertkit.train.finetune import FinetuneResult
from albertkit.train.pretrain import RunResult, pretrain

# One content word of each is masked, and stands beside it.
MASKED = {
    ENGLISH: (
        ("She closed her [MASK] and fell asleep at once.", "eyes"),
        ("He shook his [MASK] and said nothing more.", "head"),
        ("The war between the two kingdoms lasted seven [MASK].", "years"),
        ("The king and the [MASK] received their guests in the hall.", "queen"),
        ("He wrote a long [MASK] to his brother in America.", "letter"),
    ),
    CHINESE: (
        ("他打开门，走进了房[MASK]。", "间"),
        ("战争结束以后，士兵们都回到了家[MASK]。", "乡"),
        ("这条河从北向南，最后流入大[MASK]。", "海"),
        ("请在终端里运行下面的命[MASK]。", "令"),
        ("每一位公民都应当遵守法[MASK]。", "律"),
    ),
}
FIRST, SECOND = "The company was founded in 1901.", "It was sold to a rival ten years later."
QUERY = "The soldiers marched through the snow."
TEN = (
    "The army crossed the mountains in winter.",
    "She bought a new dress for the party.",
    "The book has three hundred pages.",
    "Rain fell on the roof all night.",
    "The queen spoke to her ministers.",
    "He plays the violin in an orchestra.",
    "The film was shown in many cinemas.",
    "Our train leaves at seven in the morning.",
    "The troops were cold and hungry.",
    "The cat slept beside the stove.",
)
NEAREST_SHOWN = 3
HELD_OUT = 0.1  # share of documents never trained on
# About half a minute on two cores.
SETTINGS = {
    "stages.0.steps": 20,
    "stages.0.batch_size": 8,
    "stages.0.warmup_steps": 3,
    "stages.0.peak_learning_rate": 1e-4,
    "run.validation_rows": 200,
    "run.log_every": 4,
    "run.validate_every": 0,
    "run.save_every": 1000,
    "card.name": "albertkit demo",
    "card.language": "en",
    "card.data": TOPICS,
    "card.data_license": TOPICS_LICENSE,
}


@dataclass(frozen=True)
class DemoResult:
    """What the demo found: masks by model, score that FIRST comes first, both training runs."""

    masks: dict[str, Masks]
    order: float
    order_measured: OrderFigures | None
    nearest: list[tuple[str, float]]
    run: RunResult
    classifier: FinetuneResult

    @property
    def before(self) -> float:
        """Masked-LM loss on the held-out text before training."""
        return float(self.run.before["mlm_loss"])

    @property
    def after(self) -> float:
        """The same afterwards."""
        return float(self.run.validation["mlm_loss"])

    @property
    def learned(self) -> bool:
        """Whether both runs made their model better, on what they were not trained on."""
        return self.after < self.before and self.classifier.exit_code == 0

    def to_json(self) -> dict[str, Any]:
        """What the command line prints for programs."""
        measured = self.order_measured
        return {
            "model": str(self.run.model),
            "report": str(self.run.folder / "report.html"),
            "masks": {name: vars(masks) for name, masks in self.masks.items()},
            "order": {
                "score": self.order,
                "measured": None if measured is None else vars(measured),
                "learned": measured is not None and measured.learned,
            },
            "nearest": [{"text": text, "cosine": cosine} for text, cosine in self.nearest],
            "unigram_entropy": entropy(self.run),
            "mlm_loss_before": self.before,
            "mlm_loss": self.after,
            "lessons": self.run.to_json()["lessons"],
            "classifier": self.classifier.to_json(),
        }


def demo(
    output: Path, *, overrides: Sequence[str] = (), console: Console | None = None
) -> DemoResult:
    """Show the models that ship, and train one for two jobs under `output`, which must be free.

    overrides: changes of the recipe `continue`, as in "stages.0.steps=100", and of the schedule of
    the fine-tuning, as in "schedule.epochs=5".
    """
    console = console or Console(highlight=False)
    require_free(output)
    english, chinese = Predictor(shipped(ENGLISH)), Predictor(shipped(CHINESE))
    step(console, "1. masks", "one word is hidden; five guesses, the right one beside them")
    masks = {
        name: show_masks(console, name, MASKED[name], predictor)
        for name, predictor in ((ENGLISH, english), (CHINESE, chinese))
    }
    step(console, "2. order", "which of two sentences comes first?")
    order, measured = show_order(console, english)
    step(console, "3. vectors", f'the nearest of ten sentences to "{QUERY}"')
    nearest = show_nearest(console, english)
    step(console, "4. training", f"{ENGLISH} goes on, on the language reference of Python")
    for_reviews = [setting for setting in overrides if setting.startswith("schedule.")]
    others = [setting for setting in overrides if setting not in for_reviews]
    run = go_on(console, english.tokenizer, output, others)
    step(console, "\n5. fine-tuning", f"{ENGLISH} learns to tell good reviews from bad ones")
    classifier = learn_reviews(console, output, for_reviews)
    result = DemoResult(masks, order, measured, nearest, run, classifier)
    print_summary(console, result)
    return result


def step(console: Console, title: str, what: str) -> None:
    """The heading of a part of the demo."""
    console.print(Text.assemble((title, "bold"), f"  {what}"))


def show_order(console: Console, predictor: Predictor) -> tuple[float, OrderFigures | None]:
    """Judge the order of two sentences, with how often the model is right."""
    score = predictor.sentence_order(FIRST, SECOND)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("score", "first", "second"):
        table.add_column(column, justify="right" if column == "score" else "left")
    table.add_row(f"{score:.1%}", FIRST, SECOND)
    table.add_row(f"{1 - score:.1%}", SECOND, FIRST)
    console.print(table)
    measured = order_figures(shipped(ENGLISH))
    style = "" if measured is not None and measured.learned else "yellow"
    console.print(Text(f"measured: {measured}\n", style))
    return score, measured


def show_nearest(console: Console, predictor: Predictor) -> list[tuple[str, float]]:
    """The ten sentences by the cosine of their vectors to that of the query, the nearest first."""
    vectors = predictor.embed([QUERY, *TEN], normalize=True)
    cosines = (vectors[1:] @ vectors[0]).tolist()
    ranked = sorted(zip(TEN, cosines, strict=True), key=lambda pair: -pair[1])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("cosine", justify="right")
    table.add_column(f"the nearest {NEAREST_SHOWN} of {len(TEN)}, and the farthest")
    for text, cosine in (*ranked[:NEAREST_SHOWN], ranked[-1]):
        table.add_row(f"{cosine:.3f}", text)
    console.print(table)
    console.print("Without fine-tuning, vectors compare words more than meanings.\n")
    return ranked


def go_on(
    console: Console, tokenizer: Tokenizer, output: Path, overrides: Sequence[str]
) -> RunResult:
    """Cut Python's own text with the model's tokenizer, and train the model on it."""
    with atomic_folder(output) as folder:
        copy_examples(folder)
        summary = write_shards(
            Corpus([write_topics(folder / "text.txt")], language="en"),
            tokenizer,
            folder / "data",
            validation_fraction=HELD_OUT,
        )
    console.print(about(summary))
    run = pretrain(
        "continue",
        start_from=ENGLISH,
        data=output / "data",
        out=output / "run",
        set=[*(f"{key}={json.dumps(value)}" for key, value in SETTINGS.items()), *overrides],
        console=console,
    )
    if not run.finished:
        raise TrainingError(
            "The demo was stopped.",
            where=run.folder,
            fix=f"albertkit pretrain {quoted(run.folder / 'recipe.toml')} --resume",
        )
    return run


def about(summary: ShardSummary) -> str:
    """Size of the text, and of the part that is not trained on."""
    held_out = summary.splits[VALIDATION]["num_documents"]
    return (
        f"{TOPICS}: {summary.tokens:,} tokens in {summary.documents:,} documents, of which "
        f"{held_out:,} are never trained on"
    )


def print_summary(console: Console, result: DemoResult) -> None:
    """What was seen, in figures, and where everything is."""
    run = result.run
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    for name, masks in result.masks.items():
        found = f"{masks.right_in_five} of {masks.shown}, {masks.right_first} first"
        table.add_row(f"right words among five guesses, {name}", found)
    table.add_row("unigram entropy of the held-out text", f"{entropy(run):.3f} nats")
    table.add_row("masked-LM loss on it before training", f"{result.before:.3f} nats")
    table.add_row("afterwards", f"{result.after:.3f} nats")
    for lesson in run.lessons:
        table.add_row(lesson.title, lesson.verdict)
    figures, baseline = result.classifier.figures, result.classifier.baseline
    title = f"accuracy on {figures['count']} reviews never trained on"
    table.add_row(title, f"{figures['accuracy']:.1%}")
    table.add_row("of always the same answer", f"{baseline.metric:.1%}")
    console.print(table)
    for line in (
        f"models: {run.model}, {result.classifier.model}",
        f"reports, for a browser: {run.folder / 'report.html'}, "
        f"{result.classifier.folder / 'report.html'}",
        *next_steps(run.model, result.classifier.model),
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def entropy(run: RunResult) -> float:
    """Loss of a model that knows word frequencies only."""
    return run.baselines.unigram_entropy


def next_steps(model: Path, classifier: Path) -> list[str]:
    """Commands to try, after the line that puts `albertkit` on the path where it is not."""
    import shutil
    import sys

    activate = Path(sys.executable).parent / "activate"
    first = [f"  source {quoted(activate)}"] if shutil.which("albertkit") is None else []
    return [
        "try next:",
        *first,
        f'  albertkit fill-mask "The [MASK] ends a loop." --model {quoted(model)}',
        f'  albertkit classify "The soup was hot and very good." --model {quoted(classifier)}',
        f'  albertkit fill-mask "{MASKED[CHINESE][0][0]}"',
        "  albertkit demo --from-scratch",
    ]
