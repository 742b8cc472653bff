"""Tables of users: what their rows and columns are, and what is wrong with them."""

from __future__ import annotations

import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from albertkit.data.other_tables import open_table
from albertkit.data.tables import BadRows, Table
from albertkit.errors import CorpusError
from albertkit.tasks.choice_files import read_questions
from albertkit.tasks.span_files import read_answered
from albertkit.tasks.tagged_files import read_tagged


def made(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def cells(path: Path, bad: BadRows | None = None) -> list[tuple[int, dict[str, object]]]:
    return [(row.line, row.cells) for row in Table(path).rows(bad)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\r\n"good, ""really""",1\r\n"two\nlines",0\r\n'),
        ("a.csv", '\ufefftext;label\n"good, ""really""";1\n"two\nlines";0\n'),
        ("a.jsonl", '{"text": "good, \\"really\\"", "label": "1"}\n\n'
         '{"text": "two\\nlines", "label": "0"}\n'),
    ],
)  # fmt: skip
def test_the_same_rows_in_several_formats(tmp_path: Path, name: str, content: str) -> None:
    rows = cells(made(tmp_path, name, content))
    assert [row for _, row in rows] == [
        {"text": 'good, "really"', "label": "1"},
        {"text": "two\nlines", "label": "0"},
    ]


def test_quotes_of_tab_separated_values_are_text(tmp_path: Path) -> None:
    path = made(tmp_path, "a.tsv", 'sentence\tlabel\n"he said\t1\n\nit\'s "so\t0\n')
    assert cells(path) == [
        (2, {"sentence": '"he said', "label": "1"}),
        (4, {"sentence": "it's \"so", "label": "0"}),
    ]
    as_csv = made(tmp_path, "stsb.csv", 'text\tscore\n"a\t5.0\nb"\t1.0\n')
    assert [row["text"] for _, row in cells(as_csv)] == ['"a', 'b"']


def test_rows_are_named_by_the_line_on_which_they_begin(tmp_path: Path) -> None:
    path = made(tmp_path, "a.csv", 'text,label\n"one\ntwo\nthree",x\nfour,y\n')
    assert [line for line, _ in cells(path)] == [2, 5]


def test_a_file_without_a_header_has_numbered_columns(tmp_path: Path) -> None:
    """As LCQMC's dev.txt and CoLA's dev.tsv: labels of the first line come again below."""
    path = made(tmp_path, "dev.txt", "如何学习\t怎么学习\t1\n天气\t下雨\t0\n今天\t明天\t1\n")
    assert Table(path).columns == ("1", "2", "3")
    assert len(cells(path)) == 3
    with_header = made(tmp_path, "a.tsv", "a\tb\tlabel\nx\ty\t1\nz\tw\t1\n")
    assert Table(with_header).columns == ("a", "b", "label")


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_packed_tables_are_read(tmp_path: Path, pack: object) -> None:
    path = made(tmp_path, "a.tsv.packed", pack(b"text\tlabel\na\t1\nb\t0\n"))
    assert [row["text"] for _, row in cells(path)] == ["a", "b"]


def test_a_text_of_a_million_characters_is_one_cell(tmp_path: Path) -> None:
    path = made(tmp_path, "a.csv", "text,label\n" + "x" * 10**6 + ",1\nb,0\n")
    assert [len(str(row["text"])) for _, row in cells(path)] == [10**6, 1]


@pytest.mark.parametrize(
    ("name", "content", "where", "found"),
    [
        ("a.csv", b"text,label\na,1\nb\nc,0\n", "line 3", "1 cells"),
        ("a.tsv", b"text\tlabel\na\t1\nb\t1\t2\n", "line 3", "3 cells"),
        ("a.csv", b"text,label\na,1\n\xff,1\n", "line 3", "0xff"),
        ("a.jsonl", b'{"text": "a"}\n[1]\n', "line 2", "JSON list"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "line 2", "Expecting value"),
    ],
)
def test_a_bad_row_is_named_by_its_line_or_left_out(
    tmp_path: Path, name: str, content: bytes, where: str, found: str
) -> None:
    path = made(tmp_path, name, content)
    with pytest.raises(CorpusError) as caught:
        cells(path)
    assert where in caught.value.facts["where"]
    assert found in caught.value.facts["found"]
    bad = BadRows("skip")
    rows = cells(path, bad)
    assert rows[0][1]["text"] == "a"
    assert len(bad.skipped) == 1
    assert where in bad.skipped[0]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_has_no_rows(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CorpusError, match="no rows"):
        Table(made(tmp_path, "a.csv", content))


def test_what_is_not_a_table_is_called_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="one JSON document"):
        Table(made(tmp_path, "a.json", '[\n{"text": "a"}]'))
    with pytest.raises(CorpusError, match="PDF"):
        Table(made(tmp_path, "a.csv", b"%PDF-1.4 ..."))
    with pytest.raises(CorpusError, match="cannot be read"):
        Table(tmp_path / "missing.csv")


def test_a_quote_that_is_not_closed_names_its_line(tmp_path: Path) -> None:
    path = made(tmp_path, "a.csv", "text,label\na,1\n" + '"b,1\n' + "c,0\n" * 10_100)
    with pytest.raises(CorpusError, match="quote is not closed") as caught:
        cells(path)
    assert "line 3" in caught.value.facts["where"]


@pytest.mark.parametrize(
    ("content", "way_out"),
    [
        ("文本,标签\n很好,好\n很差,差\n".encode("gb18030"), "iconv -f GB18030 -t UTF-8"),
        ("文本,label\ngood,a\nbad,b\n".encode("gb18030"), "iconv -f GB18030 -t UTF-8"),
        ("text,label\ngood,a\nbad,b\n".encode("utf-16"), "iconv -f UTF-16 -t UTF-8"),
        (bytes(range(200, 256)) * 9, "UTF-8"),
    ],
)
def test_a_file_in_another_encoding_is_not_an_empty_table(
    content: bytes, way_out: str, tmp_path: Path
) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        Table(path)
    assert caught.value.facts["where"] == f"{path}, line 1"
    assert way_out in caught.value.facts["to do"]


@pytest.mark.parametrize(
    "read",
    [
        Table,
        open_table,
        lambda path: list(read_tagged(path, BadRows())),
        read_questions,
        lambda path: read_answered(path, BadRows()),
    ],
)
def test_a_pipe_is_refused_before_it_is_waited_for(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    with pytest.raises(CorpusError, match="read more than once"):
        read(pipe)


def test_a_carriage_return_within_a_line_is_told_and_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\ngood,1\nba\rd,0\nfine,1\n")
    with pytest.raises(CorpusError, match="carriage return") as caught:
        list(Table(path).rows(BadRows()))
    assert caught.value.facts["where"] == f"{path}, line 3"
    bad = BadRows("skip")
    assert [row.cells["text"] for row in Table(path).rows(bad)] == ["good", "fine"]
    assert len(bad.skipped) == 1
    path.write_bytes(b"text,label\rgood,1\rbad,0\r")  # as old programs end their lines
    with pytest.raises(CorpusError, match=r"tr '\\r' '\\n' < "):
        Table(path)
