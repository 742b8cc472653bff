"""Files that are not plain text are called by their name, and packed text is read."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from albertkit.cli import main
from albertkit.data.corpus import read_documents
from albertkit.errors import CorpusError

KINDS = {
    "a.pdf": (b"%PDF-1.7\n%\xe2\xe3", "a PDF document", "pdftotext"),
    "a.docx": (b"PK\x03\x04\x14\x00", "an office document", "plain text"),
    "a.doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Microsoft Office", "plain text"),
    "a.epub": (b"PK\x03\x04\x14\x00", "an e-book", "plain text"),
    "a.zip": (b"PK\x03\x04\x14\x00", "a zip archive", "unpack"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c\x00", "a 7z archive", "unpack"),
    "a.parquet": (b"PAR1\x15\x04", "a Parquet table", "one text a line"),
    "a.png": (b"\x89PNG\r\n\x1a\n", "a picture", "file of text"),
    "named.txt": (b"%PDF-1.7\n", "a PDF document", "pdftotext"),
    "a.csv": (b"id,text\n1,It rained.\n", "comma-separated", "one text a line"),
    "a.tsv": (b"id\ttext\n", "tab-separated", "one text a line"),
    "a.html": (b"<!DOCTYPE html><p>It rained.", "a web page", "text"),
    "a.json": (b'[{"text": "It rained."}]', "a JSON document", "jsonl"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_not_text_is_called_by_its_name(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, kind, fix = KINDS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        list(read_documents(tmp_path / name))
    assert kind in caught.value.what
    assert fix in caught.value.facts["to do"]
    assert caught.value.facts["where"] == str(tmp_path / name)
    assert main(["embed", "--input", str(tmp_path / name)]) == 2
    assert kind in capsys.readouterr().err


def test_the_same_inside_a_packed_file(tmp_path: Path) -> None:
    for name in ("a.pdf", "a.csv"):
        place = tmp_path / f"{name}.gz"
        place.write_bytes(gzip.compress(KINDS[name][0]))
        with pytest.raises(CorpusError, match=KINDS[name][1]):
            list(read_documents(place))


def test_a_table_is_read_as_it_is_on_request(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(KINDS["a.csv"][0])
    with pytest.raises(CorpusError) as caught:
        list(read_documents(tmp_path / "a.csv"))
    assert 'format="text"' in str(caught.value)
    assert "--format text" in caught.value.for_command_line()
    assert len(list(read_documents(tmp_path / "a.csv", format="text"))) == 1


def test_packed_lines_are_read_by_commands(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lines.txt.gz").write_bytes(gzip.compress(b"the cat\na dog\n"))
    command = ["tokenize", "--vocab", str(tiny_model / "vocab.txt"), "--input"]
    assert main([*command, str(tmp_path / "lines.txt.gz")]) == 0
    assert capsys.readouterr().out == "the cat\na dog\n"
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"the cat\n" * 99)[:-9])
    assert main([*command, str(tmp_path / "cut.gz")]) == 2
    assert "damaged or cut off" in capsys.readouterr().err
