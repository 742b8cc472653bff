"""Measure a fine-tuned model on examples with labels: `evaluate("run/model", "test.csv")`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from albertkit.data.other_tables import open_table
from albertkit.data.tables import BadRows, OnBadRow
from albertkit.errors import PredictionError
from albertkit.infer.batches import Runner
from albertkit.infer.patience import LayersUsed, with_exits
from albertkit.infer.predictor import Predictor
from albertkit.infer.reading import decoded, windows_of
from albertkit.infer.tasks import logits_of, need_head
from albertkit.progress import Progress, reporting
from albertkit.tasks.by_class import OfClass, by_class
from albertkit.tasks.choice_columns import GivenColumns
from albertkit.tasks.choice_files import read_questions
from albertkit.tasks.choose import right_by_options
from albertkit.tasks.classify import label_name, predictions_of
from albertkit.tasks.codecs import CODECS
from albertkit.tasks.columns import find_columns, text_examples, with_labels
from albertkit.tasks.examples import SpanExample
from albertkit.tasks.figures import deciding_figure, figures_of
from albertkit.tasks.head import TaskHead
from albertkit.tasks.intervals import intervals_of_answers, intervals_of_units
from albertkit.tasks.metrics import confusion
from albertkit.tasks.n_best import decided
from albertkit.tasks.rows import Floats, Ints, joined_logits
from albertkit.tasks.span_answers import (
    Decoded,
    best_threshold,
    figures_of_answers,
    gold_of,
    scores_of,
)
from albertkit.tasks.span_files import AnswerColumns, read_answered
from albertkit.tasks.tag_words import has_entities, is_bio
from albertkit.tasks.tagged_files import as_bio, has_marks, read_tagged

_AT_ONCE = 1024  # texts that are encoded before they are run


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model on N examples.

    figures: loss, the figures of its kind of head, count. intervals: 95 % of each figure that has
    one. classes: of each class, or of each type of entity.
    confusion: how often each class (row) was predicted as each (column), for single classes of
    texts. skipped: rows that were left out, with the reason. by_options: (options, correct,
    support) of questions with so many options, for multiple choice. logits: (U, C) of the texts or
    words; None for answers to questions, which are in answers.
    """

    head: TaskHead
    figures: dict[str, Any]
    intervals: dict[str, tuple[float, float]]
    classes: tuple[OfClass, ...]
    confusion: npt.NDArray[np.int64] | None
    skipped: tuple[str, ...] = ()
    by_options: tuple[tuple[int, int, int], ...] = ()
    logits: Floats | None = None
    answers: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What the command line prints for programs."""
        return {
            "figures": self.figures,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "labels": [label_name(self.head, n) for n in range(self.head.num_labels)]
            if self.head.traits.has_classes
            else [],
            "classes": [of._asdict() for of in self.classes],
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "by_options": [
                dict(zip(("options", "correct", "support"), of, strict=True))
                for of in self.by_options
            ],
            "skipped": list(self.skipped),
        }


def evaluate(
    model: str | Path | Predictor,
    data: str | Path,
    *,
    text_column: str | None = None,
    pair_column: str | None = None,
    label_column: str | None = None,
    question_column: str | None = None,
    context_column: str | None = None,
    option_columns: Sequence[str] | None = None,
    label_separator: str = "|",
    on_bad_row: OnBadRow = "error",
    metric: str = "",
    patience: int | None = None,
    progress: Progress | bool = False,
) -> Evaluation:
    """Compare what a fine-tuned model says with the labels of a file.

    Args:
        model: folder or name of a fine-tuned model, or an open predictor.
        data: examples as `finetune` takes them.
        text_column, pair_column, label_column, question_column, context_column, option_columns:
            as in `finetune`; found by name if left out.
        label_separator: between the labels of a cell, for multi_label.
        on_bad_row: error, or skip.
        metric: figure that comes first; that of the task if left out.
        patience, progress: see `Predictor`; with patience "layers_used" is among the figures.

    Raises:
        CorpusError: the file cannot be read, or a column is not found.
        TrainingError: a label that the model does not have.
        PredictionError: the model was not fine-tuned for this, or there is nothing to compare.
    """
    predictor = model if isinstance(model, Predictor) else Predictor(model)
    runner = _runner(predictor, patience)
    head, bad = head_to_measure(predictor), BadRows(on_bad_row)
    names = {
        "text": text_column,
        "pair": pair_column,
        "label": label_column,
        "question": question_column,
        "context": context_column,
    }
    examples = _read(head, data, names, tuple(option_columns or ()), label_separator, bad)
    _refuse_none(examples, data)
    skipped = tuple(bad.skipped)
    with reporting(progress, "examples", len(examples)) as report:
        if head.traits.task == "span":
            found = _measured_answers(predictor, head, examples, skipped, report)
        else:
            targets = _targets(head, examples, data)
            outputs = logits_of_examples(predictor, head, examples, runner, report)
            found = _measured_units(head, targets, *outputs, skipped)
    found.figures["metric"] = deciding_figure(head, metric)
    if runner.patience is not None:
        found.figures["layers_used"] = runner.used.mean
    return found


def _refuse_none(examples: Sequence[Any], data: str | Path) -> None:
    if not examples:
        raise PredictionError(
            "The file has no examples.",
            expected="examples with labels",
            found="none",
            where=str(data),
            fix="check that it is the right file",
        )


def _runner(predictor: Predictor, patience: int | None) -> Runner:
    """The runner of a predictor with a patience, or its own, and a count of layers for itself."""
    patience = predictor.patience if patience is None else patience
    if patience is not None:
        with_exits(predictor.engine, patience)
    return replace(predictor.runner, patience=patience, used=LayersUsed())


def _targets(head: TaskHead, examples: Sequence[Any], data: str | Path) -> Any:
    targets_of = CODECS[head.traits.task].targets_of
    assert targets_of is not None  # other tasks have other figures
    return targets_of(head, examples, data)


def _read(
    head: TaskHead,
    data: str | Path,
    names: Mapping[str, str | None],
    options: tuple[str, ...],
    separator: str,
    bad: BadRows,
) -> list[Any]:
    """The examples of a file for a head; names: of columns, None for those found by name."""
    task, question, context = head.traits.task, names["question"], names["context"]
    if task == "span":
        columns = AnswerColumns(question or "", context or "", names["label"] or "")
        return list(read_answered(data, bad, columns, split="dev"))
    if task == "choose":
        given = GivenColumns(context, question, options, names["label"])
        return list(read_questions(data, given, bad, split="dev")[0])
    if task == "tag":
        tagged = list(read_tagged(data, bad))
        return as_bio(tagged) if has_marks(tagged) and is_bio(head) else tagged
    table = open_table(data, "dev")
    found = find_columns(table, text=names["text"], pair=names["pair"], label=names["label"])
    raw = list(text_examples(table, found, bad))
    return with_labels(raw, head.kind, table.path, separator=separator, bad=bad)


def head_to_measure(predictor: Predictor) -> TaskHead:
    """The head of a model, if examples of its task can be read.

    Raises:
        PredictionError: it has none, or another one.
    """
    head = predictor.head
    task = head.traits.task if head is not None and head.traits.task in CODECS else "classify"
    return need_head(head, predictor.folder, task)


def logits_of_examples(
    predictor: Predictor,
    head: TaskHead,
    examples: Sequence[Any],
    runner: Runner | None = None,
    report: Progress | None = None,
) -> tuple[Floats, Ints]:
    """Logits (U, C) of texts or words in their order, and the units of each example.

    runner: instead of that of the predictor. report: called with ("examples", done, total).
    """
    runner = runner or predictor.runner
    parts, sizes = [], []
    for begin in range(0, len(examples), _AT_ONCE):
        part = examples[begin : begin + _AT_ONCE]
        encode = CODECS[head.traits.task].encode
        rows = encode(predictor.tokenizer, part, predictor.max_window)
        within = None if report is None else _share_of(report, begin, len(part), len(examples))
        parts.append(logits_of(replace(runner, progress=within or False), rows))
        sizes.append(rows.sizes)
    return joined_logits(parts), np.concatenate(sizes)


def _share_of(report: Progress, begin: int, count: int, total: int) -> Progress:
    """Reports on the rows of `count` examples from `begin` on as reports on examples."""
    return lambda _, done, rows: report("examples", begin + count * done // (rows or 1), total)


def _measured_answers(
    predictor: Predictor,
    head: TaskHead,
    examples: Sequence[SpanExample],
    skipped: tuple[str, ...],
    report: Progress | None,
) -> Evaluation:
    """Figures of answers at the threshold of the head, and the best threshold for these questions.

    There is no loss: an engine does not give it for every head.
    """
    found = []
    for answer in answers_of(predictor, head, examples):
        found.append(answer)
        if report is not None:
            report("examples", len(found), len(examples))
    gold = gold_of(examples)
    threshold = head.threshold
    figures = figures_of_answers(gold, found, threshold)
    if threshold is not None:
        best = best_threshold(gold, found)
        at_best = figures_of_answers(gold, found, best)
        figures |= {"best_f1": at_best["f1"], "best_f1_threshold": best}
    answers = [decided(x.best, x.no_answer, threshold) for x in found]
    intervals = intervals_of_answers(*scores_of(gold, answers))
    return Evaluation(head, figures, intervals, (), None, skipped, answers=tuple(answers))


def answers_of(
    predictor: Predictor, head: TaskHead, examples: Sequence[SpanExample]
) -> Iterator[Decoded]:
    """The answers to questions, in windows as long as the model was fine-tuned with."""
    tokenizer = predictor.tokenizer
    longest, stride = windows_of(tokenizer, predictor.max_window)
    return decoded(predictor.runner, head, tokenizer, examples, max_tokens=longest, stride=stride)


def _measured_units(
    head: TaskHead, targets: Any, logits: Floats, sizes: Ints, skipped: tuple[str, ...]
) -> Evaluation:
    """Figures of logits (U, C) of texts or words, their intervals, and each class."""
    figures = figures_of(head, logits, targets, sizes)
    predictions = predictions_of(head, logits)
    intervals = intervals_of_units(head, targets, predictions, sizes, figures)
    classes, table = by_class(head, targets, predictions, sizes), None
    of_entities = head.traits.task == "tag" and has_entities(head)
    if classes and head.kind != "multi_label" and not of_entities:
        table = confusion(targets, predictions, head.num_labels)
    chosen = head.traits.task == "choose"
    by_options = tuple(right_by_options(logits, targets)) if chosen else ()
    return Evaluation(head, figures, intervals, classes, table, skipped, by_options, logits)
