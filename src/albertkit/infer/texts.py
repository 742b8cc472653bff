"""Texts of a question: one or a list of them, with or without their pairs."""

from __future__ import annotations

from collections.abc import Sequence

from albertkit.errors import PredictionError


def as_list(texts: str | Sequence[str]) -> list[str]:
    """One text or several as a list; an error if there is none or something else among them."""
    listed = [texts] if isinstance(texts, str) else list(texts)
    if not listed:
        raise PredictionError(
            "There is no text.", expected="a text, or a list of at least one", found="an empty list"
        )
    for text in listed:
        if not isinstance(text, str):
            raise PredictionError("This is no text.", expected="str", found=type(text).__name__)
    return listed


def as_pairs(a: str | list[str], b: str | list[str] | None) -> tuple[list[str], list[str] | None]:
    """First and second texts; an error unless each first has its second."""
    firsts, seconds = as_list(a), None if b is None else as_list(b)
    if seconds is not None and (
        isinstance(a, str) != isinstance(b, str) or len(firsts) != len(seconds)
    ):
        raise PredictionError(
            "Each first text needs its second text.",
            expected="two texts, or two lists of one length",
            found=f"{len(firsts)} and {len(seconds)}",
        )
    return firsts, seconds


def shown(text: str, number: int, texts: Sequence[str]) -> str:
    """The text, cut, and which one of several it is."""
    short = repr(text if len(text) <= 60 else text[:57] + "...")
    return short if len(texts) == 1 else f"text number {number + 1}, {short}"
