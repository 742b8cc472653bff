"""Learning tags: words to tokens, tags to targets, logits of words to figures of entities.

A word is judged by its first token, as google's and transformers' programs for named entities do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from albertkit.data.batch import Batch
from albertkit.errors import TrainingError, listed
from albertkit.tasks.examples import TagExample
from albertkit.tasks.head import TaskHead
from albertkit.tasks.rows import Floats, Ints, Rows, unknown_characters
from albertkit.tasks.tag import split_tag
from albertkit.tasks.tag_metrics import OUTSIDE, bio_labels, entity_scores
from albertkit.tasks.windows import cut_windows
from albertkit.text.encoding import Encoding
from albertkit.text.tokenizer import Tokenizer


def head_for(examples: Sequence[TagExample], kind: str) -> TaskHead:
    """A head for the tags of training examples; of entities both B- and I- of each type.

    Raises:
        TrainingError: every word has the same tag.
    """
    counts = Counter(tag for example in examples for tag in example.tags or ())
    pairs = [split_tag(tag) for tag in counts if tag != OUTSIDE]
    if len(counts) < 2:
        raise TrainingError(
            "All words have the same tag, so there is nothing to learn.",
            expected="at least two tags",
            found=f"{counts.total():,} words with {next(iter(counts), 'no tag')!r}",
            fix="check that it is the right file: a word and its tag on each line",
        )
    if all(mark in ("B", "I") and kind for mark, kind in pairs):
        labels = bio_labels(*sorted({kind for _, kind in pairs}))
    else:
        labels = tuple(sorted(counts))
    return TaskHead(kind, len(labels), labels)


def targets_of(head: TaskHead, examples: Sequence[TagExample], where: object) -> Any:
    """The class of each word of all examples, (U,) int64.

    Raises:
        TrainingError: a tag that the head does not have.
    """
    index = {label: number for number, label in enumerate(head.labels)}
    tags = [tag for example in examples for tag in example.tags or ()]
    unknown = Counter(tag for tag in tags if tag not in index)
    if unknown:
        raise TrainingError(
            "There are tags that the model does not have.",
            expected=listed([repr(label) for label in head.labels], 12),
            found=listed([f"{tag!r} ({count})" for tag, count in unknown.most_common()], 8),
            where=str(where),
            fix="correct these tags, or train with examples of them too",
        )
    return np.array([index[tag] for tag in tags], dtype=np.int64)


def encode(tokenizer: Tokenizer, examples: Sequence[TagExample], max_tokens: int) -> Rows:
    """Sentences as rows, long ones in windows, with the first token of each word."""
    wholes = tokenizer.encode_batch([example.text for example in examples])
    words = [first_tokens(w, e.words) for w, e in zip(wholes, examples, strict=True)]
    return _in_windows(tokenizer, wholes, words, [len(e.words) for e in examples], max_tokens)


def encode_tokens(tokenizer: Tokenizer, wholes: Sequence[Encoding], max_tokens: int) -> Rows:
    """Encoded texts as rows, long ones in windows; a unit is a token that is not special."""
    sizes = [len(whole.ids) - 2 for whole in wholes]
    return _in_windows(tokenizer, wholes, [np.arange(n) for n in sizes], sizes, max_tokens)


def _in_windows(
    tokenizer: Tokenizer,
    wholes: Sequence[Encoding],
    units: Sequence[Ints],
    sizes: Sequence[int],
    max_tokens: int,
) -> Rows:
    """Rows of encoded texts; units: for each token of a text its unit in the text, or -1."""
    encodings: list[Encoding] = []
    bounds, owners, positions = [0], list[Ints](), list[Ints]()
    before = 0
    for whole, unit, size in zip(wholes, units, sizes, strict=True):
        for window, cut in cut_windows(tokenizer, whole, max_tokens):
            at = np.flatnonzero(unit[cut] >= 0)
            encodings.append(window)
            positions.append(at + 1)  # behind [CLS]
            owners.append(unit[cut][at] + before)
            bounds.append(bounds[-1] + len(at))
        before += size
    characters = sum(whole.offsets[-2][1] for whole in wholes if len(whole.ids) > 2)
    unknown = unknown_characters(encodings, tokenizer.unk_id)
    return Rows(
        batch=Batch.of(encodings),
        bounds=np.array(bounds),
        owners=np.concatenate(owners),
        positions=np.concatenate(positions),
        sizes=np.array(sizes, dtype=np.int64),
        unknown=min(1.0, unknown / max(1, characters)),
    )


def first_tokens(whole: Encoding, words: Sequence[str]) -> Ints:
    """For each token without the special ones the word that it begins, or -1: (T - 2,).

    whole: of the words with a space between them. A word that became no token begins nowhere.
    """
    ends = np.cumsum([len(word) + 1 for word in words])
    starts, stops = np.array(whole.offsets[1:-1], dtype=np.int64).reshape(-1, 2).T
    found = np.searchsorted(ends, np.maximum(starts, stops - 1), "right")
    found = np.where(stops > starts, found, -1)  # an empty token begins no word
    seen = np.maximum.accumulate(np.concatenate([[-1], found[:-1]]))
    return np.where(found > seen, found, -1)


def figures_of(head: TaskHead, logits: Floats, targets: Any, sizes: Ints) -> dict[str, float]:
    """Accuracy of U words; for tags of entities their F1, precision and recall too."""
    predictions = logits.argmax(-1)
    right = {"accuracy": float(np.mean(predictions == targets))}
    if not has_entities(head):
        return right
    scores = entity_scores(
        tags_of_words(head, targets, sizes), tags_of_words(head, predictions, sizes)
    )
    return {
        "entity_f1": scores.f1,
        "precision": scores.precision,
        "recall": scores.recall,
        **right,
    }


def tags_of_words(head: TaskHead, classes: Ints, sizes: Ints) -> list[list[str]]:
    """Classes (U,) as the tags of each sentence."""
    names = np.array(head.labels, dtype=object)
    return [list(names[part]) for part in np.split(classes, np.cumsum(sizes)[:-1])]


def is_bio(head: TaskHead) -> bool:
    """Whether the labels are O and B- and I- of types."""
    return all(label == OUTSIDE or split_tag(label)[0] in ("B", "I") for label in head.labels)


def has_entities(head: TaskHead) -> bool:
    """Whether the labels are O and the tags of entities, not parts of speech."""
    marks = {split_tag(label)[0] for label in head.labels if label != OUTSIDE}
    return OUTSIDE in head.labels and "B" in marks and "" not in marks
