"""Bytes to lines of text in bounded memory, with errors that say where.

A line is what ends in "\\n", "\\r\\n" or "\\r"; other separators of Unicode stay in the line, where
sentence splitting turns them into a space. A byte order mark at the start is dropped.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from albertkit.data.archives import TextFile
from albertkit.data.sentences import best_cut
from albertkit.errors import CorpusError

PIECE_BYTES = 1 << 18
MAX_LINE_CHARACTERS = 1 << 20
_FIX = {
    "fix": 'convert the file to UTF-8, or read on with errors="replace"',
    "command_fix": "convert the file to UTF-8, as in iconv -f GB18030 -t UTF-8 old.txt > new.txt; "
    "or read on with --errors replace",
}


@dataclass
class CorpusReport:
    """What was read so far: counts, choices and everything that was changed or left out."""

    documents: int = 0
    sentences: int = 0
    text_bytes: int = 0
    cut_lines: int = 0
    cut_documents: int = 0
    replaced_characters: int = 0
    files: int = 0
    skipped_files: int = 0
    formats: dict[str, int] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """What was replaced, cut or left out, and read as one document: a line each."""
        counted = [
            (self.replaced_characters, "characters that are not UTF-8 text replaced"),
            (self.cut_lines, f"cuts in lines of more than {MAX_LINE_CHARACTERS:,} characters"),
            (self.cut_documents, "documents cut in two because of their length"),
            (self.skipped_files, "files of other kinds not read"),
        ]
        lines = [f"{count:,} {what}" for count, what in counted if count]
        if self.documents == 1 and self.sentences > 1:
            lines.append("the text was read as one document; blank lines would divide it")
        return lines


def text_pieces(file: TextFile, report: CorpusReport, errors: str) -> Iterator[str]:
    """Decoded pieces of a file, with every line end as "\\n"; raises CorpusError."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors)
    done = 0
    held = ""  # a "\r" at the end of a piece may be half of "\r\n"
    while True:
        data = original = file.stream.read(PIECE_BYTES)
        report.text_bytes += len(data)
        if done == 0:
            data = _without_mark(data, file.name)
            done = len(original) - len(data)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise CorpusError(
                "The text is not valid UTF-8.",
                expected="UTF-8",
                found=f"byte 0x{error.object[error.start]:02x} ({error.reason})",
                where=f"{file.name}, byte {done - pending + error.start}",
                **_FIX,
            ) from error
        if "\0" in text:
            text = _without_nul(text, file, done - pending, report, errors)
        if errors == "replace":
            report.replaced_characters += text.count("\ufffd")
        done += len(data)
        if held or "\r" in text:
            text = held + text
            held = "\r" if text.endswith("\r") and data else ""
            text = text[: len(text) - len(held)].replace("\r\n", "\n").replace("\r", "\n")
        if text:
            yield text
        if not data:
            return


def _without_mark(data: bytes, name: str) -> bytes:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CorpusError(
            "The text is UTF-16.", expected="UTF-8", found="a UTF-16 mark", where=name, **_FIX
        )
    return data.removeprefix(codecs.BOM_UTF8)


def _without_nul(text: str, file: TextFile, begin: int, report: CorpusReport, errors: str) -> str:
    if errors == "replace":
        report.replaced_characters += text.count("\0")
        return text.replace("\0", " ")
    offset = begin + len(text[: text.index("\0")].encode())
    raise CorpusError(
        "There is a NUL byte in the text.",
        expected="text",
        found="a NUL byte: is this a binary file, or UTF-16?",
        where=f"{file.name}, byte {offset}",
        **_FIX,
    )


def lines_of(pieces: Iterable[str], report: CorpusReport) -> Iterator[str]:
    """Lines without their ends; one over MAX_LINE_CHARACTERS comes in several parts, counted."""
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        yield from whole
        while len(rest) > MAX_LINE_CHARACTERS:
            cut = best_cut(rest, MAX_LINE_CHARACTERS)
            report.cut_lines += 1
            yield rest[:cut]
            rest = rest[cut:]
    if rest:
        yield rest
