"""Find and read the files of a tokenizer; each mistake gets an answer of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from albertkit.errors import VocabularyError
from albertkit.files import json_text

SENTENCEPIECE_FILE = "spiece.model"
WORDPIECE_FILE = "vocab.txt"
SETTINGS_FILE = "tokenizer_config.json"
# Released ones have 30,000 pieces in 760 kB, the largest of others (IndicBERT) 200,000.
# Each piece takes some 300 bytes of memory.
LARGEST_BYTES = 8 << 20
MOST_PIECES = 250_000


def find_vocabulary(path: Path) -> Path:
    """The vocabulary file that a path means.

    Raises:
        VocabularyError: no file, or two of different kinds.
    """
    if path.is_dir():
        there = [path / n for n in (SENTENCEPIECE_FILE, WORDPIECE_FILE) if (path / n).is_file()]
        if len(there) != 1:
            raise VocabularyError(
                "The folder does not tell its tokenizer.",
                expected=f"either {SENTENCEPIECE_FILE} or {WORDPIECE_FILE}",
                found="both" if there else "neither",
                where=path,
                fix="name the vocabulary file itself",
            )
        return there[0]
    if not path.is_file():
        raise VocabularyError(
            "There is no such vocabulary.",
            expected=f"a folder with {SENTENCEPIECE_FILE} or {WORDPIECE_FILE}, or such a file",
            found="no such file",
            where=path,
            fix="check the path, or make one with: albertkit build-vocab",
        )
    if path.suffix not in (".model", ".txt"):
        raise VocabularyError(
            "The file name does not tell the kind of vocabulary.",
            expected="*.model (SentencePiece) or *.txt (WordPiece)",
            found=path.name,
            where=path,
            fix="rename a copy of the file",
        )
    return path


def read_settings(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json of a folder, or nothing.

    Raises:
        VocabularyError: it is not a JSON object.
    """
    path = folder / SETTINGS_FILE
    if not path.is_file():
        return {}
    try:
        values = json.loads(json_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise VocabularyError(
            "The tokenizer settings are no JSON.",
            found=str(error),
            where=path,
            fix="mend the file, or delete it to get the defaults",
        ) from error
    if not isinstance(values, dict):
        raise VocabularyError(
            "The tokenizer settings are no JSON object.",
            expected="{...}",
            found=type(values).__name__,
            where=path,
            fix="mend the file, or delete it to get the defaults",
        )
    if not isinstance(values.get("do_lower_case", True), bool):
        raise VocabularyError(
            "The tokenizer settings hold a wrong value.",
            expected="do_lower_case is true or false",
            found=values["do_lower_case"],
            where=path,
            fix="mend the file, or delete it to get the defaults",
        )
    return values


def read_bytes(path: Path) -> bytes:
    """Content of a vocabulary file.

    Raises:
        VocabularyError: it cannot be read, or is larger than any vocabulary.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise too_large(f"at most {LARGEST_BYTES:,} bytes", "more", path)
        return content
    except OSError as error:
        raise VocabularyError(
            "The vocabulary cannot be read.",
            expected="a file that may be read",
            found=error.strerror,
            where=path,
            fix="change its permissions, or copy it again",
        ) from error


def too_large(expected: str, found: str, path: Path) -> VocabularyError:
    """The error for what no vocabulary of an ALBERT can be."""
    return VocabularyError(
        "The vocabulary is larger than that of any ALBERT.",
        expected=expected,
        found=found,
        where=path,
        fix="check that the file is the right one",
    )
