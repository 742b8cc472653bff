"""A vocabulary from files of text: what the command build-vocab does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from albertkit.data.archives import PACKED_SUFFIXES, TEXT_SUFFIXES
from albertkit.data.corpus import Corpus, read_documents
from albertkit.files import is_there
from albertkit.text import vocabulary
from albertkit.text.vocabulary import MAX_CHARACTERS, Kind

if TYPE_CHECKING:
    from albertkit.progress import Progress

_SUFFIXES = {*TEXT_SUFFIXES, *PACKED_SUFFIXES} - {""}


def train_vocabulary(
    sources: str | Path | Iterable[str | Path],
    kind: Kind = "sentencepiece",
    size: int = 30_000,
    output: str | Path = "vocab",
    *,
    lower_case: bool = True,
    format: str = "auto",
    language: str = "auto",
    errors: str = "strict",
    max_characters: int = MAX_CHARACTERS,
    progress: Progress | None = None,
) -> Path:
    """Train a vocabulary of exactly `size` pieces and write it as a tokenizer folder.

    The same texts give the same vocabulary. Of more than `max_characters` of text, evenly spread
    sentences are used.

    Args:
        sources: a file, folder, pattern or archive, "-" for standard input, or a list of them; or
            sentences: any other iterable of str. A list is one of paths if each of its members is
            there or is named like a text file.
        kind: "sentencepiece" with the settings of google's 30k-clean model, or "wordpiece", as the
            Chinese models have.
        size: number of pieces, special ones included.
        output: a new folder; it gets the vocabulary and the files transformers wants.
        lower_case: lower-case and take accents off, as all released vocabularies do.
        format, language, errors: how files are read, see `read_documents`.
        progress: called with ("reading", bytes so far, bytes or None) while files are read, and
            with ("training", 0, None) before the pieces are found.

    Raises:
        CorpusError: a file is missing, or holds no text.
        VocabularyError: there is no text, or not enough for so many pieces.
        OutputError: the folder exists or cannot be written.
    """
    paths = _paths(sources)
    if paths is not None:
        corpus = read_documents(paths, format=format, language=language, errors=errors)
        sentences: Iterable[str] = sentences_of(corpus, progress)
    else:
        sentences = map(str, sources)  # type: ignore[arg-type]
    return vocabulary.train_vocabulary(
        sentences, kind, size, output, lower_case=lower_case, max_characters=max_characters
    )


def sentences_of(corpus: Corpus, progress: Progress | None = None) -> Iterator[str]:
    """The sentences of all documents. progress: see `train_vocabulary`."""
    for document in corpus:
        yield from document.sentences
        if progress is not None:
            progress("reading", corpus.bytes.done, corpus.bytes.total)
    if progress is not None:
        progress("training", 0, None)


def _paths(sources: str | Path | Iterable[str | Path]) -> list[str | Path] | None:
    """The paths that are meant; None for sentences."""
    if isinstance(sources, (str, Path)):
        return [sources]
    if not isinstance(sources, (list, tuple)) or not sources:
        return None
    named = any(isinstance(each, Path) for each in sources) or all(map(_is_path, sources))
    return list(sources) if named else None


def _is_path(text: str) -> bool:
    """Whether a member of a list names a file: one that is there, or has the name of one."""
    if any(character.isspace() for character in text):
        return is_there(text)
    return Path(text).suffix.lower() in _SUFFIXES or is_there(text)
