"""Classes of a text, or a number: labels to targets, outputs to answers.

For training, validation, evaluation and prediction alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from albertkit.data.batch import Batch
from albertkit.errors import TrainingError, listed
from albertkit.tasks.examples import TextExample
from albertkit.tasks.head import TaskHead
from albertkit.tasks.rows import Floats, Rows, unknown_characters
from albertkit.tasks.windows import Windows
from albertkit.text.tokenizer import Tokenizer

MAX_SHARE_OF_CLASSES = 0.5  # more classes than half of the examples: the column holds no classes


def head_for(examples: Sequence[TextExample], kind: str) -> TaskHead:
    """A head for the labels of training examples; its labels are in order, numbers by value.

    Raises:
        TrainingError: one class only, or about as many classes as examples.
    """
    if kind == "regression":
        return TaskHead("regression", 1)
    counts = Counter(name for example in examples for name in names_of(example))
    labels = tuple(sorted(counts, key=_in_order))
    if len(labels) < 2 and kind == "classification":
        raise TrainingError(
            "All training examples have the same label, so there is nothing to learn.",
            expected="at least two classes",
            found=f"{len(examples):,} examples of class {labels[0]!r}" if labels else "no class",
            fix="check the label column and the file: label_column=...",
            command_fix="check the label column and the file: --label-column NAME",
        )
    if not labels:
        raise TrainingError(
            "No training example has a label.",
            expected="at least one class",
            found=f"{len(examples):,} examples without any",
            fix="check the label column: label_column=...",
            command_fix="check the label column: --label-column NAME",
        )
    if len(labels) > max(20, MAX_SHARE_OF_CLASSES * len(examples)):
        raise TrainingError(
            "There are about as many classes as examples.",
            expected="several examples of each class",
            found=f"{len(labels):,} classes in {len(examples):,} examples: "
            + listed([repr(label) for label in labels], 4),
            fix="check the label column, label_column=...; for numbers pass kind='regression'",
            command_fix="check the label column, --label-column NAME; for numbers add "
            "--kind regression",
        )
    return TaskHead(kind, len(labels), labels)


def _in_order(label: str) -> tuple[bool, float, str]:
    """Numbers by their value, then words by their letters."""
    try:
        return False, float(label), label
    except ValueError:
        return True, 0.0, label


def names_of(example: TextExample) -> tuple[str, ...]:
    """The classes of an example as names."""
    if example.label is None:
        return ()
    return example.label if isinstance(example.label, tuple) else (str(example.label),)


def targets_of(head: TaskHead, examples: Sequence[TextExample], where: object) -> Any:
    """What the head should give: classes (N,) int64, numbers (N,) or 0 and 1 (N, C) float32.

    Raises:
        TrainingError: a label that the head does not have.
    """
    if head.kind == "regression":
        return np.array([example.label for example in examples], dtype=np.float32)
    index = {label: number for number, label in enumerate(head.labels)}
    unknown = Counter(x for example in examples for x in names_of(example) if x not in index)
    if unknown:
        names = [f"{name!r} ({count})" for name, count in unknown.most_common()]
        raise TrainingError(
            "There are labels that the model does not have.",
            expected=listed([repr(label) for label in head.labels], 8),
            found=listed(names, 8),
            where=str(where),
            fix="correct these labels, or train with examples of them too",
        )
    if head.kind == "multi_label":
        made = np.zeros((len(examples), head.num_labels), dtype=np.float32)
        for row, example in zip(made, examples, strict=True):
            row[[index[name] for name in names_of(example)]] = 1
        return made
    return np.array([index[names_of(example)[0]] for example in examples], dtype=np.int64)


def encode(tokenizer: Tokenizer, examples: Sequence[TextExample], max_tokens: int) -> Rows:
    """Texts as rows, long ones in windows; the head gives one output for each row."""
    texts, pairs = [e.text for e in examples], [e.pair for e in examples]
    windows = Windows.of(tokenizer, texts, pairs, max_tokens)
    characters = sum(len(e.text) + len(e.pair or "") for e in examples)
    unknown = unknown_characters(windows.encodings, tokenizer.unk_id)
    return Rows(
        batch=Batch.of(windows.encodings),
        bounds=np.arange(len(windows.encodings) + 1),
        owners=windows.owners,
        positions=None,
        sizes=np.ones(len(examples), dtype=np.int64),
        unknown=min(1.0, unknown / max(1, characters)),
    )


def predictions_of(head: TaskHead, logits: Floats) -> Any:
    """Logits (N, C) as predictions of the form of `targets_of`; multi_label: above one half."""
    if head.kind == "regression":
        return logits[:, 0]
    if head.kind == "multi_label":
        return (logits > 0).astype(np.float32)
    return logits.argmax(-1).astype(np.int64)


def losses_of(head: TaskHead, logits: Floats, targets: Any) -> npt.NDArray[np.float64]:
    """The loss (N,) of each text: -log p in nats, its mean over classes, or the squared error."""
    wide = logits.astype(np.float64)
    if head.kind == "regression":
        return np.asarray(np.square(wide[:, 0] - targets))
    if head.kind == "multi_label":
        return np.asarray((np.logaddexp(0, wide) - wide * targets).mean(-1))
    top = wide.max(-1, keepdims=True)
    whole = np.log(np.exp(wide - top).sum(-1)) + top[:, 0]
    return np.asarray(whole - wide[np.arange(len(wide)), targets])


def constant_logits(head: TaskHead, targets: Any) -> Floats:
    """The best answer (C,) of who does not read the text: the frequencies of the classes, the mean.

    Its loss is the entropy of the labels, or their variance.
    """
    if head.kind == "regression":
        return np.array([targets.mean()], dtype=np.float32)
    if head.kind == "multi_label":
        share = (targets.sum(0) + 0.5) / (len(targets) + 1)
        return np.asarray(np.log(share / (1 - share)), dtype=np.float32)
    counts = np.bincount(targets, minlength=head.num_labels) + 1e-3
    return np.asarray(np.log(counts / counts.sum()), dtype=np.float32)


def constant_answers(head: TaskHead, targets: Any, rows: Rows) -> Floats:
    """`constant_logits` of training targets as the answer (U, C) to every unit of some rows."""
    return np.tile(constant_logits(head, targets), (rows.num_units, 1))


def probabilities(head: TaskHead, logits: Floats) -> Floats:
    """Logits (..., C) as probabilities; they add up to 1 unless the head is `multi_label`."""
    if head.kind == "multi_label":
        return np.asarray(np.exp(-np.logaddexp(0, -logits)), dtype=np.float32)
    return np.asarray(np.exp(log_softmax(logits)), dtype=np.float32)


def log_softmax(logits: Floats) -> Floats:
    """Logarithms of the probabilities over the last axis."""
    shifted: Floats = logits - logits.max(-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(-1, keepdims=True))
    return shifted


def label_name(head: TaskHead, number: int) -> str:
    """Name of a class; LABEL_0, LABEL_1, ... as transformers does where it has none."""
    return head.labels[number] if head.labels else f"LABEL_{number}"


def ranked(head: TaskHead, logits: Floats) -> list[tuple[str, float]]:
    """Every class of one text, logits (C,), with its probability, the most probable first."""
    scores = probabilities(head, logits)
    order = np.argsort(-scores, kind="stable")
    return [(label_name(head, int(n)), float(scores[n])) for n in order]
