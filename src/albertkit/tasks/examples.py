"""Examples of each task: what readers of data yield, and what training and evaluation take.

A label that is None is not known: such an example can be predicted, and neither trained nor scored.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TextExample:
    """A text, or a pair of texts, with its class, its classes or its number.

    id: of its source, such as a line number or the official id; unique in its file.
    label: name of a class; several names (perhaps none) for multi_label; a number for regression.
    """

    id: str
    text: str
    pair: str | None = None
    label: str | tuple[str, ...] | float | None = None


@dataclass(frozen=True)
class TagExample:
    """Words of a sentence, each with its tag, as in B-PER, I-PER, O; no tags: not known.

    For Chinese data a word is usually one character.
    """

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...] | None = None

    @property
    def text(self) -> str:
        """The words with a space between them."""
        return " ".join(self.words)


@dataclass(frozen=True)
class ChoiceExample:
    """A question about a context, its options, and the index of the right one (from 0)."""

    id: str
    context: str
    question: str
    options: tuple[str, ...]
    answer: int | None = None

    @property
    def text(self) -> str:
        """The context, or the question where there is none."""
        return self.context or self.question


@dataclass(frozen=True)
class SpanExample:
    """A question about a context, and every accepted answer: (first character, text).

    is_impossible: the context does not hold an answer (SQuAD 2.0); `answers` is empty then. Without
    both the answer is not known. article: what the context is a part of, where that is known.
    """

    id: str
    context: str
    question: str
    answers: tuple[tuple[int, str], ...] = ()
    is_impossible: bool = False
    article: str = ""

    @property
    def text(self) -> str:
        """The context."""
        return self.context
