"""Answers of fine-tuned heads: classes of texts, numbers, classes of word pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from albertkit.errors import PredictionError
from albertkit.infer.answers import Classification, Label, TokenLabels
from albertkit.infer.batches import Rows, by_length
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.head import TaskHead
from albertkit.tasks.kinds import kinds_where
from albertkit.text.encoding import Encoding
from albertkit.text.tokenizer import Tokenizer

CLASSIFYING = kinds_where(task="classify")

Floats = npt.NDArray[np.float32]
Packing = Callable[[Sequence[Encoding], Sequence[int]], Rows]


def need_head(task: AlbertForTask | None, path: Path, kinds: Sequence[str]) -> AlbertForTask:
    """The model with the head of its task.

    Raises:
        PredictionError: there is no head, or it is for something else.
    """
    if task is not None and task.head.kind in kinds:
        return task
    if task is None:
        fix = "use a checkpoint that was fine-tuned for the task"
    elif task.head.kind == "token_classification":
        fix = "ask it with label_tokens"
    elif task.head.kind in CLASSIFYING:
        fix = "ask it with classify"
    else:
        fix = "run model.loading.build_task on ids yourself: this kind has no question here yet"
    raise PredictionError(
        "This checkpoint has no head that answers this.",
        expected="a head for " + " or ".join(kinds),
        found="no head of a task" if task is None else f"a head for {task.head.kind}",
        where=path,
        fix=fix,
    )


def classify(
    task: AlbertForTask, encodings: Sequence[Encoding], pack: Packing, batch_size: int
) -> list[Classification]:
    """Class or number of each row, in the order of the rows."""
    answers = [Classification()] * len(encodings)
    for rows, logits in _logits(task, encodings, pack, batch_size):
        for index, line in zip(rows.indices, logits, strict=True):
            answers[index] = _judge(task.head, line)
    return answers


def _judge(head: TaskHead, logits: torch.Tensor) -> Classification:
    """What the logits (C,) of one row say."""
    if head.kind == "regression":
        return Classification(value=float(logits[0]))
    several = head.kind == "multi_label"
    scores = logits.sigmoid() if several else logits.softmax(-1)
    order = scores.argsort(descending=True, stable=True).tolist()
    return Classification(tuple(Label(name_of(head, n), float(scores[n])) for n in order))


def label_tokens(
    task: AlbertForTask,
    texts: Sequence[str],
    encodings: Sequence[Encoding],
    pack: Packing,
    batch_size: int,
    tokenizer: Tokenizer,
) -> list[TokenLabels]:
    """The most probable class of each piece of each text, in the order of the texts."""
    answers = [TokenLabels("", (), (), ())] * len(encodings)
    for rows, logits in _logits(task, encodings, pack, batch_size):
        best, classes = logits.softmax(-1).max(-1)  # (S,)
        for index, start in zip(rows.indices, rows.starts, strict=True):
            row = encodings[index]
            inner = range(1, len(row.ids) - 1)  # without [CLS] and [SEP]
            answers[index] = TokenLabels(
                text=texts[index],
                pieces=tuple(tokenizer.pieces[row.ids[n]] for n in inner),
                offsets=tuple(row.offsets[n] for n in inner),
                labels=tuple(
                    Label(name_of(task.head, int(classes[start + n])), float(best[start + n]))
                    for n in inner
                ),
            )
    return answers


def name_of(head: TaskHead, number: int) -> str:
    """Name of a class, or transformers' made-up one."""
    return head.labels[number] if head.labels else f"LABEL_{number}"


def _logits(
    task: AlbertForTask, encodings: Sequence[Encoding], pack: Packing, batch_size: int
) -> Iterator[tuple[Rows, torch.Tensor]]:
    """Batches of rows and their logits on the CPU in float32."""
    for indices in by_length([len(e.ids) for e in encodings], batch_size):
        rows = pack(encodings, indices)
        with torch.inference_mode():
            logits = task(rows.ids, rows.types, lengths=rows.lengths).logits
        yield rows, logits.float().cpu()
