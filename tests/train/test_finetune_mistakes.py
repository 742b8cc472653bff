"""Mistakes of a beginner, for every task: named before anything is written, with the way out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from albertkit.cli import main
from albertkit.cli.app import MISTAKE
from albertkit.errors import OutputError
from albertkit.train.finetune_data import Examples
from albertkit.train.finetune_recipe import ExampleSettings
from albertkit.train.resume import require_new

TABLES = {
    "classify": "text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(20)),
    "tag": "".join(f"Ada B-PER\nwas O\nhere{n} O\n\n" for n in range(20)),
    "choose": "question,A,B,answer\n" + "which,x,y,A\nwhat,x,y,B\n" * 10,
    "span": "question,context,answer\n" + "".join(f"who {n},Ada is {n},Ada\n" for n in range(20)),
}
SKIP = "or add --on-bad-row skip"
CASES = [
    *((task, "", "check that it is the right file") for task in TABLES),
    *((task, TABLES[task].split("\n")[0] + "\n", "check that") for task in ("classify", "span")),
    ("classify", TABLES["classify"].replace(",b", ",a"), "check the label column and the file"),
    (
        "classify",
        "text,label\n" + "".join(f"text {n},{n} x\n" for n in range(30)),
        "kind regression",
    ),
    ("classify", TABLES["classify"] + '"never closed,a\nand more,b\n', "may not be closed"),
    ("classify", TABLES["classify"] + "one,a,more\n", SKIP),
    ("classify", "te\0xt,label\n", "save it as CSV"),
    ("tag", TABLES["tag"] + "Ada\n", SKIP),
    ("tag", TABLES["tag"].replace("B-PER", "O"), "check that it is the right file: a word and"),
    ("tag", '{"words": ["a", "b"], "tags": ["O"]}\n' * 4, "2 words, 1 tags"),
    ("tag", '{"words": ["a", null], "tags": ["O", "O"]}\n' * 4, "null among them"),
    ("choose", TABLES["choose"] + "which,x,y,C\n", SKIP),
    ("choose", "question,A,answer\nwhich,x,A\n", "--option-columns A --option-columns B"),
    ("span", TABLES["span"] + "who,nobody,Ada\n", SKIP),
    ("span", TABLES["span"] + "who,Ada,\n", SKIP),
]
ROW = '{"text": %s, "label": %s}\n'
# Rows of JSON lines behind good ones, and what is said of them; skip leaves them out.
HOSTILE = [
    (ROW % ('["a"]', '"a"'), "no text in its column 'text'"),
    (ROW % ('{"a": 1}', '"a"'), "no text in its column 'text'"),
    (ROW % ('"a"', '{"a": 1}'), "no text in its column 'label'"),
    (ROW % ('"\\ud800 a"', '"a"'), "a lone surrogate"),
    (ROW % ("null", '"a"'), "nothing in its column 'text'"),
    ("[" * 100_000 + "\n", "not a JSON object"),
    *((ROW % ('"a"', label), "not a number") for label in ("NaN", "1e400", "1e300", "9" * 400)),
]


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `albertkit finetune` says of a file that it refuses, and that it leaves nothing."""

    def run(task: str, content: str | bytes | None, *more: str, out: str = "run") -> str:
        lines_of_json = str(content).startswith("{")
        train = tmp_path / f"train.{'jsonl' if lines_of_json else 'csv'}"
        if content is not None:
            train.write_bytes(content.encode() if isinstance(content, str) else content)
        words = ["finetune", task, "--train", str(train), "--out", str(tmp_path / out), *more]
        assert main(words) == MISTAKE
        assert not (tmp_path / out).exists()
        message = capsys.readouterr().err
        assert "Traceback" not in message
        return message

    return run


@pytest.mark.parametrize(("task", "content", "way_out"), CASES)
def test_a_file_that_cannot_be_learned_is_named_with_the_way_out(
    said: Callable[..., str], task: str, content: str, way_out: str
) -> None:
    assert way_out in said(task, content)


@pytest.mark.parametrize("task", TABLES)
def test_files_that_are_no_text_or_not_there_are_called_so(
    said: Callable[..., str], task: str
) -> None:
    missing = said(task, None)
    assert "No such file" in missing
    assert "check the path" in missing
    assert "PDF document" in said(task, b"%PDF-1.4\n" + b"\0" * 100)
    assert "iconv -f UTF-16" in said(task, TABLES[task].encode("utf-16"))
    assert "iconv -f GB18030" in said(task, "文,字\n".encode("gbk") + TABLES[task].encode())


@pytest.mark.parametrize(
    ("task", "option"),
    [
        *(("tag", option) for option in ("text", "label", "question")),
        *(("classify", option) for option in ("question", "context")),
        *(("choose", option) for option in ("text", "pair")),
        *(("span", option) for option in ("text", "pair")),
    ],
)
def test_a_column_that_the_task_does_not_read_is_refused(
    said: Callable[..., str], task: str, option: str
) -> None:
    message = said(task, TABLES[task], f"--{option}-column", "x")
    assert f"{task} does not read {option}_column" in message
    assert f"leave --{option}-column out" in message


@pytest.mark.parametrize("task", ["classify", "choose", "span"])
def test_a_column_that_is_not_there_is_named(said: Callable[..., str], task: str) -> None:
    option = "--text-column" if task == "classify" else "--question-column"
    assert "has no column 'nope'" in said(task, TABLES[task], option, "nope")


def test_a_place_that_cannot_be_written_is_named_before_the_model_is_opened(
    said: Callable[..., str], unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    for task, table in TABLES.items():
        message = said(task, table, "--model", "no model", out="train.csv/run")
        assert "part of the path is a file" in message
    with TemporaryDirectory() as folder:  # one that others than its owner can reach
        Path(folder).chmod(0o555)
        with unprivileged(), pytest.raises(OutputError) as caught:
            require_new(Path(folder) / "run", "finetune")
    assert caught.value.facts["expected"] == "permission to write"


@pytest.mark.parametrize(("row", "message"), HOSTILE)
def test_a_hostile_row_is_named_by_its_line_and_can_be_left_out(
    said: Callable[..., str], tmp_path: Path, row: str, message: str
) -> None:
    numbers = message == "not a number"
    kind = ["--kind", "regression"] if numbers else []
    labels = [str(n) if numbers else f'"{"ab"[n % 2]}"' for n in range(20)]
    rows = [ROW % (f'"text {n}"', label) for n, label in enumerate(labels)]
    text = said("classify", "".join(rows) + row, *kind)
    assert message in text
    assert "line 21" in text
    found = Examples.read(
        "classify",
        ExampleSettings(train=tmp_path / "train.jsonl", on_bad_row="skip"),
        "regression" if numbers else "auto",
    )
    assert len(found.train) + len(found.dev) == 20
    [left_out] = [fact for name, fact in found.facts if name == "left out"]
    assert left_out.startswith("1 rows: ")
    assert "line 21" in left_out
