"""Questions from SQuAD's JSON, tables and folders; a row that cannot be used is named."""

from __future__ import annotations

import json
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from albertkit.data.tables import BadRows
from albertkit.errors import CorpusError
from albertkit.tasks.span_answers import can_be_learned
from albertkit.tasks.span_files import AnswerColumns, read_answered

CONTEXT = "The cat sat on the mat. The dog sat, too."


def squad(*questions: dict[str, Any], context: str = CONTEXT, title: str = "Pets") -> str:
    paragraph = {"context": context, "qas": list(questions)}
    return json.dumps({"version": "1.1", "data": [{"title": title, "paragraphs": [paragraph]}]})


def asked(text: str, start: int, name: str = "1", **more: Any) -> dict[str, Any]:
    answers = [{"text": text, "answer_start": start}]
    return {"id": name, "question": "Where?", "answers": answers, **more}


def answers(path: Path, **options: Any) -> list[tuple[tuple[int, str], ...]]:
    bad = BadRows(options.pop("on_bad_row", "error"))
    return [example.answers for example in read_answered(path, bad, **options)]


@pytest.mark.parametrize(
    ("text", "start", "found"),
    [
        ("the mat", 15, 15),
        ("the mat", 14, 15),  # found again next to its place
        ("sat", 25, 32),  # the second one is nearer
        (" sat ", 7, 7),
        ("  sat", 7, 6),  # spaces that the context does not have
        ("the mat", -5, 15),
        ("the moon", 3, 3),
    ],
)
def test_an_answer_is_looked_for_near_its_place(
    tmp_path: Path, text: str, start: int, found: int
) -> None:
    path = tmp_path / "train.json"
    path.write_text(squad(asked(text, start)))
    [example] = read_answered(path, BadRows())
    assert example.answers == ((found, text),)
    assert can_be_learned(example) == (text != "the moon")
    assert example.article == "Pets"


def test_questions_that_are_not_in_articles_are_read(tmp_path: Path) -> None:
    """As transformers' examples for question answering take them."""
    one: dict[str, Any] = {"id": "7", "title": "Pets", "context": CONTEXT, "question": "Who?"}
    one["answers"] = {"text": ["cat", "The cat"], "answer_start": [4, 0]}
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"data": [one]}))
    [example] = read_answered(path, BadRows())
    assert (example.id, example.answers) == ("7", ((4, "cat"), (0, "The cat")))


def test_a_folder_may_hold_packed_files_of_both_parts(tmp_path: Path) -> None:
    with lzma.open(tmp_path / "train-v1.1.json.xz", "wt") as file:
        file.write(squad(asked("sat", 8)))
    (tmp_path / "dev-v1.1.json").write_text(squad(asked("cat", 4)))
    assert answers(tmp_path) == [((8, "sat"),)]
    assert answers(tmp_path, split="dev") == [((4, "cat"),)]


def test_the_dev_file_of_a_folder_is_not_trained_on(tmp_path: Path) -> None:
    (tmp_path / "pets.json").write_text(squad(asked("sat", 8)))
    assert answers(tmp_path) == [((8, "sat"),)]
    (tmp_path / "dev-v2.0.json").write_text(squad(asked("cat", 4)))
    assert answers(tmp_path) == [((8, "sat"),)]
    assert answers(tmp_path, split="dev") == [((4, "cat"),)]
    (tmp_path / "pets.json").rename(tmp_path / "pets-test.json")
    with pytest.raises(CorpusError, match="holds no examples"):
        read_answered(tmp_path, BadRows())


