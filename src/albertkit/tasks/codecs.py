"""Tasks as they are learned: one row for each, by the column `task` of tasks.kinds.

What a head's outputs mean when the model is asked is in the files of the tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from albertkit.tasks import choose, classify, figures, span_answers, span_rows, tag_words
from albertkit.tasks.head import TaskHead
from albertkit.tasks.rows import Labelled, Rows


@dataclass(frozen=True)
class Codec:
    """How examples of a task become a head, rows and targets, and what outputs are worth.

    head_for(examples, kind), encode(tokenizer, examples, max_tokens), targets_of(head, examples,
    where): see `classify` and `tag_words`; without targets_of they are the answers in the rows.
    figures_of(head, outputs, held): loss, figures, count, distinct_predictions.
    constant_figures(head, train, held): loss and figures of the best answer of who has seen the
    training targets only.

    Outputs are logits (U, C), or `SpanOutputs`.
    """

    head_for: Callable[[Any, str], TaskHead]
    encode: Callable[..., Rows]
    targets_of: Callable[[TaskHead, Any, object], Any] | None = None
    figures_of: Callable[[TaskHead, Any, Labelled], dict[str, Any]] = figures.figures_of_units
    constant_figures: Callable[[TaskHead, Labelled, Labelled], dict[str, Any]] = (
        figures.constant_figures
    )


CODECS: dict[str, Codec] = {
    "classify": Codec(classify.head_for, classify.encode, classify.targets_of),
    "tag": Codec(tag_words.head_for, tag_words.encode, tag_words.targets_of),
    "choose": Codec(choose.head_for, choose.encode, choose.targets_of),
    "span": Codec(
        span_answers.head_for,
        span_rows.encode,
        figures_of=span_answers.figures_of,
        constant_figures=span_answers.constant_figures,
    ),
}


def labelled(head: TaskHead, examples: Sequence[Any], rows: Rows, where: object) -> Labelled:
    """Examples as rows with what the head should give for them.

    Raises:
        TrainingError: a label that the head does not have.
    """
    if isinstance(rows, span_rows.SpanRows):
        return Labelled(examples, rows, rows.answers)
    targets_of = CODECS[head.traits.task].targets_of
    assert targets_of is not None  # only rows of contexts have answers of their own
    return Labelled(examples, rows, targets_of(head, examples, where))
