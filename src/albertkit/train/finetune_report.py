"""report.html of a fine-tuning run: figures, curves, classes, and the worst errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from albertkit import settings as recipes
from albertkit.tasks.choose import right_by_options
from albertkit.tasks.classify import label_name, losses_of, predictions_of, probabilities
from albertkit.tasks.codecs import CODECS
from albertkit.tasks.examples import ChoiceExample, TextExample
from albertkit.tasks.figures import TITLES, shown_figures
from albertkit.tasks.head import TaskHead
from albertkit.tasks.metrics import confusion, f1_of_counts, wilson_interval
from albertkit.tasks.rows import Floats
from albertkit.train.curves import curves
from albertkit.train.finetune_report_answers import MAX_ERRORS, wrong_answers
from albertkit.train.finetune_task import FinetuneTask
from albertkit.train.health import Verdict
from albertkit.train.metrics import read_metrics
from albertkit.train.page import (
    cell,
    links,
    name_cell,
    number_cell,
    paragraph,
    table,
    verdict_cell,
    when,
    write_page,
)

MAX_CLASSES = 30
_MAX_TEXT = 300  # characters of an error that are shown
_BINS = 5


def write_task_report(
    folder: Path, task: FinetuneTask, outputs: Any, verdict: Verdict | None, seconds: float
) -> Path:
    """Write RUN/report.html from RUN/metrics.jsonl and the answers of the model.

    outputs: of the model that is kept, on the held-out examples: logits (U, C), or `SpanOutputs`.
    """
    prepared = task.prepared
    lines = read_metrics(folder / "metrics.jsonl")
    train = [line for line in lines if line["event"] == "train"]
    held_out = [line for line in lines if line["event"] == "validation"]
    head, recipe = prepared.head, prepared.recipe
    parts = [when(seconds), links()]
    if verdict is not None:
        parts.append(paragraph(str(verdict)))
    parts += ["<h2>Held-out examples</h2>", _figures(task, outputs)]
    parts += ["<h2>Curves</h2>", curves(train, held_out, _drawn(task))]
    if head.traits.task == "choose":
        by_options = _by_options(task.dev.targets, outputs)
        parts += ["<h2>By number of options</h2>", by_options]
    elif head.traits.loss == "cross_entropy" and head.traits.has_classes:
        parts += ["<h2>Classes</h2>", _classes(head, task.dev.targets, outputs)]
    if head.traits.loss == "cross_entropy" and head.traits.task != "span":
        parts += ["<h2>How sure it is</h2>", _calibration(head, task.dev.targets, outputs)]
    errors = wrong_answers if head.traits.task == "span" else _errors
    parts += ["<h2>Worst errors</h2>", errors(task, outputs)]
    about = table([name_cell(name), cell(fact)] for name, fact in prepared.describe())
    parts += ["<h2>Examples and model</h2>", about]
    name = recipe.card.name or folder.name
    return write_page(folder, name, "fine-tuning", parts, recipes.to_toml(recipe))


def _drawn(task: FinetuneTask) -> list[tuple[str, str, float, str]]:
    """The loss and the figure that decides, with what a constant answer has."""
    constant = "a constant answer"
    rows = [("loss", "loss", task.baseline.loss, constant)]
    if task.metric != "loss":
        rows.append((task.metric, TITLES[task.metric], task.baseline.metric, constant))
    return rows


def _figures(task: FinetuneTask, outputs: Any) -> str:
    """Each figure of the model, beside that of a constant answer where it is known."""
    head = task.prepared.head
    found = CODECS[head.traits.task].figures_of(head, outputs, task.dev)
    constant = {task.metric: task.baseline.metric, "loss": task.baseline.loss}
    rows = []
    for name in ("loss", *shown_figures(head, found)):
        interval = ""
        if name == "accuracy":
            low, high = wilson_interval(round(found[name] * found["count"]), found["count"])
            interval = f"{low:.3f} to {high:.3f}"
        line, better = "", ""
        if name in constant:
            beaten = (found[name] < constant[name]) == (name == "loss")
            line = f"{constant[name]:.3f}"
            better = verdict_cell(beaten, "beaten" if beaten else "not beaten")
        rows.append(
            [
                name_cell(TITLES[name]),
                number_cell(f"{found[name]:.4f}", "model"),
                number_cell(interval, "95 % interval"),
                number_cell(line, "a constant answer"),
                better or cell(""),
            ]
        )
    names = ["figure", "model", "95 % interval", "a constant answer", ""]
    units = {"tag": "words", "choose": "questions", "span": "questions"}
    what = units.get(head.traits.task, "texts")
    note = f"{found['count']:,} {what}, never trained on. The interval is Wilson's."
    return table(rows, names) + paragraph(note)


def _classes(head: TaskHead, targets: Any, logits: Floats) -> str:
    """Precision, recall and F1 of each class, and what it is taken for."""
    counts = confusion(targets, predictions_of(head, logits), head.num_labels)
    rows = []
    order = np.argsort(-counts.sum(1), kind="stable")[:MAX_CLASSES]
    for n in order.tolist():
        support, guessed, right = int(counts[n].sum()), int(counts[:, n].sum()), int(counts[n, n])
        wrong = counts[n].copy()
        wrong[n] = 0
        others = [m for m in np.argsort(-wrong, kind="stable").tolist() if wrong[m]][:3]
        taken = ", ".join(f"{label_name(head, m)} ({wrong[m]:,})" for m in others)
        rows.append(
            [
                name_cell(label_name(head, n)),
                number_cell(f"{support:,}", "support"),
                number_cell(f"{right / guessed:.3f}" if guessed else "", "precision"),
                number_cell(f"{right / support:.3f}" if support else "", "recall"),
                number_cell(f"{f1_of_counts(right, guessed, support):.3f}", "F1"),
                cell(taken, "taken for"),
            ]
        )
    more = head.num_labels - len(order)
    note = paragraph(f"and {more} rarer classes") if more > 0 else ""
    return table(rows, ["class", "support", "precision", "recall", "F1", "taken for"]) + note


def _by_options(targets: Any, logits: Floats) -> str:
    """Accuracy of the questions with two options, with three, and so on."""
    rows = [
        [
            name_cell(f"{size} options"),
            number_cell(f"{total:,}", "questions"),
            number_cell(f"{right / total:.3f}", "accuracy"),
            number_cell("{:.3f} to {:.3f}".format(*wilson_interval(right, total)), "95 % interval"),
            number_cell(f"{1 / size:.3f}", "by chance"),
        ]
        for size, right, total in right_by_options(logits, targets)
    ]
    return table(rows, ["options", "questions", "accuracy", "95 % interval", "by chance"])


def _calibration(head: TaskHead, targets: Any, logits: Floats) -> str:
    """How often answers of a given probability are right."""
    best = probabilities(head, logits).max(-1)
    right = predictions_of(head, logits) == targets
    edges = np.linspace(1 / logits.shape[1], 1, _BINS + 1)
    rows = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = (best > low) & (best <= high) if low > edges[0] else best <= high
        if inside.any():
            rows.append(
                [
                    name_cell(f"{low:.0%} to {high:.0%}"),
                    number_cell(f"{int(inside.sum()):,}", "answers"),
                    number_cell(f"{best[inside].mean():.1%}", "probability"),
                    number_cell(f"{right[inside].mean():.1%}", "right"),
                ]
            )
    return table(rows, ["probability", "answers", "mean probability", "right"])


def _errors(task: FinetuneTask, logits: Floats) -> str:
    """Examples of the largest loss whose answer is wrong; of tags, of the most wrong words."""
    head, sizes = task.prepared.head, task.prepared.dev.sizes
    ends = np.cumsum(sizes)
    losses = losses_of(head, logits, task.dev.targets)
    predictions = predictions_of(head, logits)
    wrong = predictions != task.dev.targets
    wrong = wrong.any(-1) if wrong.ndim > 1 else wrong
    if head.traits.loss == "mean_squared_error":
        wrong = np.ones(len(losses), dtype=np.bool_)
    by_example = np.add.reduceat(np.where(wrong, losses, 0.0), ends - sizes)
    order = [n for n in np.argsort(-by_example, kind="stable").tolist() if by_example[n] > 0]
    rows = [
        [
            number_cell(f"{by_example[n]:.2f}", "loss"),
            cell(*_said(task, slice(ends[n] - sizes[n], ends[n]), predictions, n)),
            cell(_shown(task.prepared.examples.dev[n]), "text"),
        ]
        for n in order[:MAX_ERRORS]
    ]
    return table(rows, ["loss", "answer, and what is right", "text"]) if rows else paragraph("none")


def _said(task: FinetuneTask, units: slice, predictions: Any, number: int) -> tuple[str, str]:
    """The answer to an example beside what is right, and the heading of that."""
    head, heading = task.prepared.head, "answer, and what is right"
    found, wanted = predictions[units], task.dev.targets[units]
    if head.traits.loss == "mean_squared_error":
        return f"{found[0]:.3g}, not {wanted[0]:.3g}", heading
    if head.traits.loss == "binary_cross_entropy":
        said, right = (
            [label_name(head, n) for n in np.flatnonzero(x[0]).tolist()] for x in (found, wanted)
        )
        return f"{', '.join(said) or 'none'}, not {', '.join(right) or 'none'}", heading
    if head.traits.task == "tag":
        words = task.prepared.examples.dev[number].words
        parts = [
            f"{words[n]}: {label_name(head, int(found[n]))}, not {label_name(head, int(wanted[n]))}"
            for n in np.flatnonzero(found != wanted).tolist()
        ]
        return "; ".join(parts), heading
    if head.traits.task == "choose":
        options = task.prepared.examples.dev[number].options
        return f"{options[found[0]]}, not {options[wanted[0]]}", heading
    return f"{label_name(head, int(found[0]))}, not {label_name(head, int(wanted[0]))}", heading


def _shown(example: Any) -> str:
    texts: Sequence[str] = [example.text]
    if isinstance(example, ChoiceExample):
        texts = [example.question, example.context] if example.context else [example.question]
    elif isinstance(example, TextExample) and example.pair is not None:
        texts = [example.text, example.pair]
    return " | ".join(t if len(t) <= _MAX_TEXT else t[: _MAX_TEXT - 3] + "..." for t in texts)
