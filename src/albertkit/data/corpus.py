"""Raw text in, documents of sentences out, one at a time.

`read_documents(["texts/", "wiki.xz", "-"])` reads files, folders, globs, archives and standard
input; see text_formats.py for the formats and archives.py for what is opened how.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from albertkit.data.archives import InputBytes, TextFile, open_sources
from albertkit.data.lines import CorpusReport, lines_of, text_pieces
from albertkit.data.other_kinds import refuse_markup
from albertkit.data.sentences import split_sentences
from albertkit.data.text_formats import (
    FORMATS,
    LANGUAGE_CHARACTERS,
    READERS,
    format_of,
    is_wrapped,
    language_of,
    unwrap,
)
from albertkit.errors import CorpusError

MAX_DOCUMENT_CHARACTERS = 1 << 23
_HEAD_CHARACTERS = 1 << 16
_AS_IT_IS = ('read it as it is with format="text"', "read it as it is with --format text")
LANGUAGES = ("auto", "en", "zh")


@dataclass(frozen=True)
class Document:
    """Sentences of one document in order, and the name of the file they come from."""

    sentences: list[str]
    source: str


class Corpus(Iterator[Document]):
    """Documents of some sources in a fixed order; can be walked once.

    While it is read, `report` counts what was found and chosen, and `bytes.done` of `bytes.total`
    (None for standard input) says how far it is, in bytes as they are on disk.
    """

    def __init__(
        self,
        sources: Sequence[str | Path],
        *,
        format: str = "auto",
        language: str = "auto",
        errors: str = "strict",
    ) -> None:
        _check_choice("format", format, ("auto", *FORMATS))
        _check_choice("language", language, LANGUAGES)
        _check_choice("errors", errors, ("strict", "replace"))
        self.sources = sources
        self.report = CorpusReport()
        self.bytes = InputBytes()
        self._format, self._language, self._errors = format, language, errors
        self._documents = self._read()

    def __next__(self) -> Document:
        return next(self._documents)

    def _read(self) -> Iterator[Document]:
        for file in open_sources(self.sources, self.bytes):
            self.report.files += 1
            yield from self._documents_of(file)
            self.report.skipped_files = len(self.bytes.skipped)
        skipped = self.bytes.skipped
        if not self.report.documents:
            raise CorpusError(
                "The input holds no text.",
                expected="at least one sentence",
                found=f"{self.report.text_bytes:,} bytes of text in {self.report.files} files"
                + (f", and {len(skipped)} files of other kinds" if skipped else ""),
                where=", ".join(map(str, self.sources)),
                fix="check the path and the format",
            )

    def _documents_of(self, file: TextFile) -> Iterator[Document]:
        pieces = text_pieces(file, self.report, self._errors)
        head = next(pieces, "")
        sample = head[:_HEAD_CHARACTERS]
        format, language = self._format, self._language
        if format == "auto":
            format = format_of(sample, file.name, file.one_of_many)
            if format != "jsonl":
                refuse_markup(sample, file.name, _AS_IT_IS)
        if language == "auto":
            language = language_of(sample[:LANGUAGE_CHARACTERS])
        _count(self.report.formats, format)
        _count(self.report.languages, language)

        lines = lines_of(itertools.chain([head], pieces), self.report)
        if format in ("text", "files") and is_wrapped(sample):
            lines = unwrap(lines)
        sentences: list[str] = []
        size = 0
        for paragraph in itertools.chain(READERS[format](lines, file.name), [None]):
            if paragraph is not None:
                sentences += split_sentences(paragraph, language)
                size += len(paragraph)
                if size <= MAX_DOCUMENT_CHARACTERS:
                    continue
                self.report.cut_documents += 1
            if sentences:
                self.report.documents += 1
                self.report.sentences += len(sentences)
                yield Document(sentences, file.name)
                sentences = []
            size = 0


def read_documents(
    sources: str | Path | Sequence[str | Path],
    *,
    format: str = "auto",
    language: str = "auto",
    errors: str = "strict",
) -> Corpus:
    """Read documents from files, folders, glob patterns, archives, or "-" for standard input.

    `format`: "auto" (from each file's head), "text" (blank lines between documents), "lines"
    (one document per line), "jsonl" (key "text"), "wiki" (WikiExtractor), "markdown", or "files"
    (one file, one document). `language`: "en", "zh", or "auto". `errors`: "strict" stops at the
    first byte that is not text, "replace" puts U+FFFD (a space for NUL) there and counts.
    Raises CorpusError, some of it only while documents are taken.
    """
    if isinstance(sources, (str, Path)):
        sources = [sources]
    if not sources:
        raise CorpusError(
            "No text was given.",
            expected="files, folders, patterns such as 'texts/*.txt', or - for standard input",
            fix='pass their paths, as in read_documents("text.txt")',
            command_fix="give them, as in albertkit make-data text.txt --vocab vocab --output data",
        )
    return Corpus(list(sources), format=format, language=language, errors=errors)


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise CorpusError(
            f"{option} must be one of {', '.join(choices)}.",
            found=value,
            fix=f"pass {option}={choices[0]!r}",
        )