@pytest.mark.parametrize(
    ("name", "lines", "found"),
    [
        ("a.csv", ["question,context,answer", "Where?,The cat sat,sat"], ((8, "sat"),)),
        ("a.tsv", ["Query\tPassage\tanswer", "Where?\tThe cat sat\tsat"], ((8, "sat"),)),
        (
            "a.csv",
            ["question,context,answer,answer_start", "Who?,sat cat sat,sat,8"],
            ((8, "sat"),),
        ),
        (
            "a.jsonl",
            [
                {
                    "question": "?",
                    "context": "a b a",
                    "answers": {"text": ["a"], "answer_start": [4]},
                }
            ],
            ((4, "a"),),
        ),
        (
            "a.jsonl",
            [{"question": "?", "context": "a b", "answers": ["b", "a"]}],
            ((2, "b"), (0, "a")),
        ),
        ("a.jsonl", [{"问题": "谁？", "文章": "巴黎是法国的首都", "答案": "法国"}], ((3, "法国"),)),
        ("a.jsonl", [{"question": "?", "context": "a b", "answer": []}], ()),
        (
            "a.jsonl",
            [{"question": "?", "context": "a b", "answer": "a", "is_impossible": True}],
            (),
        ),
    ],
)
def test_rows_have_the_answer_as_it_stands_in_the_context(
    tmp_path: Path, name: str, lines: Sequence[Any], found: tuple[Any, ...]
) -> None:
    path = tmp_path / name
    rows = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    [example] = read_answered(path, BadRows())
    assert (example.answers, example.is_impossible) == (found, not found)


def test_columns_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("q,c,a\nWho?,the cat sat,cat\n")
    with pytest.raises(CorpusError, match="were not found"):
        read_answered(path, BadRows())
    columns = AnswerColumns("q", "c", "a")
    assert answers(path, columns=columns) == [((4, "cat"),)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "?", "context": "a cat", "answer": "dog"}, "does not occur in its context"),
        ({"question": "?", "context": "a cat", "answer": ""}, "has no answer"),
        ({"question": "?", "context": "a cat", "answer": float("nan")}, "has no answer"),
        ({"question": "", "context": "a cat", "answer": "cat"}, "nothing in its column 'question'"),
        ({"question": "?", "context": " ", "answer": "cat"}, "nothing in its column 'context'"),
        ({"question": "?", "context": None, "answer": "cat"}, "nothing in its column 'context'"),
        ({"question": "?", "context": float("nan"), "answer": "a"}, "in its column 'context'"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_or_left_out(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    path = tmp_path / "a.jsonl"
    good = {"question": "?", "context": "a cat", "answer": "cat"}
    path.write_text("".join(json.dumps(x) + "\n" for x in (good, row)))
    with pytest.raises(CorpusError, match=message) as caught:
        read_answered(path, BadRows())
    assert caught.value.facts["where"] == f"{path}, line 2"
    assert answers(path, on_bad_row="skip") == [((2, "cat"),)]


@pytest.mark.parametrize(
    "question",
    [
        {"id": "2", "question": "Where?", "answers": []},
        {"id": "2", "question": None, "answers": [{"text": "cat", "answer_start": 4}]},
        {"id": "2", "question": "Where?", "answers": [{"text": "cat"}]},
        {"id": "2", "question": "Where?", "answers": [{"text": 5, "answer_start": 4}]},
        {"question": "Where?"},
    ],
)
def test_a_question_that_cannot_be_used_is_named(tmp_path: Path, question: dict[str, Any]) -> None:
    path = tmp_path / "train.json"
    path.write_text(squad(asked("cat", 4), question))
    with pytest.raises(CorpusError) as caught:
        read_answered(path, BadRows())
    assert str(question.get("id")) in str(caught.value.facts["where"])
    assert answers(path, on_bad_row="skip") == [((4, "cat"),)]


def test_questions_need_no_answer_to_be_predicted(tmp_path: Path) -> None:
    path = tmp_path / "test.json"
    path.write_text(squad({"id": "1", "question": "Where?"}))
    assert answers(path, needs_answer=False) == [()]
    (tmp_path / "test.csv").write_text("question,context\nWho?,the cat sat\n")
    assert answers(tmp_path / "test.csv", needs_answer=False) == [()]
