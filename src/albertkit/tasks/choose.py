"""Multiple choice: a row for each option of a question; the head gives a score for each row.

google's program for RACE lays a row out as [CLS] context [SEP] question option [SEP], and puts the
option where the question has a "_". It cuts the context where a row becomes too long; here such a
row is read in windows, and the score of the option is the mean over them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from albertkit.data.batch import Batch
from albertkit.tasks.examples import ChoiceExample
from albertkit.tasks.head import TaskHead
from albertkit.tasks.rows import Floats, Rows, unknown_characters
from albertkit.tasks.windows import Windows
from albertkit.text.tokenizer import Tokenizer

_GAP = re.compile("_+")


def head_for(examples: Sequence[ChoiceExample], kind: str) -> TaskHead:
    """A head with one score, whatever the questions are."""
    return TaskHead(kind, 1)


def targets_of(head: TaskHead, examples: Sequence[ChoiceExample], where: object) -> Any:
    """The index of the right option of each question, (N,) int64."""
    return np.array([example.answer for example in examples], dtype=np.int64)


def texts_of(example: ChoiceExample) -> list[tuple[str, str]]:
    """The two texts of the row of each option: context, and question with option.

    Without a context, or without a question, the other one stands before the option.
    """
    if not example.context or not example.question:
        return [(example.context or example.question, option) for option in example.options]
    return [(example.context, asked(example.question, option)) for option in example.options]


def asked(question: str, option: str) -> str:
    """A question with one of its options: in its gap, "_" or "____", or else behind it."""
    if "_" in question:
        return _GAP.sub(lambda _: option, question)
    return f"{question} {option}"


def encode(tokenizer: Tokenizer, examples: Sequence[ChoiceExample], max_tokens: int) -> Rows:
    """A row for each option of each question, or several where it is too long for one."""
    firsts, seconds = firsts_and_seconds(examples)
    return rows_of(tokenizer, examples, Windows.of(tokenizer, firsts, seconds, max_tokens))


def firsts_and_seconds(examples: Sequence[ChoiceExample]) -> tuple[list[str], list[str]]:
    """The two texts of every option of every question."""
    pairs = [pair for example in examples for pair in texts_of(example)]
    return [first for first, _ in pairs], [second for _, second in pairs]


def rows_of(tokenizer: Tokenizer, examples: Sequence[ChoiceExample], windows: Windows) -> Rows:
    """Rows of the windows over the options of all questions."""
    counts = [len(example.options) for example in examples]
    questions = np.repeat(np.arange(len(examples)), counts)
    options = np.concatenate([np.arange(count) for count in counts])
    characters = sum(len(text) for texts in firsts_and_seconds(examples) for text in texts)
    unknown = unknown_characters(windows.encodings, tokenizer.unk_id)
    return Rows(
        batch=Batch.of(windows.encodings),
        bounds=np.arange(len(windows.encodings) + 1),
        owners=questions[windows.owners],
        positions=None,
        sizes=np.ones(len(examples), dtype=np.int64),
        unknown=min(1.0, unknown / max(1, characters)),
        options=options[windows.owners],
    )


def constant_answers(head: TaskHead, targets: Any, rows: Rows) -> Floats:
    """What is known without reading: how often each place was right, as logits (U, options)."""
    counts = rows.num_options
    wide = int(counts.max())
    seen = np.bincount(targets, minlength=wide)[:wide] + 1.0
    logits = np.log(seen).astype(np.float32)
    return np.where(np.arange(wide) < counts[:, None], logits, np.float32(-np.inf))


def right_by_options(logits: Floats, targets: Any) -> list[tuple[int, int, int]]:
    """(number of options, right answers, questions) for each number, logits (N, most options)."""
    sizes = np.isfinite(logits).sum(-1)
    right = logits.argmax(-1) == targets
    return [
        (size, int(right[sizes == size].sum()), int((sizes == size).sum()))
        for size in np.unique(sizes).tolist()
    ]
