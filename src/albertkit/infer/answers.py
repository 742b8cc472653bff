"""What a predictor answers: plain values that print readably."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Candidate:
    """One token for one mask, whatever stands in the other masks."""

    token: str  # as the vocabulary spells it: "▁capital", "##ing"
    id: int
    probability: float

    def __repr__(self) -> str:
        return f"Candidate({self.token!r}, {self.probability:.4f})"


@dataclass(frozen=True)
class Filling:
    """A text with all of its masks filled; `probability` is that of the tokens together."""

    text: str
    tokens: tuple[str, ...]  # one for each mask, as the vocabulary spells them
    ids: tuple[int, ...]
    probability: float

    def __repr__(self) -> str:
        return f"Filling({self.text!r}, tokens={list(self.tokens)}, {self.probability:.4f})"


@dataclass(frozen=True)
class Fillings(Sequence[Filling]):
    """The best fillings of one text, the most probable first; a sequence of `Filling`.

    `masks` has the candidates of each mask for itself, before any other mask is filled.
    """

    text: str
    best: tuple[Filling, ...]
    masks: tuple[tuple[Candidate, ...], ...]

    @overload
    def __getitem__(self, index: int) -> Filling: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Filling]: ...
    def __getitem__(self, index: int | slice) -> Filling | Sequence[Filling]:
        return self.best[index]

    def __len__(self) -> int:
        return len(self.best)

    def __iter__(self) -> Iterator[Filling]:
        return iter(self.best)

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
class Label:
    """One class and how probable it is."""

    name: str  # as the checkpoint names it; LABEL_0, LABEL_1, ... where it names none
    probability: float

    def __repr__(self) -> str:
        return f"Label({self.name!r}, {self.probability:.4f})"


@dataclass(frozen=True)
class Classification:
    """What a fine-tuned head says about one text.

    labels: every class, the most probable first. Their probabilities add up to 1, unless the
    head is `multi_label`: there each class is a question of its own. value: the number of a
    head for regression, which has no labels.
    """

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

    def __repr__(self) -> str:
        if self.value is not None:
            return f"Classification(value={self.value:.4f})"
        return "\n".join(f"{label.probability:6.1%}  {label.name}" for label in self.labels)


@dataclass(frozen=True)
class TokenLabels:
    """The most probable class of each word piece of one text; without [CLS] and [SEP]."""

    text: str
    pieces: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]  # characters of the text
    labels: tuple[Label, ...]

    def __repr__(self) -> str:
        rows = zip(self.pieces, self.labels, strict=True)
        return "\n".join(f"{x.probability:6.1%}  {x.name}  {piece}" for piece, x in rows)
