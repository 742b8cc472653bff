"""Find and read the files of a tokenizer; each mistake gets its own answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from albertkit.errors import VocabularyError, quoted
from albertkit.files import LFS_POINTER, is_web_page

SENTENCEPIECE_FILE = "spiece.model"
WORDPIECE_FILE = "vocab.txt"
TOKENIZER_FILE = "tokenizer.json"
KERAS_FILE = "vocabulary.spm"
USUAL_FILES = (
    SENTENCEPIECE_FILE,
    WORDPIECE_FILE,
    KERAS_FILE,
    f"assets/tokenizer/{KERAS_FILE}",
)
OTHER_FILES = ("*.model", "*.spm", "*vocab*.txt")
SUFFIXES = (".model", ".spm", ".txt", ".json")
# Released ones have 30,000 pieces in 760 kB, the largest of others (IndicBERT) 200,000.
# Each piece takes some 300 bytes of memory.
MAX_BYTES = 8 << 20
MAX_PIECES = 250_000
MAX_TOKENIZER_BYTES = 32 << 20


def candidates(folder: Path) -> list[Path]:
    """What may be the vocabulary of a folder: files of the usual names, else of others.

    tokenizer.json holds all of a tokenizer; it counts where nothing else is, and only if it is that
    of the `tokenizers` library (KerasHub has another file of this name).
    """
    usual = [folder / name for name in USUAL_FILES if (folder / name).is_file()]
    if usual:
        return usual
    json_file = folder / TOKENIZER_FILE
    if json_file.is_file() and holds_model(json_file):
        return [json_file]
    return sorted({path for pattern in OTHER_FILES for path in folder.glob(pattern)})


def holds_model(path: Path) -> bool:
    """Whether a tokenizer.json is one of the `tokenizers` library: it holds its vocabulary."""
    try:
        with path.open("rb") as file:
            head = file.read(MAX_TOKENIZER_BYTES)
    except OSError:
        return True  # the error is raised where the file is opened
    return b'"model"' in head and b'"vocab"' in head


def find_vocabulary(path: Path) -> Path:
    """The vocabulary file that a path means.

    Raises:
        VocabularyError: no file, or several.
    """
    if path.is_dir():
        there = candidates(path)
        if len(there) != 1:
            names = ", ".join(str(file.relative_to(path)) for file in there[:5])
            raise VocabularyError(
                "The tokenizer of the folder is not clear.",
                expected=f"one of {SENTENCEPIECE_FILE}, {WORDPIECE_FILE}, {TOKENIZER_FILE}",
                found=f"several: {names}" if there else "none of them",
                where=path,
                fix="give the path of the vocabulary file itself",
            )
        return there[0]
    if not path.is_file():
        raise VocabularyError(
            "The vocabulary was not found.",
            expected=f"a folder with {SENTENCEPIECE_FILE} or {WORDPIECE_FILE}, or such a file",
            found="no such file",
            where=path,
            fix="check the path, or give the name of a model",
            command_fix="check the path or the name, or make one: "
            f"albertkit build-vocab TEXT --output {quoted(path)}",
        )
    if path.suffix not in SUFFIXES:
        raise VocabularyError(
            "Unknown kind of vocabulary file.",
            expected="*.model or *.spm (SentencePiece), *.txt (WordPiece) or tokenizer.json",
            found=path.name,
            where=path,
            fix="rename a copy of the file",
        )
    return path


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """Content of a vocabulary file.

    Raises:
        VocabularyError: it cannot be read, or is larger than any vocabulary.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise too_large(f"at most {most:,} bytes", "more", path)
        _refuse_unfetched(content, path)
        return content
    except OSError as error:
        raise VocabularyError(
            "The vocabulary cannot be read.",
            expected="a file that may be read",
            found=error.strerror,
            where=path,
            fix="change its permissions, or copy it again",
        ) from error


def _refuse_unfetched(content: bytes, path: Path) -> None:
    """Name what a download left instead of the file.

    Raises:
        VocabularyError: it is a pointer of git-lfs or a web page.
    """
    pointer = content.startswith(LFS_POINTER)
    if not pointer and not is_web_page(content):
        return
    raise VocabularyError(
        "The vocabulary was not downloaded.",
        expected="the vocabulary itself",
        found="a git-lfs pointer" if pointer else "a web page",
        where=path,
        fix="run `git lfs pull` in the repository, or download the file by itself",
    )


def too_large(expected: str, found: str, path: Path) -> VocabularyError:
    """The error for what no vocabulary of an ALBERT can be."""
    return VocabularyError(
        "The vocabulary is larger than that of any ALBERT.",
        expected=expected,
        found=found,
        where=path,
        fix="check that the file is the right one",
    )


def refuse_options(options: Mapping[str, str | None], file: Path) -> None:
    """Refuse what only a SentencePiece vocabulary can do.

    Raises:
        VocabularyError: an option is not None; "keep" asks for nothing.
    """
    for name, value in options.items():
        if value not in (None, "keep"):
            raise VocabularyError(
                f"{name} applies to SentencePiece vocabularies only.",
                expected="spiece.model or another *.model",
                found=file.name,
                where=file,
                fix=f"leave {name} out",
            )
