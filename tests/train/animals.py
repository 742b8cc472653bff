"""Sentences about cats and dogs, whose class is a word of theirs: what a tiny model learns."""

from __future__ import annotations

import json
import random
from pathlib import Path

VERBS, ENDS = ("sat", "ran"), ("on the mat .", "and ran .", "on a mat", ", and sat .")


def sentences(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(text, "cat" or "dog"), as many of one as of the other; no text twice in a row."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        animal = ("cat", "dog")[number % 2]
        words = [chance.choice(("the", "a")), animal, chance.choice(VERBS), chance.choice(ENDS)]
        extra = " and ".join(chance.choices(("sat", "ran", "on", "mat"), k=number % 5))
        made.append((f"{' '.join(words)} {extra}".strip(), animal))
    return made


def questions(
    count: int, *, words: int = 12, impossible: bool = False, seed: int = 0
) -> list[dict[str, object]]:
    """Rows of questions: what "the" or "a" animal, "cat" or "dog", did; the verb behind it answers.

    words: of each context. impossible: every third question is about an animal that is not there.
    """
    chance = random.Random(seed)
    rows: list[dict[str, object]] = []
    for number in range(count):
        animal, other = chance.sample(("cat", "dog"), 2)
        verb = chance.choice(VERBS)
        around = chance.choices(("the", "mat", "on", "and", ",", "."), k=words - 2)
        place = chance.randrange(words - 2)
        text = [*around[:place], animal, verb, *around[place:]]
        row: dict[str, object] = {"question": f"the {animal}", "context": " ".join(text)}
        if impossible and number % 3 == 0:
            row |= {"question": f"the {other}", "answer": []}
        else:
            row |= {"answer": verb, "answer_start": len(" ".join(text[: place + 1])) + 1}
        rows.append(row)
    return rows


def write_csv(path: Path, count: int, seed: int = 0) -> Path:
    """A table with the columns review and animal."""
    rows = [f'"{text}",{label}' for text, label in sentences(count, seed)]
    path.write_text("\n".join(["review,animal", *rows]) + "\n", encoding="utf-8")
    return path


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    """JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
