"""Texts of a question: one or a list of them, with or without their pairs, and their tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from albertkit.errors import PredictionError, TextError
from albertkit.tasks.examples import ChoiceExample
from albertkit.text.encoding import Encoding
from albertkit.text.tokenizer import Tokenizer


def as_list(texts: str | Sequence[str]) -> list[str]:
    """One text or several as a list; an error for an empty list and for other things than texts."""
    if isinstance(texts, (bytes, Mapping)) or not isinstance(texts, Iterable):
        raise _no_text(type(texts).__name__)
    listed = [texts] if isinstance(texts, str) else list(texts)
    if not listed:
        raise PredictionError(
            "There is no text.",
            expected="a text, or a list of at least one",
            found="an empty list",
            fix="pass at least one text",
        )
    for number, text in enumerate(listed):
        if not isinstance(text, str):
            raise _no_text(f"{type(text).__name__}, text number {number + 1} of {len(listed)}")
    return listed


def _no_text(found: str) -> PredictionError:
    return PredictionError("A text must be a str.", found=found, fix="pass a str or a list of str")


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
            fix="pass two texts, or two lists of the same length",
        )
    return firsts, seconds


def as_questions(
    question: str | list[str], options: Sequence[Any], context: str | list[str] | None
) -> list[ChoiceExample]:
    """One question or several, each with its options and perhaps the text that it is about."""
    questions, contexts = as_pairs(question, context)
    many = [options] if isinstance(question, str) else list(options)
    if len(many) != len(questions):
        raise PredictionError(
            "Each question needs its options.",
            expected="a question with a list of texts, or a list of questions with as many lists",
            found=f"{len(questions)} questions, options for {len(many)}",
            fix="pass a list of options for each question",
        )
    texts = contexts or [""] * len(questions)
    return [
        ChoiceExample("", about, asked, tuple(as_list(each)))
        for asked, each, about in zip(questions, many, texts, strict=True)
    ]


def shown(text: str, number: int, texts: Sequence[str]) -> str:
    """The text, cut, and which one of several it is."""
    short = repr(text if len(text) <= 60 else text[:57] + "...")
    return short if len(texts) == 1 else f"text number {number + 1}, {short}"


def refuse_empty(texts: Sequence[str], count: int) -> None:
    """Refuse a text without a character; count: of the first texts, whose seconds come behind.

    Raises:
        TextError: with its number.
    """
    for number, text in enumerate(texts):
        if not text.strip():
            raise TextError(
                "A text is empty.",
                expected="at least one character that is not a space",
                found=repr(text) if count == 1 else f"text number {number % count + 1} of {count}",
                fix="leave empty texts out",
                command_fix="give a text; --on-bad-line skip leaves out empty lines",
            )


def encode_texts(
    tokenizer: Tokenizer,
    texts: list[str],
    seconds: list[str] | None,
    limit: int,
    *,
    truncate: bool,
    allow_mask: bool = False,
) -> list[Encoding]:
    """Encode everything before anything is computed, so that errors come at once.

    limit: most tokens that the model reads. truncate: cut what is longer.

    Raises:
        TextError: a text is empty, or too long and not to be cut.
    """
    refuse_empty([*texts, *(seconds or [])], len(texts))
    given: Sequence[str | None] = seconds or [None] * len(texts)
    pairs = list(zip(texts, given, strict=True))
    cut_to = limit if truncate else None
    made = tokenizer.encode_batch(pairs, max_tokens=cut_to, allow_mask=allow_mask)
    for number, encoding in enumerate(made):
        if len(encoding.ids) > limit:
            raise TextError(
                "A text is longer than the model can read.",
                expected=f"at most {limit} tokens, special tokens included",
                found=f"{len(encoding.ids)} tokens: {shown(texts[number], number, texts)}",
                fix="shorten or split it, or pass truncate=True to cut it",
                command_fix="shorten or split it, or add --truncate to cut it",
            )
    return made
