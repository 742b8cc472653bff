"""A user's own tags in columns, and questions in SQuAD's JSON; bad ones are named or left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from albertkit.data.tables import BadRows
from albertkit.errors import CorpusError
from albertkit.tasks.conll import read_conll
from albertkit.tasks.examples import SpanExample, TagExample
from albertkit.tasks.squad_json import read_squad


def test_a_sentence_with_a_line_without_a_tag_is_named_or_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("Ann\tB-PER\nsat\tO\n\nBob\non\tO\n\nhere\tO\n\n\n")
    with pytest.raises(CorpusError, match=r"'Bob'(?s:.)*a\.conll, line 4"):
        list(read_conll(path))
    bad = BadRows("skip")
    assert list(read_conll(path, bad=bad)) == [
        TagExample("0", ("Ann", "sat"), ("B-PER", "O")),
        TagExample("2", ("here",), ("O",)),
    ]
    assert len(bad.skipped) == 1
    assert "line 4" in bad.skipped[0]


@pytest.mark.parametrize("tags", ["I-a I-a B-a", "B-a E-a S-a", "B-a M-a B-a", "B-a L-a U-a"])
def test_tags_of_any_scheme_can_become_bio(tmp_path: Path, tags: str) -> None:
    path = tmp_path / "a.conll"
    path.write_text("".join(f"w x {tag}\n" for tag in tags.split()))
    [example] = read_conll(path, bio=True)
    assert example.tags == ("B-a", "I-a", "B-a")
    [example] = read_conll(path)
    assert example.tags == tuple(tags.split())


def test_a_question_that_lacks_something_is_named_or_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    good = {"id": "1", "question": "q", "answers": [{"text": "b", "answer_start": 2}]}
    bad_ones = [{"id": "2", "answers": []}, {**good, "id": "3", "answers": [{"text": "b"}]}, "four"]
    document = {"data": [{"paragraphs": [{"context": "a b", "qas": [good, *bad_ones]}]}]}
    path.write_text(json.dumps(document))
    with pytest.raises(CorpusError, match=r"no 'question'(?s:.)*paragraph 1, question 2"):
        list(read_squad(path))
    bad = BadRows("skip")
    assert list(read_squad(path, bad=bad)) == [SpanExample("1", "a b", "q", ((2, "b"),))]
    assert len(bad.skipped) == 3
    assert "question 3" in bad.skipped[1]


@pytest.mark.parametrize("content", ['{"data": 3}', "[1]", '{"data": [{"paragraphs": [{}]}]}', ""])
def test_json_of_another_form_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(CorpusError, match=r"a\.json"):
        list(read_squad(tmp_path / "a.json", bad=BadRows("skip")))
