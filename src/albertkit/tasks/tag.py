"""Classes of tokens: from the class of each piece to names of things with their characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_BEGIN, _END, _SINGLE = "B", "EL", "SU"  # of the schemes BIO, IOBES and BILOU


@dataclass(frozen=True)
class Entity:
    """Pieces [first, last] that are one thing, and what kind of thing."""

    label: str
    first: int
    last: int
    probability: float  # mean over its pieces


def group_words(
    labels: Sequence[str], scores: Sequence[float], word_starts: Sequence[bool]
) -> list[Entity]:
    """One entity for each word, with the class of its first piece.

    A fine-tuned model is trained on the first piece of each word; what it says of the others is
    left to chance.
    """
    starts = [n for n, begins in enumerate(word_starts) if begins or n == 0]
    ends = [*(n - 1 for n in starts[1:]), len(labels) - 1]
    return [Entity(labels[a], a, b, scores[a]) for a, b in zip(starts, ends, strict=True)]


def group_entities(words: Sequence[Entity], outside: str = "O") -> list[Entity]:
    """Words of one thing together, by the prefixes B-, I- (and E-, L-, S-, U-) of their classes.

    A class without a prefix goes with neighbours of the same class. A thing also begins where an
    I- follows another kind of thing, as conlleval reads it.
    """
    made: list[Entity] = []
    closed = True  # whether the last entity is at its end
    for word in words:
        mark, kind = split_tag(word.label)
        if word.label == outside:
            closed = True
            continue
        fresh = closed or mark in (_BEGIN, *_SINGLE) or made[-1].label != kind
        if fresh:
            made.append(Entity(kind, word.first, word.last, word.probability))
        else:
            held, new = made[-1], word.last - word.first + 1
            size = held.last - held.first + 1
            mean = (held.probability * size + word.probability * new) / (size + new)
            made[-1] = Entity(kind, held.first, word.last, mean)
        closed = mark in (*_END, *_SINGLE)
    return made


def split_tag(label: str) -> tuple[str, str]:
    """Mark and kind of "B-PER" or "B_PER"; "PER" has no mark, "B" alone no kind."""
    if len(label) > 2 and label[0] in "BIELSUM" and label[1] in "-_":
        return label[0], label[2:]
    return (label, "") if label in ("B", "I", "E", "L", "S", "U", "M") else ("", label)
