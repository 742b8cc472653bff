"""JSON and TOML nested very deep, or with a very long number, wherever a file of a user is read.

Python's parsers raise RecursionError for the one, and a ValueError that is no JSONDecodeError for
the other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from albertkit.cli.options import read_overrides
from albertkit.data.shards import Shards
from albertkit.data.tables import BadRows, Table
from albertkit.data.text_formats import read_jsonl
from albertkit.errors import AlbertkitError
from albertkit.infer.growing import growing_file
from albertkit.settings import load
from albertkit.tasks.choice_columns import GivenColumns
from albertkit.tasks.choice_files import read_questions
from albertkit.tasks.squad_json import read_squad
from albertkit.train.metrics import read_metrics
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.start import START, Origin, read_start

VALUES = {"nested": "[" * 100_000, "long": "9" * 5000}


def recipe(folder: Path, value: str) -> None:
    (folder / "a.toml").write_text(f"run = {value}")
    load(folder / "a.toml", PretrainingRecipe)


def override(folder: Path, value: str) -> None:
    load("demo", PretrainingRecipe, [f"run.seed={value}"])


def questions(folder: Path, value: str) -> None:
    (folder / "a.json").write_text(f'{{"a": {value}')
    list(read_questions(folder / "a.json", GivenColumns(), BadRows())[0])


def squad(folder: Path, value: str) -> None:
    (folder / "a.json").write_text(f'{{"data": {value}')
    list(read_squad(folder / "a.json"))


def table(folder: Path, value: str) -> None:
    (folder / "a.jsonl").write_text(f'{{"text": {value}\n')
    list(Table(folder / "a.jsonl").rows())


def corpus(folder: Path, value: str) -> None:
    list(read_jsonl([f'{{"text": {value}}}'], "a.jsonl"))


def shards(folder: Path, value: str) -> None:
    (folder / "index.json").write_text(value)
    Shards(folder)


def metrics(folder: Path, value: str) -> None:
    (folder / "metrics.jsonl").write_text(f"{value}\n")
    read_metrics(folder / "metrics.jsonl")


def start(folder: Path, value: str) -> None:
    (folder / START).write_text(value)
    read_start(folder, Origin)


def note(folder: Path, value: str) -> None:
    (folder / "x.npy.part").write_bytes(b"")
    (folder / "x.npy.part.json").write_text(value)
    with growing_file(folder / "x.npy", {"model": "a"}):
        pass


READERS = (recipe, override, questions, squad, table, corpus, shards, metrics, start, note)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_it_is_our_error(read: Callable[[Path, str], None], value: str, tmp_path: Path) -> None:
    with pytest.raises(AlbertkitError) as caught:
        read(tmp_path, VALUES[value])
    assert len(str(caught.value)) < 5000


def test_a_setting_of_a_config_stays_a_word() -> None:
    for value in VALUES.values():
        assert read_overrides(None, None, [f"hidden_act={value}"]).values == {"hidden_act": value}


@pytest.mark.parametrize("line", [b'{"event": "\xff"}', b"[]", b'{"event'])
def test_a_damaged_line_of_metrics_is_named(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"event": "train"}\n' + line + b"\n")
    with pytest.raises(AlbertkitError, match=r"metrics\.jsonl, line 2"):
        read_metrics(path)
    path.write_bytes(b'{"event": "train"}\n' + line)  # cut off by a kill
    assert read_metrics(path) == [{"event": "train"}]
