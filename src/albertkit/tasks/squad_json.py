"""Questions about paragraphs in SQuAD's JSON, version 1.1 or 2.0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from albertkit.data.example_files import expecting, json_document, skippable
from albertkit.data.tables import BadRows
from albertkit.errors import CorpusError
from albertkit.tasks.examples import SpanExample


def read_squad(path: Path, *, bad: BadRows | None = None) -> Iterator[SpanExample]:
    """Every question of a file; CMRC 2018 and DRCD are written like this too.

    An answer that is not at its place is moved to where its text stands next to it; one whose text
    does not occur (193 of 9,657 in CMRC 2018's dev set) stays as it is: it can be scored, and not
    trained. bad: whether a question that lacks something is an error or left out.

    Raises:
        CorpusError: for such a question, with its id; or the file is not JSON of this form.
    """
    may_skip, bad = bad is not None, bad or BadRows()
    with expecting(path):
        articles = json_document(path)["data"]
        paragraphs = [(x, article) for article in articles for x in _paragraphs(article)]
    for number, (paragraph, article) in enumerate(paragraphs, 1):
        with expecting(path):
            context, questions = paragraph["context"], list(paragraph["qas"])
        for question in questions:
            try:
                with expecting(path):
                    example = _question(context, question, str(article.get("title") or ""))
            except CorpusError as error:
                name = question.get("id") if isinstance(question, dict) else None
                error.facts["where"] = f"{path}, paragraph {number}, question {name}"
                bad.refuse(skippable(error) if may_skip else error)
                continue
            yield example


def _paragraphs(article: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """The paragraphs of an article; a question that has a context of its own is one by itself."""
    if "paragraphs" not in article and "question" in article:
        return [{"context": article["context"], "qas": [article]}]
    found: Sequence[dict[str, Any]] = article["paragraphs"]
    return found


def _question(context: str, question: dict[str, Any], article: str) -> SpanExample:
    found = question.get("answers") or []
    if isinstance(found, dict):  # as `datasets` has them
        pairs = zip(found["text"], found["answer_start"], strict=True)
        found = [{"text": text, "answer_start": start} for text, start in pairs]
    return SpanExample(
        str(question["id"]),
        context,
        question["question"],
        tuple((placed(context, int(x["answer_start"]), x["text"]), x["text"]) for x in found),
        bool(question.get("is_impossible", False)),
        article,
    )


def placed(context: str, start: int, text: str) -> int:
    """The place of a text nearest to `start`; `start` if it occurs nowhere.

    Spaces around the text count as its own, whether they are in the context or not.
    """
    before_word = len(text) - len(text.lstrip())
    word, at = text.strip(), max(start + before_word, 0)
    if context.startswith(word, at):
        return at - before_word
    before, after = context.rfind(word, 0, at + len(word)), context.find(word, at)
    places = [place - before_word for place in (before, after) if place >= 0]
    return min(places, key=lambda place: abs(place - start), default=start)
