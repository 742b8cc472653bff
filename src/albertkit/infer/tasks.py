"""Answers of fine-tuned heads: classes of texts, numbers, tags, choices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from albertkit.errors import PredictionError
from albertkit.infer.answers import Choice, Classification, Label, TaggedSpan, Tags, TokenLabels
from albertkit.infer.batches import Runner
from albertkit.infer.engine import Floats
from albertkit.tasks.choose import rows_of
from albertkit.tasks.classify import label_name, log_softmax, probabilities, ranked
from albertkit.tasks.codecs import CODECS
from albertkit.tasks.examples import ChoiceExample
from albertkit.tasks.head import TaskHead
from albertkit.tasks.kinds import kinds_where
from albertkit.tasks.rows import Rows
from albertkit.tasks.tag import group_entities, group_words
from albertkit.tasks.tag_words import encode_tokens
from albertkit.tasks.windows import Windows
from albertkit.text.encoding import Encoding
from albertkit.text.tokenizer import Tokenizer

# What a predictor's method is called for each task of `tasks.kinds`.
METHODS = {"classify": "classify", "tag": "tag", "span": "answer", "choose": "choose"}


def need_head(head: TaskHead | None, path: Path | None, task: str) -> TaskHead:
    """The head, if it is one for this task (of `tasks.kinds`).

    Raises:
        PredictionError: there is no head, or it is for something else.
    """
    if head is not None and head.traits.task == task:
        return head
    fix, command_fix = "use a checkpoint that was fine-tuned for the task", None
    if head is None and task in CODECS:
        fix = f"use a fine-tuned one, as finetune({task!r}, train='examples.csv', out='run') makes"
        command_fix = f"albertkit finetune {task} --train FILE --out run, then --model run/model"
    if head is not None:
        method = METHODS[head.traits.task]
        fix, command_fix = f"ask it with {method}", f"use the command: albertkit {method}"
    raise PredictionError(
        "This checkpoint has no head that answers this.",
        expected="a head for " + " or ".join(kinds_where(task=task)),
        found="no head of a task" if head is None else f"a head for {head.kind}",
        where=path,
        fix=fix,
        command_fix=command_fix,
    )


def logits_of(runner: Runner, rows: Rows) -> Floats:
    """Logits (U, C) of texts or words, the mean over the windows of each."""
    found = []
    for part in runner.parts(rows.batch.lengths.tolist()):
        indices = np.array(part, dtype=np.int64)
        batch = rows.batch.take(indices)
        logits = runner.task_logits(batch)
        if rows.positions is not None:
            logits = logits[rows.places(indices, batch)]
        found.append((rows.outputs_of(indices), logits))
    every = np.zeros((len(rows.owners), found[0][1].shape[1]), dtype=np.float32)
    for outputs, logits in found:
        every[outputs] = logits
    return rows.merge(every)


def classify(runner: Runner, head: TaskHead, rows: Rows) -> list[Classification]:
    """Class or number of each text, in the order of the request."""
    return [classification(head, logits) for logits in logits_of(runner, rows)]


def classification(head: TaskHead, logits: Floats) -> Classification:
    """The answer that the logits (C,) of one text are."""
    if head.kind == "regression":
        return Classification(value=float(logits[0]))
    return Classification(tuple(Label(name, p) for name, p in ranked(head, logits)))


def label_tokens(
    runner: Runner,
    head: TaskHead,
    texts: Sequence[str],
    encodings: Sequence[Encoding],
    tokenizer: Tokenizer,
    max_tokens: int,
) -> list[TokenLabels]:
    """The most probable class of each piece of each text, in the order of the texts.

    max_tokens: longer texts are read in windows.
    """
    rows = encode_tokens(tokenizer, encodings, max_tokens)
    scores = probabilities(head, logits_of(runner, rows))  # (U, C)
    best = scores.argmax(-1)
    answers, begin = [], 0
    for text, encoding, size in zip(texts, encodings, rows.sizes.tolist(), strict=True):
        units = range(begin, begin + size)
        begin += size
        inner = range(1, size + 1)  # without [CLS] and [SEP]
        answers.append(
            TokenLabels(
                text=text,
                pieces=tuple(tokenizer.pieces[encoding.ids[n]] for n in inner),
                offsets=tuple(encoding.offsets[n] for n in inner),
                labels=tuple(
                    Label(label_name(head, int(best[n])), float(scores[n, best[n]])) for n in units
                ),
            )
        )
    return answers


def tags_of(found: TokenLabels, encoding: Encoding) -> Tags:
    """What a text names: words by the class of their first piece, then words of one thing."""
    if not found.pieces:
        return Tags(found.text, ())
    words = group_words(
        [label.name for label in found.labels],
        [label.probability for label in found.labels],
        encoding.word_starts[1:-1],
    )
    spans = []
    for entity in group_entities(words):
        start, end = found.offsets[entity.first][0], found.offsets[entity.last][1]
        text = found.text[start:end]
        spans.append(TaggedSpan(entity.label, text, start, end, entity.probability))
    return Tags(found.text, tuple(spans))


def choose(
    runner: Runner, tokenizer: Tokenizer, questions: Sequence[ChoiceExample], windows: Windows
) -> list[Choice]:
    """The option of each question that the head prefers, in the order of the questions.

    windows: over the sequences of all options.
    """
    logits = logits_of(runner, rows_of(tokenizer, questions, windows))
    return [chosen(q.options, scores) for q, scores in zip(questions, logits, strict=True)]


def chosen(options: Sequence[str], scores: Floats) -> Choice:
    """The choice that the scores (options or more,) of one question are."""
    chances = np.exp(log_softmax(scores))[: len(options)]
    return Choice(int(chances.argmax()), tuple(float(x) for x in chances), tuple(options))
