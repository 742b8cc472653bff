"""What a predictor answers: plain values that print readably.

Besides their attributes they have the keys of transformers' pipelines (`answer["score"]`), so that
code written for those reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from html import escape
from typing import Any, ClassVar, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

Item = TypeVar("Item")


class Keys:
    """Access by the keys of pipelines. `KEYS`: key and the attribute that it means."""

    KEYS: ClassVar[dict[str, str]] = {}

    def keys(self) -> list[str]:
        """The keys of pipelines; with them `dict(answer)` works."""
        return list(self.KEYS)

    def __getitem__(self, key: str) -> Any:
        if key not in self.KEYS:
            raise KeyError(f"{key!r}; known: {', '.join(self.KEYS)}")
        return getattr(self, self.KEYS[key])

    def get(self, key: str, default: Any = None) -> Any:
        """Value of a key, or the default if there is no such key."""
        return self[key] if key in self.KEYS else default

    def _repr_html_(self) -> str:
        return _table([self])


class Answers(Sequence[Item], Generic[Item]):
    """Several answers, the best first; a key of pipelines asks the best one."""

    def _items(self) -> Sequence[Item]:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    @overload
    def __getitem__(self, index: str) -> Any: ...
    def __getitem__(self, index: int | slice | str) -> Any:
        if isinstance(index, str):
            return self._items()[0][index]  # type: ignore[index]  # every item has keys
        return self._items()[index]

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items())

    def _repr_html_(self) -> str:
        return _table(list(self._items()))


def _table(answers: Sequence[Any]) -> str:
    """A table for notebooks: a line for each answer, a column for each key."""
    if not answers:
        return "<p>nothing found</p>"
    keys = answers[0].keys()
    lines = [[_cell(answer[key]) for key in keys] for answer in answers]
    head = "".join(f"<th>{escape(key)}</th>" for key in keys)
    body = "".join("<tr>" + "".join(f"<td>{x}</td>" for x in line) + "</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else escape(str(value))


def as_json(answer: object) -> Any:
    """An answer as JSON holds it, under our own names: dataclasses as objects, tuples as lists."""
    if is_dataclass(answer):
        return {f.name: as_json(getattr(answer, f.name)) for f in fields(answer)}
    if isinstance(answer, (tuple, list)):
        return [as_json(x) for x in answer]
    return answer.tolist() if isinstance(answer, np.ndarray) else answer


@dataclass(frozen=True)
class Candidate(Keys):
    """One token for one mask, whatever stands in the other masks."""

    KEYS = {"score": "probability", "token": "id", "token_str": "token"}

    token: str  # as it stands in the vocabulary: "▁capital", "##ing"
    id: int
    probability: float

    def __repr__(self) -> str:
        return f"Candidate({self.token!r}, {self.probability:.4f})"


@dataclass(frozen=True)
class Filling(Keys):
    """A text with all of its masks filled; `probability` is that of the tokens together.

    The keys `token` and `token_str` are one value for one mask, and a list for several.
    """

    KEYS = {"score": "probability", "token": "_id", "token_str": "_str", "sequence": "text"}

    text: str
    tokens: tuple[str, ...]  # one for each mask, as they stand in the vocabulary
    ids: tuple[int, ...]
    probability: float

    @property
    def _id(self) -> int | list[int]:
        return self.ids[0] if len(self.ids) == 1 else list(self.ids)

    @property
    def _str(self) -> str | list[str]:
        written = [token.replace("▁", " ").strip() for token in self.tokens]
        return written[0] if len(written) == 1 else written

    def __repr__(self) -> str:
        return f"Filling({self.text!r}, tokens={list(self.tokens)}, {self.probability:.4f})"


@dataclass(frozen=True)
class Fillings(Answers[Filling]):
    """The best fillings of one text, the most probable first; a sequence of `Filling`.

    `masks` has the candidates of each mask for itself, before any other mask is filled.
    """

    text: str
    best: tuple[Filling, ...]
    masks: tuple[tuple[Candidate, ...], ...]

    def _items(self) -> Sequence[Filling]:
        return self.best

    def __repr__(self) -> str:
        return "\n".join(f"{f.probability:6.1%}  {f.text}" for f in self.best)


@dataclass(frozen=True)
class HiddenStates:
    """What every layer makes of every token of one text."""

    pieces: tuple[str, ...]  # T of them, [CLS] and [SEP] included
    offsets: tuple[tuple[int, int], ...]  # characters of the text; (0, 0) for [CLS] and [SEP]
    layers: npt.NDArray[np.float32]  # (layers + 1, T, H); the first are the embeddings

    def __repr__(self) -> str:
        layers, tokens, width = self.layers.shape
        return f"HiddenStates({layers} layers x {tokens} tokens x {width}: {' '.join(self.pieces)})"


@dataclass(frozen=True)
class Label(Keys):
    """One class and how probable it is."""

    KEYS = {"label": "name", "score": "probability"}

    name: str  # as the checkpoint names it; LABEL_0, LABEL_1, ... where it names none
    probability: float

    def __repr__(self) -> str:
        return f"Label({self.name!r}, {self.probability:.4f})"


@dataclass(frozen=True)
class Classification(Keys):
    """What a fine-tuned head says about one text.

    labels: every class, the most probable first. Their probabilities add up to 1, unless the
    head is `multi_label`: there each class is a question of its own. value: the number of a
    head for regression, which has no labels. The keys `label` and `score` are those of the most
    probable class; of a number, LABEL_0 and the number, as in pipelines.
    """

    KEYS = {"label": "_label", "score": "_score"}

    labels: tuple[Label, ...] = ()
    value: float | None = None

    @property
    def label(self) -> str | None:
        """Name of the most probable class; None for regression."""
        return self.labels[0].name if self.labels else None

    @property
    def probability(self) -> float | None:
        """Probability of that class; None for regression."""
        return self.labels[0].probability if self.labels else None

    @property
    def _label(self) -> str:
        return self.label or "LABEL_0"

    @property
    def _score(self) -> float | None:
        return self.probability if self.value is None else self.value

    def __repr__(self) -> str:
        if self.value is not None:
            return f"Classification(value={self.value:.4f})"
        return "\n".join(f"{label.probability:6.1%}  {label.name}" for label in self.labels)

    def _repr_html_(self) -> str:
        return _table(self.labels or [self])


@dataclass(frozen=True)
class TokenLabels:
    """The most probable class of each word piece of one text; without [CLS] and [SEP]."""

    text: str
    pieces: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]  # characters of the text
    labels: tuple[Label, ...]

    def __repr__(self) -> str:
        lines = zip(self.pieces, self.labels, strict=True)
        return "\n".join(f"{x.probability:6.1%}  {x.name}  {piece}" for piece, x in lines)


@dataclass(frozen=True)
class TaggedSpan(Keys):
    """A name of something in a text: characters [start, end) and what kind of thing it is."""

    KEYS = {
        "entity_group": "label",
        "score": "probability",
        "word": "text",
        "start": "start",
        "end": "end",
    }

    label: str
    text: str
    start: int
    end: int
    probability: float

    def __repr__(self) -> str:
        return f"TaggedSpan({self.label}, {self.text!r}, {self.probability:.4f})"


@dataclass(frozen=True)
class Tags(Answers[TaggedSpan]):
    """What is named in one text, in its order; a sequence of `TaggedSpan`."""

    text: str
    found: tuple[TaggedSpan, ...]

    def _items(self) -> Sequence[TaggedSpan]:
        return self.found

    def __repr__(self) -> str:
        return "\n".join(f"{x.probability:6.1%}  {x.label}  {x.text}" for x in self.found)


@dataclass(frozen=True)
class FoundAnswer(Keys):
    """Characters [start, end) of the context that answer a question; "" says that none does."""

    KEYS = {"score": "probability", "start": "start", "end": "end", "answer": "text"}

    text: str
    start: int
    end: int
    probability: float

    def __repr__(self) -> str:
        return f"FoundAnswer({self.text!r}, {self.probability:.4f})"


@dataclass(frozen=True)
class FoundAnswers(Answers[FoundAnswer]):
    """The best answers to one question, the best first; keys ask the best one.

    no_answer: probability that the context does not hold the answer; None where the model was not
    asked that.
    """

    question: str
    best: tuple[FoundAnswer, ...]
    no_answer: float | None = None

    def _items(self) -> Sequence[FoundAnswer]:
        return self.best

    @property
    def text(self) -> str:
        """The best answer."""
        return self.best[0].text

    def __repr__(self) -> str:
        return "\n".join(f"{x.probability:6.1%}  {x.text or '(no answer)'}" for x in self.best)


@dataclass(frozen=True)
class Choice(Keys):
    """Which of several texts fits: its number, and the probability of each; texts: all of them."""

    KEYS = {"label": "number", "score": "probability"}

    number: int
    probabilities: tuple[float, ...]
    texts: tuple[str, ...] = ()

    @property
    def probability(self) -> float:
        """That of the chosen text."""
        return self.probabilities[self.number]

    @property
    def text(self) -> str:
        """The chosen text."""
        return self.texts[self.number] if self.texts else ""

    def __repr__(self) -> str:
        if not self.texts:
            return f"Choice({self.number}, {self.probability:.4f})"
        order = sorted(zip(self.probabilities, self.texts, strict=True), key=lambda x: -x[0])
        return "\n".join(f"{probability:6.1%}  {text}" for probability, text in order)
