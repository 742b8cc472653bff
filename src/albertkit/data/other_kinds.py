"""Files that are not plain text, called by their name with the way to get text out of them.

A PDF, a Word document or a picture is recognised by its first bytes; tables and markup, which are
text of a kind, by name and first characters.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from albertkit.errors import CorpusError

_OFFICE = "save it as plain text (.txt) in UTF-8"
_ARCHIVE = "unpack it, and give the folder with the text files"
_NO_TEXT = "give a file of text"
# First bytes -> (what the file is, what to do).
_BY_BYTES: dict[bytes, tuple[str, str]] = {
    b"%PDF-": ("a PDF document", "extract its text, as in: pdftotext file.pdf file.txt"),
    b"{\\rtf": ("an RTF document", _OFFICE),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("a document of Microsoft Office", _OFFICE),
    b"PK\x03\x04": ("a zip archive", _ARCHIVE),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", _ARCHIVE),
    b"Rar!\x1a\x07": ("a RAR archive", _ARCHIVE),
    b"PAR1": ("a Parquet table", "write its column of texts into a .txt file, one text a line"),
    b"ARROW1": ("an Arrow table", "write its column of texts into a .txt file, one text a line"),
    b"SQLite format 3\0": ("an SQLite database", "write its texts into a .txt file"),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", _NO_TEXT),
    b"\x93NUMPY": ("a numpy array", _NO_TEXT),
    b"\x89PNG": ("a picture", _NO_TEXT),
    b"\xff\xd8\xff": ("a picture", _NO_TEXT),
    b"GIF8": ("a picture", _NO_TEXT),
    b"\x7fELF": ("a program", _NO_TEXT),
}
_ZIPPED = {
    **dict.fromkeys((".docx", ".odt", ".pptx", ".xlsx", ".ods", ".pages"), "an office document"),
    ".epub": "an e-book",
}
_TABLES = {".csv": "a table of comma-separated values", ".tsv": "a table of tab-separated values"}
_MARKUP = ("<!doctype html", "<html", "<?xml")


def refuse_binary(head: bytes, name: str) -> None:
    """Refuse a file that holds no plain text, by its first bytes.

    Raises:
        CorpusError: it is of another kind; says what to do.
    """
    for beginning, (kind, fix) in _BY_BYTES.items():
        if head.startswith(beginning):
            zipped = _ZIPPED.get(PurePath(name).suffix.lower())
            if beginning == b"PK\x03\x04" and zipped is not None:
                kind, fix = zipped, _OFFICE
            raise _other_kind(kind, fix, name)


def refuse_markup(head: str, name: str, way_out: tuple[str, str]) -> None:
    """Refuse a table or markup: text of which not every character is a sentence.

    Args:
        head: first characters of the file.
        name: its name.
        way_out: how to read it as it is nevertheless, in Python and at the command line.

    Raises:
        CorpusError: it is one; says what to do.
    """
    begin = head.lstrip("\ufeff \t\r\n")[:20]
    suffix = PurePath(re.sub(r"\.(gz|xz|bz2|zst)$", "", name.lower())).suffix
    table = _TABLES.get(suffix)
    if table is not None:
        fix = "write its column of texts into a .txt file, one text a line"
        raise _other_kind(table, fix, name, way_out)
    if begin.lower().startswith(_MARKUP):
        raise _other_kind("a web page or XML", "extract its text into a .txt file", name, way_out)
    if suffix == ".json" and begin.startswith(("[", "{")):
        fix = """write one {"text": "..."} a line, as in: jq -c '.[]' file.json > file.jsonl"""
        raise _other_kind("a JSON document", fix, name, way_out)


def _other_kind(
    kind: str, fix: str, name: str, way_out: tuple[str, str] | None = None
) -> CorpusError:
    python, command = ("", "") if way_out is None else (f"; or {x}" for x in way_out)
    return CorpusError(
        f"This is {kind}, not plain text.",
        expected="a text file in UTF-8, or one packed with gzip, xz, bzip2 or zstd",
        where=name,
        fix=fix + python,
        command_fix=fix + command,
    )
