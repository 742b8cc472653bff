"""Questions about paragraphs in SQuAD's JSON, version 1.1 or 2.0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from albertkit.data.example_files import expecting, json_document
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
    bad = bad or BadRows()
    with expecting(path):
        articles = json_document(path)["data"]
        paragraphs = [x for article in articles for x in article["paragraphs"]]
    for number, paragraph in enumerate(paragraphs, 1):
        with expecting(path):
            context, questions = paragraph["context"], paragraph["qas"]
        for question in questions:
            try:
                with expecting(path):
                    example = _question(context, question)
            except CorpusError as error:
                name = question.get("id") if isinstance(question, dict) else None
                error.facts["where"] = f"{path}, paragraph {number}, question {name}"
                bad.refuse(error)
                continue
            yield example


def _question(context: str, question: dict[str, Any]) -> SpanExample:
    found = question.get("answers") or []
    return SpanExample(
        str(question["id"]),
        context,
        question["question"],
        tuple((_placed(context, int(x["answer_start"]), x["text"]), x["text"]) for x in found),
        bool(question.get("is_impossible", False)),
    )


def _placed(context: str, start: int, text: str) -> int:
    """The place of a text nearest to `start`; `start` if it occurs nowhere."""
    if context.startswith(text, start):
        return start
    before, after = context.rfind(text, 0, max(start, 0) + len(text)), context.find(text, start)
    places = [place for place in (before, after) if place >= 0]
    return min(places, key=lambda place: abs(place - start), default=start)
