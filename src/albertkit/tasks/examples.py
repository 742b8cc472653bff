"""Examples of each task: what readers of data yield, and what training and evaluation take.

A label that is None is not known: such an example can be predicted, and neither trained nor scored.
Each raises TypeError or ValueError for what its task cannot read, whatever file it was made from.
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

    def __post_init__(self) -> None:
        _need_texts(text=self.text, pair="" if self.pair is None else self.pair)


@dataclass(frozen=True)
class TagExample:
    """Words of a sentence, each with its tag, as in B-PER, I-PER, O; no tags: not known.

    For Chinese data a word is usually one character.
    """

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for each in set(map(type, (*self.words, *(self.tags or ())))):
            if not issubclass(each, str):
                raise TypeError(f"a word or tag is a {each.__name__}, not a text")
        if self.tags is not None and len(self.tags) != len(self.words):
            raise ValueError(f"{len(self.words)} words, {len(self.tags)} tags")

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

    def __post_init__(self) -> None:
        _need_texts(context=self.context, question=self.question)
        _need_texts(**{f"option {number}": each for number, each in enumerate(self.options, 1)})
        if self.answer is not None and self.answer not in range(len(self.options)):
            raise ValueError(
                f"answer {self.answer}, counted from 0, of {len(self.options)} options"
            )

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

    def __post_init__(self) -> None:
        _need_texts(context=self.context, question=self.question)

    @property
    def text(self) -> str:
        """The context."""
        return self.context


def _need_texts(**values: object) -> None:
    for name, value in values.items():
        if not isinstance(value, str):
            raise TypeError(f"{name} is a {type(value).__name__}, not a text")
