"""Questions are read from known files and from tables of any form; what is wrong is named."""

from __future__ import annotations

import json
import lzma
import re
from pathlib import Path
from typing import Any

import pytest

from albertkit.data.tables import BadRows
from albertkit.errors import CorpusError
from albertkit.tasks.choice_columns import GivenColumns
from albertkit.tasks.choice_files import has_questions, read_questions
from albertkit.tasks.examples import ChoiceExample

OPTIONS = ("at home", "at work", "at sea")


def write(path: Path, value: Any) -> Path:
    """JSON lines of a list, else the value as JSON, else text; packed where the name says so."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if path.suffix == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(text.encode()) if path.suffix == ".xz" else text.encode())
    return path


def questions(path: Path, **given: Any) -> list[ChoiceExample]:
    return list(read_questions(path, GivenColumns(**given))[0])


RIGHT = ChoiceExample("1", "Ann was ill.", "Where was she?", OPTIONS, 0)
ROW = {"context": "Ann was ill.", "question": "Where was she?", "options": [*OPTIONS]}
HEAD = "article,question,A,B,C,answer\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a.jsonl", [{**ROW, "answer": "A"}]),
        ("a.jsonl", [{**ROW, "answer": 0}]),
        ("a.jsonl", [{**ROW, "answer": "at home"}]),
        ("a.json", [{**ROW, "answer": "(A)"}]),
        ("a.json", [{**ROW, "label": 0.0}]),
        ("a.csv", f"{HEAD}Ann was ill.,Where was she?,at home,at work,at sea,a\n"),
        ("a.tsv", HEAD.replace(",", "\t") + "Ann was ill.\tWhere was she?\t" + "\t".join(OPTIONS)
            + "\tat home\n"),
        # The keys of the options, as in commonsense_qa, social_i_qa and SWAG.
        ("a.jsonl", [{**ROW, "options": {"label": ["1", "2", "3"], "text": [*OPTIONS]},
            "answerKey": "1"}]),
        ("a.jsonl", [{**ROW, "options": None, "answerA": "at home", "answerB": "at work",
            "answerC": "at sea", "label": "A"}]),
        ("a.jsonl", [{"sent1": "Ann was ill.", "sent2": "Where was she?", "ending0": "at home",
            "ending1": "at work", "ending2": "at sea", "label": 0}]),
        ("a.csv.xz", 'passage,question,options,answer\nAnn was ill.,Where was she?,'
            '"[""at home"", ""at work"", ""at sea""]",0\n'),
        ("a.csv", "passage,question,options,answer\nAnn was ill.,Where was she?,"
            "at home|at work|at sea,A\n"),
        ("a.csv", "文章,问题,选项A,选项B,选项C,答案\nAnn was ill.,Where was she?,"
            "at home,at work,at sea,A\n"),
    ],
)  # fmt: skip
def test_tables_of_every_form_hold_the_same_question(name: str, value: Any, tmp_path: Path) -> None:
    [found] = questions(write(tmp_path / name, value))
    line = "1" if name.startswith("a.json") else "2"
    assert found == ChoiceExample(line, *list(vars(RIGHT).values())[1:])


@pytest.mark.parametrize(
    ("answers", "form", "indices"),
    [
        ([0, 1, 2], "a number, from 0", [0, 1, 2]),
        ([1, 2, 3], "a number, from 1", [0, 1, 2]),
        (["b", "A", "c"], "a letter", [1, 0, 2]),
        (["at sea", "at home", "at work"], "the text of an option", [2, 0, 1]),
    ],
)
def test_how_answers_are_given_is_what_fits_all_rows(
    answers: list[Any], form: str, indices: list[int], tmp_path: Path
) -> None:
    path = write(tmp_path / "a.jsonl", [{**ROW, "answer": answer} for answer in answers])
    found, said = read_questions(path)
    assert [x.answer for x in found] == indices
    assert said.endswith(f"answer from 'answer' ({form})")


def test_numbers_that_may_count_from_0_or_from_1_are_asked_about(tmp_path: Path) -> None:
    """Of three options, and neither 0 nor 3 among the answers."""
    path = write(tmp_path / "a.jsonl", [{**ROW, "answer": answer} for answer in (1, 2, 1)])
    with pytest.raises(CorpusError, match="from 0 or from 1") as caught:
        questions(path)
    assert caught.value.facts["found"] == "answers 1, 2"
    named = {**ROW, "options": None, **{f"option_{n}": x for n, x in enumerate(OPTIONS)}}
    again = write(tmp_path / "b.jsonl", [{**named, "answer": answer} for answer in (1, 2, 1)])
    assert [x.answer for x in questions(again)] == [1, 2, 1]  # the columns have these numbers


def test_names_in_the_plural_are_no_columns_of_single_options(tmp_path: Path) -> None:
    row = {**ROW, "candidates": "12", "endings": "3", "answer": "at sea"}
    [found] = questions(write(tmp_path / "a.jsonl", [row]))
    assert (found.options, found.answer) == (OPTIONS, 2)


def test_questions_may_have_different_numbers_of_options(tmp_path: Path) -> None:
    text = HEAD + "c,q,x,y,z,C\nc,q,x,,z,C\nc,q,x,y,,A\n"
    found = questions(write(tmp_path / "a.csv", text))
    assert [len(x.options) for x in found] == [3, 2, 2]
    assert [x.answer for x in found] == [2, 1, 0]  # C is z, wherever it stands


def test_passages_of_race_and_dialogues_are_read_by_folder_and_file(tmp_path: Path) -> None:
    passage = {"article": "It rained.", "questions": ["q _", "r"], "answers": ["B", "A"]}
    passage |= {"options": [["x", "y"], ["z", "w"]], "id": "high1.txt"}
    for level in ("high", "middle"):
        write(tmp_path / "RACE" / "train" / level / "1.txt", passage)
    write(tmp_path / "RACE" / "dev" / "high" / "1.txt", passage)
    assert len(questions(tmp_path / "RACE")) == 4
    assert has_questions(tmp_path / "RACE", "dev")
    assert not has_questions(tmp_path / "RACE" / "dev", "dev")
    [first, second] = questions(tmp_path / "RACE" / "dev" / "high" / "1.txt")
    assert (first.answer, second.answer) == (1, 0)
    turns = [[["M: Hi.", "W: Hi."], [{"question": "q", "choice": ["x", "y"], "answer": "y"}], "7"]]
    for name in ("c3-d-train.json.xz", "c3-m-train.json.xz", "c3-d-dev.json.xz"):
        write(tmp_path / "c3" / name, turns)
    assert [x.id for x in questions(tmp_path / "c3")] == ["c3-d-train/7-0", "c3-m-train/7-0"]
    [one] = read_questions(tmp_path / "c3", split="dev")[0]
    assert (one.id, one.context, one.answer) == ("c3-d-dev/7-0", "M: Hi.\nW: Hi.", 1)


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x,first,second,y\nWho?,me,you,2\nWho?,me,you,1\n")
    found = questions(path, question="x", options=("first", "second"), answer="y")
    assert [(x.context, x.question, x.answer) for x in found] == [("", "Who?", 1), ("", "Who?", 0)]


@pytest.mark.parametrize(
    ("name", "value", "facts"),
    [
        ("a.csv", "text,label\nx,1\n", {"found": r"columns text \(x\), label \(1\)"}),
        ("a.csv", HEAD + "c,q,x,y,z,A\nc,q,x,y,z,E\n", {"found": "'E'", "where": "line 3"}),
        ("a.csv", HEAD + "c,q,x,y,z,A\nc,q,x,,,A\n", {"found": "options: x", "where": "line 3"}),
        ("a.csv", HEAD + "c,q,x,y,z,A\n,,x,y,,A\n", {"found": "no question", "where": "line 3"}),
        ("a.json", [{"question": "q"}, 3], {"found": "item 2"}),
        ("a.json", [[["t"], [{"question": "q", "choice": ["x", "y"]}], "7"]],
            {"where": "question a/7-0"}),
    ],
)  # fmt: skip
def test_what_is_no_question_is_named(
    name: str, value: Any, facts: dict[str, str], tmp_path: Path
) -> None:
    path = write(tmp_path / name, value)
    with pytest.raises(CorpusError) as caught:
        questions(path)
    for fact, text in facts.items():
        assert re.search(text, str(caught.value.facts[fact]))
    if "where" in facts:
        bad = BadRows("skip")
        left = list(read_questions(path, bad=bad)[0])
        assert (len(left), len(bad.skipped)) == (1 if name == "a.csv" else 0, 1)


def test_questions_without_answers_can_be_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [ROW, {**ROW, "answer": "?"}])
    found = list(read_questions(path, needs_answer=False)[0])
    assert [x.answer for x in found] == [None, None]
