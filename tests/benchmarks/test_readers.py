"""Official file formats, written here in small, read as examples."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from official_files import CASES, IDIOM, SQUAD, WSC, T, lines

from albertkit.benchmarks import find_sets, load_suite, suite_names
from albertkit.benchmarks._protocol import DataSet
from albertkit.errors import AlbertkitError, CorpusError
from albertkit.tasks.examples import SpanExample
from albertkit.tasks.kinds import KINDS


def one(name: str) -> DataSet:
    [found] = find_sets(name)
    return found


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("name", "split", "files", "expected"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES]
)
def test_official_files_are_read(
    name: str, split: str, files: dict[str, str], expected: list[Any], tmp_path: Path
) -> None:
    found = list(one(name).examples(write(tmp_path, files), split))
    assert sorted(found, key=lambda x: x.id) == expected


@pytest.mark.parametrize(
    ("name", "split", "file"),
    [
        ("squad-1.1", "dev", "dev-v1.1.json"),
        ("squad-2.0", "dev", "dev-v2.0.json"),
        ("cmrc-2018", "trial", "cmrc2018_trial.json"),
        ("drcd", "train", "DRCD_training.json"),
    ],
)
def test_questions_of_squad_json_are_read(name: str, split: str, file: str, tmp_path: Path) -> None:
    context = "ab cat, cat"
    assert list(one(name).examples(write(tmp_path, {file: json.dumps(SQUAD)}), split)) == [
        SpanExample("1", context, "q", ((3, "cat"),), article="t"),
        SpanExample("2", context, "r", (), True, article="t"),
        SpanExample("3", context, "s", ((8, "cat"), (4, "dog")), article="t"),
    ]


@pytest.mark.parametrize("suffix", [".xz", ".gz"])
def test_packed_files_below_the_folder_of_a_suite_are_found(suffix: str, tmp_path: Path) -> None:
    content = b"gj04\t1\t\tHe sat.\n"
    packed = lzma.compress(content) if suffix == ".xz" else gzip.compress(content)
    (tmp_path / "CoLA").mkdir()
    (tmp_path / "CoLA" / f"dev.tsv{suffix}").write_bytes(packed)
    assert list(one("cola").examples(tmp_path, "dev")) == [T("0", "He sat.", None, "1")]


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"c3-m-train.json and c3-d-train.json or m-train"):
        list(one("c3").examples(tmp_path, "train"))
    with pytest.raises(CorpusError, match="train, dev, test"):
        list(one("c3").examples(tmp_path, "valid"))


def squad_with(**answer: object) -> str:
    question = {"id": "1", "question": "q", "answers": [{"text": "cat", **answer}]}
    return json.dumps({"data": [{"paragraphs": [{"context": "cat", "qas": [question]}]}]})


def passage(**changed: object) -> str:
    values = {"article": "a", "questions": ["q"], "options": [["a", "b"]], "answers": ["A"]}
    return json.dumps({**values, **changed})


def cluener(first: int, last: int) -> str:
    return lines({"text": "ab", "label": {"book": {"ab": [[first, last]]}}})


@pytest.mark.parametrize(
    ("name", "file", "text", "said"),
    [
        ("cola", "dev.tsv", "gj04\t1\t\ta\ngj04\t1\n", r"2 cells(?s:.)*line 2"),
        ("sts-b", "sts-dev.csv", "g\tf\ty\t1\tmuch\ta\tb\n", r"'much'(?s:.)*line 1"),
        ("mnli", "dev_matched.tsv", "index\tsentence1\n0\ta\n", r"no 'sentence2'(?s:.)*line 2"),
        ("tnews", "dev.json", '{"sentence": "a"}\n[1]\n', r"a JSON list(?s:.)*line 2"),
        ("tnews", "dev.json", '{"sentence": "a"\n', "line 1"),
        ("iflytek", "dev.json", '{"text": "a"}\n', r"no 'sentence'(?s:.)*line 1"),
        ("cluener", "dev.json", '{"text": "a", "label": []}\n', "line 1"),
        ("wsc", "dev.json", lines({**WSC, "text": "杨老说他"}), "is not at character 0"),
        ("conll-2003", "eng.testa", "EU I-ORG\nUK\n", r"'UK'(?s:.)*line 2"),
        ("squad-1.1", "dev-v1.1.json", '{"data": [{}]}', "no 'paragraphs'"),
        ("squad-1.1", "dev-v1.1.json", '{"data": [', "dev-v1.1.json"),
        ("dream", "dev.json", '[[["a"], [{"question": "q", "choice": []}]]]', "dev.json"),
        ("squad-1.1", "dev-v1.1.json", squad_with(answer_start=float("inf")), "infinity"),
        (
            "squad-1.1",
            "dev-v1.1.json",
            '{"data": [{"paragraphs": [{"context": "a", "qas": 1}]}]}',
            "int",
        ),
        ("race-high", "dev/high/1.txt", passage(questions=[0.5]), "question is a float"),
        ("race-high", "dev/high/1.txt", passage(options=[["a", {}]]), "option 2 is a dict"),
        ("race-high", "dev/high/1.txt", passage(answers=["C"]), "answer 2, .* of 2 options"),
        ("chid", "dev.json", lines({**IDIOM, "candidates": None}), "line 1"),
        (
            "cmnli",
            "dev.json",
            '{"sentence1": "a", "sentence2": null}\n',
            r"sentence2 is null(?s:.)*line 1",
        ),
        ("afqmc", "dev.json", '{"sentence1": 1.5, "sentence2": "b"}\n', "text is a float"),
        ("tnews", "dev.json", '{"sentence": "a", "label": ["b"]}\n', "label is a list"),
        ("qqp", "dev.tsv", "question1\n0\n", r"no 'id'(?s:.)*line 2"),
        ("cluener", "dev.json", '{"text": ["a", 1]}\n', "a word or tag is a int"),
        ("cluener", "dev.json", cluener(0, 2**31), "book at character 0, 2147483649 long, of 2"),
        ("cluener", "dev.json", cluener(-1, 0), "book at character -1"),
        ("cluener", "dev.json", cluener(1, 0), "book at character 1, 0 long"),
    ],
)
def test_broken_files_are_named_with_their_line(
    name: str, file: str, text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match=said):
        list(one(name).examples(write(tmp_path, {file: text}), "dev"))


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_bytes("label\ttext_a\n1\t好\n".encode("gb18030"))
    with pytest.raises(CorpusError, match="not UTF-8"):
        list(one("chnsenticorp").examples(tmp_path, "dev"))


EVERY = [(suite, x) for suite in suite_names() for x in load_suite(suite).SETS]


def test_data_sets_have_different_names() -> None:
    assert len({x.name for _, x in EVERY}) == len(EVERY) > 40


@pytest.mark.parametrize("data_set", [x for _, x in EVERY], ids=lambda x: x.name)
def test_each_data_set_is_complete(data_set: DataSet) -> None:
    assert data_set.kind in KINDS
    assert data_set.language in ("en", "zh")
    assert data_set.scores
    assert data_set.name == data_set.name.lower()
    has_classes = KINDS[data_set.kind].has_classes
    assert bool(data_set.labels) == has_classes


def test_an_unknown_benchmark_is_answered_with_those_there_are() -> None:
    with pytest.raises(AlbertkitError, match=r"glue(?s:.)*sst-2"):
        find_sets("glew")
    assert [x.name for x in find_sets("SST-2")] == ["sst-2"]
    assert len(find_sets("glue")) == 10


def test_a_suite_of_ones_own_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of docs/benchmarks.md."""
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    code = page.split("## A suite of your own")[1].split("```python\n")[1].split("```")[0]
    write(tmp_path, {"benchmarks/mine.py": code, "train.tsv": "a\tb\tyes\n"})
    monkeypatch.setenv("ALBERTKIT_PLUGINS", str(tmp_path))
    assert load_suite("mine").TITLE == "my pairs"
    assert list(one("pairs").examples(tmp_path, "train")) == [T("0", "a", "b", "yes")]
    names = [x.name for suite in suite_names() for x in load_suite(suite).SETS if suite != "mine"]
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    ("typed", "name"),
    [("SST2", "sst-2"), ("sts_b", "sts-b"), ("squad1.1", "squad-1.1"), ("CMRC2018", "cmrc-2018")],
)
def test_names_are_found_however_they_are_written(typed: str, name: str) -> None:
    assert one(typed) == one(name)
