"""report.html of a fine-tuning run: figures, curves, classes, and the worst errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from albertkit import settings as recipes
from albertkit.tasks.classify import label_name, losses_of, predictions_of, probabilities
from albertkit.tasks.codecs import CODECS
from albertkit.tasks.examples import ChoiceExample, TextExample
from albertkit.tasks.figures import TITLES, shown_figures
from albertkit.tasks.intervals import Intervals, intervals_of_answers, intervals_of_units
from albertkit.tasks.rows import Floats
from albertkit.tasks.span_answers import SpanOutputs
from albertkit.train.curves import curves
from albertkit.train.finetune_report_answers import MAX_ERRORS, Answered, wrong_answers
from albertkit.train.finetune_report_classes import by_options, classes, taken_for
from albertkit.train.finetune_report_drawings import calibration, lengths
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

_MAX_TEXT = 300  # characters of an error that are shown


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
    recipe = prepared.recipe
    parts = [when(seconds), links()]
    if verdict is not None:
        parts.append(paragraph(str(verdict)))
    about = table([name_cell(name), cell(fact)] for name, fact in prepared.describe())
    of_answers = _of_questions if prepared.head.traits.task == "span" else _of_units
    figures, *more = of_answers(task, outputs)
    parts += [
        *("<h2>Held-out examples</h2>", figures),
        *("<h2>Curves</h2>", curves(train, held_out, _drawn(task))),
        *more,
        *("<h2>Lengths</h2>", lengths(prepared.train, recipe.objective.max_tokens)),
        *("<h2>Examples and model</h2>", about),
    ]
    name = recipe.card.name or folder.name
    return write_page(folder, name, "fine-tuning", parts, recipes.to_toml(recipe))


def _of_questions(task: FinetuneTask, outputs: SpanOutputs) -> list[str]:
    """Figures of answers, how sure they are, and the worst."""
    answered = Answered.of(task, outputs)
    found = CODECS["span"].figures_of(task.prepared.head, outputs, task.dev)
    return [
        _figures(task, found, intervals_of_answers(answered.exact, answered.overlap)),
        "<h2>How sure it is</h2>",
        calibration(answered.sure, np.array(answered.exact) > 0, "of each answer in its window"),
        "<h2>Worst errors</h2>",
        wrong_answers(task, answered),
    ]


def _of_units(task: FinetuneTask, logits: Floats) -> list[str]:
    """Figures of texts, words or options; classes, how sure the model is, and the worst errors."""
    head, targets, sizes = task.prepared.head, task.dev.targets, task.dev.rows.sizes
    predictions = predictions_of(head, logits)
    found = CODECS[head.traits.task].figures_of(head, logits, task.dev)
    intervals = intervals_of_units(head, targets, predictions, sizes, found)
    parts = [_figures(task, found, intervals)]
    if head.traits.task == "choose":
        parts += ["<h2>By number of options</h2>", by_options(targets, logits)]
    elif head.traits.has_classes:
        parts += ["<h2>Classes</h2>", classes(head, targets, predictions, sizes)]
    if head.traits.loss == "cross_entropy":
        if head.traits.has_classes:
            parts.append(taken_for(head, targets, predictions))
        best, right = probabilities(head, logits).max(-1), predictions == targets
    elif head.traits.loss == "binary_cross_entropy":
        best, right = probabilities(head, logits).ravel(), targets.ravel() > 0
    if head.traits.loss != "mean_squared_error":
        of = _PROBABILITY_OF.get(head.traits.task) or _PROBABILITY_OF[head.traits.loss]
        parts += ["<h2>How sure it is</h2>", calibration(best, right, of)]
    return [*parts, "<h2>Worst errors</h2>", _errors(task, logits)]


# By task; of texts by the loss of their head.
_PROBABILITY_OF = {
    "tag": "of the tag of each word",
    "choose": "of the chosen option",
    "cross_entropy": "of the answer to each text",
    "binary_cross_entropy": "of each class for each text",
}


def _drawn(task: FinetuneTask) -> list[tuple[str, str, float, str]]:
    """The loss and the figure that decides, with what a constant answer has."""
    constant = "a constant answer"
    rows = [("loss", "loss", task.baseline.loss, constant)]
    if task.metric != "loss":
        rows.append((task.metric, TITLES[task.metric], task.baseline.metric, constant))
    return rows


def _figures(task: FinetuneTask, found: Mapping[str, Any], intervals: Intervals) -> str:
    """Each figure of the model, beside that of a constant answer where it is known."""
    head = task.prepared.head
    constant = {task.metric: task.baseline.metric, "loss": task.baseline.loss}
    rows = []
    for name in ("loss", *shown_figures(head, found)):
        interval = "{:.3f} to {:.3f}".format(*intervals[name]) if name in intervals else ""
        line, better = "", ""
        if name in constant:
            line = f"{constant[name]:.3f}"
            said = _compared(name, found[name], constant[name], intervals.get(name))
            better = verdict_cell(said == "beaten", said)
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
    note = (
        f"{found['count']:,} {what}, never trained on. Intervals: of an accuracy Wilson's, else by "
        "drawing the examples again."
    )
    return table(rows, names) + paragraph(note)


def _compared(
    name: str, value: float, constant: float, interval: tuple[float, float] | None
) -> str:
    """Whether a figure beats that of a constant answer, or may do so by chance."""
    if name == "loss":
        return "beaten" if value < constant else "not beaten"
    if value <= constant:
        return "not beaten"
    return "beaten" if interval is None or interval[0] > constant else "not clearly beaten"


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
