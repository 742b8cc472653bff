"""Guesses for hidden words beside the right one, as both demos show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from albertkit.infer.predictor import Predictor
from albertkit.text.tokenizer import MASK

_BEFORE, _AFTER = 70, 50  # characters around the mask that fit a terminal


@dataclass(frozen=True)
class Masks:
    """How many masks were shown, and how many guessed."""

    shown: int
    right_first: int
    right_in_five: int


def show_masks(
    console: Console, title: str, questions: Sequence[tuple[str, str]], predictor: Predictor
) -> Masks:
    """Fill the mask of each text with five guesses.

    questions: texts with one [MASK] each, and the piece that stands there in truth.
    """
    answers = predictor.fill_mask([text for text, _ in questions], top_k=5)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(title, ratio=1, overflow="fold")
    table.add_column("right")
    table.add_column("guesses", max_width=28)
    first = five = 0
    for (text, right), fillings in zip(questions, answers, strict=True):
        guesses = [filling.tokens[0].removeprefix("▁") or "▁" for filling in fillings]
        first += guesses[0] == right
        five += right in guesses
        before, after = text.split(MASK)
        marked = Text.assemble(_end(before, _BEFORE), (MASK, "bold yellow"), _begin(after, _AFTER))
        listed = [Text(guess, "bold green" if guess == right else "") for guess in guesses]
        table.add_row(marked, right, Text(" ").join(listed))
    console.print(table)
    return Masks(len(questions), first, five)


def _begin(text: str, limit: int) -> str:
    """As much of a text as fits, up to the end of a word; Chinese is cut between characters."""
    if len(text) <= limit:
        return text
    kept, space, _ = text[:limit].rpartition(" ")
    return (kept if space else text[:limit]) + " …"


def _end(text: str, limit: int) -> str:
    """The same from the end of the text."""
    return _begin(text[::-1], limit)[::-1]
