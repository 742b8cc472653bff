"""The one table of kinds of head. A new kind is a line here, its module and its decoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Kind:
    """What one kind of head is, for everybody who reads, trains, runs or describes it.

    part: first part of the names of its tensors. reads: the pooled vector of a sequence, or its
    tokens. task: the file of this folder that decodes its outputs. loss: how it is trained.
    pipeline: the hub's name of what it does. purpose: the same in words; {count} are the classes.
    num_outputs: where they are fixed. transformers: the class that holds it there, if one does;
    problem_type: what its config says besides.
    """

    part: str
    reads: Literal["pooled", "tokens"]
    task: Literal["classify", "choose", "tag", "span"]
    loss: Literal["cross_entropy", "binary_cross_entropy", "mean_squared_error"]
    pipeline: str
    purpose: str
    num_outputs: int | None = None
    transformers: str | None = None
    problem_type: str | None = None

    @property
    def has_classes(self) -> bool:
        """Whether its outputs are classes, which may have names."""
        return self.num_outputs is None


_SEQUENCE = "AlbertForSequenceClassification"
KINDS: dict[str, Kind] = {
    "classification": Kind(
        *("classifier", "pooled", "classify", "cross_entropy"),
        *("text-classification", "one class of {count} for a text"),
        transformers=_SEQUENCE,
        problem_type="single_label_classification",
    ),
    "multi_label": Kind(
        *("classifier", "pooled", "classify", "binary_cross_entropy"),
        *("text-classification", "any of {count} classes for a text"),
        transformers=_SEQUENCE,
        problem_type="multi_label_classification",
    ),
    "regression": Kind(
        *("classifier", "pooled", "classify", "mean_squared_error"),
        *("text-classification", "a number for a text"),
        num_outputs=1,
        transformers=_SEQUENCE,
        problem_type="regression",
    ),
    # One score for each of several sequences.
    "multiple_choice": Kind(
        *("classifier", "pooled", "choose", "cross_entropy"),
        *("multiple-choice", "a choice among several texts"),
        num_outputs=1,
        transformers="AlbertForMultipleChoice",
    ),
    "token_classification": Kind(
        *("classifier", "tokens", "tag", "cross_entropy"),
        *("token-classification", "one class of {count} for each token"),
        transformers="AlbertForTokenClassification",
    ),
    # Start and end of an answer: google's SQuAD 1 head, and transformers'.
    "span": Kind(
        *("span", "tokens", "span", "cross_entropy"),
        *("question-answering", "start and end of an answer"),
        num_outputs=2,
        transformers="AlbertForQuestionAnswering",
    ),
    # Start, end given the start, and whether there is an answer: google's SQuAD 2 head.
    "beam_span": Kind(
        *("beam_span", "tokens", "span", "cross_entropy"),
        *("question-answering", "start and end of an answer, or that there is none"),
        num_outputs=2,
    ),
}
PARTS = tuple(dict.fromkeys(kind.part for kind in KINDS.values()))


def kinds_where(
    *,
    part: str | None = None,
    reads: str | None = None,
    task: str | None = None,
    count: int | None = None,
) -> tuple[str, ...]:
    """Names of the kinds that fit everything given, in the order of the table.

    count: outputs of the head; one output is a number or a score, several are classes.
    """
    return tuple(
        name
        for name, kind in KINDS.items()
        if part in (None, kind.part)
        and reads in (None, kind.reads)
        and task in (None, kind.task)
        and (count is None or (kind.num_outputs or max(count, 2)) == count)
    )
