"""The classes of a fine-tuning run for report.html: how well each is found, and taken for what."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from albertkit.tasks.by_class import by_class
from albertkit.tasks.choose import right_by_options
from albertkit.tasks.classify import label_name
from albertkit.tasks.head import TaskHead
from albertkit.tasks.metrics import confusion, wilson_interval
from albertkit.tasks.rows import Floats, Ints
from albertkit.train.page import cell, name_cell, number_cell, paragraph, table

MAX_CLASSES = 30
_MAX_MATRIX = 12  # classes of a matrix that a screen still has room for


def classes(head: TaskHead, targets: Any, predictions: Any, sizes: Ints) -> str:
    """Precision, recall and F1 of each class or type, the most frequent first."""
    found = sorted(by_class(head, targets, predictions, sizes), key=lambda of: -of.support)
    rows = [
        [
            name_cell(of.name),
            number_cell(f"{of.support:,}", "support"),
            number_cell(f"{of.precision:.3f}" if of.predicted else "", "precision"),
            number_cell(f"{of.recall:.3f}" if of.support else "", "recall"),
            number_cell(f"{of.f1:.3f}", "F1"),
        ]
        for of in found[:MAX_CLASSES]
    ]
    more = len(found) - len(rows)
    note = paragraph(f"and {more} rarer classes") if more > 0 else ""
    return table(rows, ["class", "support", "precision", "recall", "F1"]) + note


def taken_for(head: TaskHead, targets: Any, predictions: Any) -> str:
    """The confusion matrix; of many classes what each of the most frequent is taken for."""
    counts = confusion(targets, predictions, head.num_labels)
    if head.num_labels > _MAX_MATRIX:
        return _confusions(head, counts)
    names = [label_name(head, n) for n in range(head.num_labels)]
    heads = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)
    lines = [f'<tr><th scope="col">right \\ answer</th>{heads}</tr>']
    for n, row in enumerate(counts.tolist()):
        cells = "".join(
            f'<td class="number{" same" * (m == n)}">{count:,}</td>' for m, count in enumerate(row)
        )
        lines.append(f'<tr><th scope="row">{html.escape(names[n])}</th>{cells}</tr>')
    caption = (
        "<caption>Confusion matrix: a row for each right class, a column for each answer</caption>"
    )
    return f'<div class="wide"><table class="matrix">{caption}{"".join(lines)}</table></div>'


def _confusions(head: TaskHead, counts: Ints) -> str:
    rows = []
    for n in np.argsort(-counts.sum(1), kind="stable")[:MAX_CLASSES].tolist():
        wrong = counts[n].copy()
        wrong[n] = 0
        others = [m for m in np.argsort(-wrong, kind="stable").tolist() if wrong[m]][:3]
        taken = ", ".join(f"{label_name(head, m)} ({wrong[m]:,})" for m in others)
        if taken:
            rows.append([name_cell(label_name(head, n)), cell(taken, "taken for")])
    return table(rows, ["class", "taken for"])


def by_options(targets: Any, logits: Floats) -> str:
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
