"""How the examples of each task are given to `finetune`, and what its models say of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from albertkit.benchmarks._protocol import DataSet, Example
from albertkit.infer.evaluate import answers_of, logits_of_examples
from albertkit.infer.predict_answers import answer_of
from albertkit.infer.predictor import Predictor
from albertkit.infer.tasks import need_head
from albertkit.tasks.examples import ChoiceExample, SpanExample, TagExample, TextExample
from albertkit.tasks.kinds import KINDS
from albertkit.tasks.tag_words import tags_of_words


@dataclass(frozen=True)
class Trained:
    """One task.

    row: an example as an object of JSON lines. options: how `finetune` reads these. predict: what
    a model says of examples, by their ids, as `_scores.scores` takes it.
    """

    row: Callable[[Any], dict[str, Any]]
    options: Mapping[str, Any]
    predict: Callable[[Predictor, Sequence[Any]], dict[str, Any]]


def trained(data_set: DataSet) -> Trained:
    """How a data set is trained."""
    return TRAINED[KINDS[data_set.kind].task]


def predict(model: Path, examples: Sequence[Example]) -> dict[str, Any]:
    """What a fine-tuned model says of examples, by their ids."""
    predictor = Predictor(model)
    head = predictor.head
    assert head is not None  # it was fine-tuned
    return TRAINED[head.traits.task].predict(predictor, examples)


def _text_row(example: TextExample) -> dict[str, Any]:
    cells = {"text": example.text, "pair": example.pair, "label": example.label}
    return {name: cell for name, cell in cells.items() if cell is not None}


def _classes(predictor: Predictor, examples: Sequence[TextExample]) -> dict[str, Any]:
    """The class or number of each text."""
    pairs = [x.pair for x in examples if x.pair is not None]
    answers = predictor.classify([x.text for x in examples], pairs or None)
    return {
        example.id: answer.label if answer.value is None else answer.value
        for example, answer in zip(examples, answers, strict=True)
    }


def _tag_row(example: TagExample) -> dict[str, Any]:
    return {"words": example.words, "tags": example.tags}


def _tags(predictor: Predictor, examples: Sequence[TagExample]) -> dict[str, Any]:
    """The tag of each word."""
    head = need_head(predictor.head, predictor.folder, "tag")
    logits, sizes = logits_of_examples(predictor, head, examples)
    tags = tags_of_words(head, logits.argmax(-1), sizes)
    return {example.id: tuple(each) for example, each in zip(examples, tags, strict=True)}


def _choice_row(example: ChoiceExample) -> dict[str, Any]:
    return {
        "context": example.context,
        "question": example.question,
        "options": example.options,
        "answer": None if example.answer is None else example.options[example.answer],
    }


def _choices(predictor: Predictor, examples: Sequence[ChoiceExample]) -> dict[str, Any]:
    """The index of the option of each question."""
    head = need_head(predictor.head, predictor.folder, "choose")
    logits, _ = logits_of_examples(predictor, head, examples)
    return {
        example.id: int(index) for example, index in zip(examples, logits.argmax(-1), strict=True)
    }


def _question_row(example: SpanExample) -> dict[str, Any]:
    starts, texts = zip(*example.answers, strict=True) if example.answers else ((), ())
    return {
        "question": example.question,
        "context": example.context,
        "answers": {"text": texts, "answer_start": starts},
    }


def _answers(predictor: Predictor, examples: Sequence[SpanExample]) -> dict[str, Any]:
    """The answer to each question, "" where there is none."""
    head = need_head(predictor.head, predictor.folder, "span")
    found = answers_of(predictor, head, examples)
    return {e.id: answer_of(head, answer) for e, answer in zip(examples, found, strict=True)}


TRAINED: dict[str, Trained] = {
    "classify": Trained(
        _text_row, {"text_column": "text", "label_column": "label", "pair_column": "pair"}, _classes
    ),
    "tag": Trained(_tag_row, {}, _tags),
    "choose": Trained(
        _choice_row,
        {
            "context_column": "context",
            "question_column": "question",
            "option_columns": ["options"],
            "label_column": "answer",
        },
        _choices,
    ),
    "span": Trained(
        _question_row,
        {"context_column": "context", "question_column": "question", "label_column": "answers"},
        _answers,
    ),
}
