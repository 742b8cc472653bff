"""Files of examples to begin from: those of benchmarks, and those of users by their task.

`SOURCES`: each a function that reads a file with these bytes as a user's command would, the name of
the file, and a good one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from official_files import CASES, SQUAD  # noqa: E402  # beside the tests of their readers

Read = Callable[[Path], None]
COUNT = 12  # examples of a user's file, a few more than training needs
MAX_TOKENS = 32


def _lines(make: Callable[[int], Any]) -> str:
    return "".join(json.dumps(make(number)) + "\n" for number in range(COUNT))


def _table(head: str, make: Callable[[int], str]) -> str:
    return "".join(f"{line}\n" for line in (head, *map(make, range(COUNT))))


_ANSWER = {"text": ["cat"], "answer_start": [4]}
_DIALOGUE = {"question": "q", "choice": ["a", "b", "c"], "answer": "a"}
USERS: list[tuple[str, str, str]] = [
    ("classify", "x.csv", _table("text,label", lambda n: f'"a {n}, b",{n % 2}')),
    ("classify", "x.tsv", _table("text\tlabel", lambda n: f"a {n}\t{n % 2}")),
    ("classify", "x.jsonl", _lines(lambda n: {"text": f"a {n}", "label": "xy"[n % 2]})),
    ("classify", "x.jsonl", _lines(lambda n: {"text": f"a {n}", "label": ["x", "y"][: n % 3]})),
    ("classify", "x.jsonl", _lines(lambda n: {"a": f"a {n}", "b": "c", "label": n / 3})),
    ("tag", "x.txt", "EU B-ORG\nis O\n\n" * COUNT),
    ("tag", "x.jsonl", _lines(lambda n: {"tokens": ["EU", f"{n}"], "ner_tags": ["B-A", "O"]})),
    (
        *("choose", "x.jsonl"),
        _lines(
            lambda n: {"context": f"c {n}", "question": "q", "options": ["a", "b"], "answer": 1}
        ),
    ),
    ("choose", "x.csv", _table("question,a,b,answer", lambda n: f"q {n},x,y,{'ab'[n % 2]}")),
    ("choose", "x.json", json.dumps([[[f"d {n}"], [_DIALOGUE], f"{n}"] for n in range(COUNT)])),
    (
        *("span", "x.jsonl"),
        _lines(lambda n: {"context": f"the cat {n}", "question": "who?", "answers": _ANSWER}),
    ),
    ("span", "x.csv", _table("context,question,answer", lambda n: f"the cat {n},who?,cat")),
    ("span", "x.json", json.dumps({"data": SQUAD["data"] * 4})),
]


def read_benchmark(name: str, split: str, beside: dict[str, str], path: Path) -> None:
    """Examples of a data set, and the rows of the first of them; beside: its other files."""
    from albertkit.benchmarks import find_sets
    from albertkit.tasks.kinds import KINDS
    from albertkit.train.finetune_data import encoded

    folder = path.parent
    for other, content in beside.items():
        (folder / other).write_text(content, encoding="utf-8")
    [data_set] = find_sets(name)
    examples = list(data_set.examples(folder, split))[:4]
    if examples:
        encoded(KINDS[data_set.kind].task, _tokenizer(), examples, MAX_TOKENS)


def read_users(task: str, path: Path) -> None:
    """A user's file as `albertkit finetune` reads it, and the rows of its first examples."""
    from albertkit.train.finetune_data import Examples, encoded
    from albertkit.train.finetune_recipe import ExampleSettings

    found = Examples.read(task, ExampleSettings(train=path, on_bad_row="skip"), "auto")
    encoded(task, _tokenizer(), found.train[:4], MAX_TOKENS)


@cache
def _tokenizer() -> Any:
    """The one that ships: it is there without a download."""
    import albertkit
    from albertkit.text.tokenizer import Tokenizer

    return Tokenizer.load(Path(albertkit.__file__).parent / "weights" / "tiny-en")


def _sources() -> list[tuple[Read, str, bytes]]:
    found: list[tuple[Read, str, bytes]] = []
    for name, split, files, _ in CASES:
        for file, content in files.items():
            beside = {other: text for other, text in files.items() if other != file}
            found.append((partial(read_benchmark, name, split, beside), file, content.encode()))
    found += [(partial(read_users, task), file, text.encode()) for task, file, text in USERS]
    return found


SOURCES = _sources()
