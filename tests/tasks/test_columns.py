"""Which columns of a user's table are texts and labels, and what the labels are."""

from __future__ import annotations

from pathlib import Path

import pytest

from albertkit.data.tables import BadRows, Table
from albertkit.errors import CorpusError
from albertkit.tasks.columns import (
    Columns,
    find_columns,
    kind_of_labels,
    text_examples,
    with_labels,
)


def table(folder: Path, content: str, name: str = "a.csv") -> Table:
    (folder / name).write_text(content, encoding="utf-8")
    return Table(folder / name)


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("text,label", ("text", None, "label")),
        ("id,Review,Sentiment", ("Review", None, "Sentiment")),
        ("label,text_a", ("text_a", None, "label")),  # ChnSentiCorp
        ("sentence1,sentence2,label,idx", ("sentence1", "sentence2", "label")),
        ("pair_ID,sentence_A,sentence_B,score,x", ("sentence_A", "sentence_B", "score")),
        ("premise,hypothesis,gold_label,genre", ("premise", "hypothesis", "gold_label")),
        ("评论,标签,编号", ("评论", None, "标签")),
    ],
)
def test_columns_are_found_by_their_usual_names(
    tmp_path: Path, header: str, columns: tuple[str, str | None, str]
) -> None:
    row = ",".join(f"cell {n}" for n in range(header.count(",") + 1))
    assert find_columns(table(tmp_path, f"{header}\n{row}\n")) == Columns(*columns)


def test_of_two_columns_the_longer_cells_are_the_texts(tmp_path: Path) -> None:
    found = find_columns(table(tmp_path, "y,x\npos,a fine film\nneg,a dull one\n"))
    assert found == Columns("x", None, "y")


LAST = ("0", "1", "1", "0")


@pytest.mark.parametrize("needs_label", [True, False])
def test_pairs_with_labels_need_no_header(tmp_path: Path, needs_label: bool) -> None:
    """As LCQMC, AFQMC and CMNLI are spread."""
    rows = [f"question {n}\tquestion {n + 1}\t{LAST[n % 4]}" for n in range(12)]
    found = find_columns(table(tmp_path, "\n".join(rows), "a.txt"), needs_label=needs_label)
    assert found == Columns("1", "2", "3")


@pytest.mark.parametrize(
    "row",
    [
        "{label}\tquestion {n}\tanswer {n}",  # the label is not the last one
        "question {n}\tanswer {n}\tsource {n}\t{label}",
        "question {label}\tanswer {label}\t{label}",  # nothing that looks like texts
    ],
)
def test_other_tables_without_a_header_are_asked_about(tmp_path: Path, row: str) -> None:
    rows = "\n".join(row.format(n=n, label=LAST[n % 4]) for n in range(12))
    with pytest.raises(CorpusError, match="not clear"):
        find_columns(table(tmp_path, rows, "a.txt"))


def test_no_text_of_a_pair_without_labels_is_left_out_silently(tmp_path: Path) -> None:
    """AFQMC's test file: two questions in each row."""
    rows = "\n".join(f"question {n}\tquestion {n + 1}" for n in range(12))
    with pytest.raises(CorpusError, match="not clear"):
        find_columns(table(tmp_path, rows, "a.txt"), needs_label=False)


def test_named_columns_win_and_have_to_be_there(tmp_path: Path) -> None:
    made = table(tmp_path, "text,label,summary,mood\na,b,c,d\n")
    assert find_columns(made, text="summary", label="mood") == Columns("summary", None, "mood")
    with pytest.raises(CorpusError, match="no column 'sumary'") as caught:
        find_columns(made, text="sumary")
    assert "summary (c)" in caught.value.facts["found"]
    assert "--text-column" in caught.value.for_command_line()


def test_what_is_not_clear_is_asked(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="not clear") as caught:
        find_columns(table(tmp_path, "a,b,c\n1,2,3\n"))
    assert "a (1), b (2), c (3)" in caught.value.facts["found"]
    with pytest.raises(CorpusError, match="columns hold the labels"):  # as SICK
        find_columns(table(tmp_path, "sentence_A,sentence_B,x,y\n1,2,3,4\n"))


def test_rows_without_a_text_or_label_are_bad(tmp_path: Path) -> None:
    made = table(tmp_path, "text,label\na,1\n  ,1\nb,\nc,0\n")
    columns = find_columns(made)
    with pytest.raises(CorpusError, match="'text'") as caught:
        list(text_examples(made, columns, BadRows()))
    assert "line 3" in caught.value.facts["where"]
    bad = BadRows("skip")
    kept = list(text_examples(made, columns, bad))
    assert [(e.id, e.text, e.label) for e in kept] == [("2", "a", "1"), ("5", "c", "0")]
    assert len(bad.skipped) == 2
    assert [e.text for e in text_examples(made, columns, BadRows("skip"), needs_label=False)] == [
        "a", "b", "c",
    ]  # fmt: skip


def test_kinds_of_labels() -> None:
    assert kind_of_labels(["1", "0", "1"]) == "classification"
    assert kind_of_labels([0, 1, 2]) == "classification"
    assert kind_of_labels(["1.0", "5.0"] * 30) == "classification"
    assert kind_of_labels([f"{n / 7:.3f}" for n in range(50)]) == "regression"
    assert kind_of_labels([["a"], ["a", "b"], []]) == "multi_label"


def test_labels_become_names_numbers_or_sets(tmp_path: Path) -> None:
    made = table(tmp_path, "text,label\na,x|y\nb,1.0\nc,x | z\n")
    raw = list(text_examples(made, find_columns(made), BadRows()))
    assert [e.label for e in with_labels(raw, "classification", "a.csv")][1] == "1.0"
    several = [e.label for e in with_labels(raw, "multi_label", "a.csv")]
    assert several == [("x", "y"), ("1.0",), ("x", "z")]
    with pytest.raises(CorpusError, match="not a number") as caught:
        with_labels(raw, "regression", "a.csv")
    assert caught.value.facts["where"] == "a.csv, line 2"


def test_json_numbers_and_truth_values_are_names(tmp_path: Path) -> None:
    lines = '{"text": "a", "label": 1}\n{"text": "b", "label": 1.0}\n{"text": "c", "label": true}\n'
    made = table(tmp_path, lines, "a.jsonl")
    raw = list(text_examples(made, find_columns(made), BadRows()))
    assert [e.label for e in with_labels(raw, "classification", "")] == ["1", "1", "true"]


def test_lists_in_columns_of_unknown_names_are_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"x": "a {n}", "y": ["b"], "z": {n}}}\n' for n in range(9)))
    with pytest.raises(CorpusError, match="not clear which columns"):
        find_columns(Table(path))
