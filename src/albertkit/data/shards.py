"""Tokenized text on disk, read through memory maps.

    DATA/                   made whole or not at all
      train/                a `Shards` folder
        tokens.bin          one id per token, little-endian uint16 (vocabularies to 32,768 pieces)
                            or uint32; the top bit marks the first token of a word
        sentences.bin       int64: first token of each sentence, then the number of tokens
        documents.bin       int64: first sentence of each document, then the number of sentences
        index.json          format version, counts, sizes, SHA-256, tokenizer, word segmenter
      validation/           the held-out documents, when some were asked for
      tokenizer/            the tokenizer the ids belong to

This module reads; writing.py writes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from albertkit.errors import ShardError, quoted
from albertkit.files import sha256_of

Ints = npt.NDArray[np.int64]

FORMAT = "albertkit-shards"
FORMAT_VERSION = 1
INDEX, TOKENS, SENTENCES, DOCUMENTS = "index.json", "tokens.bin", "sentences.bin", "documents.bin"
TRAIN, VALIDATION, TOKENIZER = "train", "validation", "tokenizer"


@dataclass(frozen=True)
class TokenIds:
    """The special ids of the tokenizer that made the shards, and its vocabulary's size."""

    pad_id: int
    cls_id: int
    sep_id: int
    mask_id: int
    vocab_size: int


def token_type(vocab_size: int) -> tuple[np.dtype[Any], int]:
    """The type a token is stored in and the bit that marks the start of a word."""
    if vocab_size <= 1 << 15:
        return np.dtype("<u2"), 1 << 15
    return np.dtype("<u4"), 1 << 31


class Shards:
    """A folder of tokenized documents, memory-mapped.

    `sentence_offsets` (num_sentences + 1) and `document_offsets` (num_documents + 1), int64, as in
    sentences.bin and documents.bin. Format version and file sizes are checked on opening, hashes
    when `verify()` is called. `tokenizer_fingerprint`, when given, must be that of the shards.
    Raises ShardError.
    """

    def __init__(self, folder: str | Path, *, tokenizer_fingerprint: str | None = None) -> None:
        self.folder = Path(folder)
        self.index = _read_index(self.folder)
        try:
            self.num_documents = int(self.index["num_documents"])
            self.num_sentences = int(self.index["num_sentences"])
            self.num_tokens = int(self.index["num_tokens"])
            tokenizer = self.index["tokenizer"]
            self.tokenizer_fingerprint = str(tokenizer["fingerprint"])
            names = ("pad_id", "cls_id", "sep_id", "mask_id", "vocab_size")
            self.special_ids = TokenIds(**{name: int(tokenizer[name]) for name in names})
            sizes = {name: int(facts["bytes"]) for name, facts in self.index["files"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ShardError(
                "The index of the shards is damaged.",
                expected="an index.json written by albertkit make-data",
                found=f"{type(error).__name__}: {error}",
                where=self.folder / INDEX,
                fix="make the data again",
            ) from error
        if tokenizer_fingerprint is not None:
            self.check_tokenizer(tokenizer_fingerprint)
        self._dtype, self._start_bit = token_type(self.special_ids.vocab_size)
        self._check_sizes(sizes)
        self._tokens = self._map(TOKENS, self._dtype)
        self.sentence_offsets: Ints = self._map(SENTENCES, np.dtype("<i8"))
        self.document_offsets: Ints = self._map(DOCUMENTS, np.dtype("<i8"))

    def tokens_at(self, places: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Ids (int64) and word starts of the tokens at these offsets."""
        raw = self._tokens[places]
        return (raw & (self._start_bit - 1)).astype(np.int64), raw >= self._start_bit

    def sentence(self, index: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Ids and word starts of one sentence."""
        begin, end = self.sentence_offsets[index : index + 2]
        return self.tokens_at(np.arange(begin, end))

    def token_counts(self) -> Ints:
        """How often each id of the vocabulary occurs, (vocab_size,); reads all tokens once."""
        counts = np.zeros(self.special_ids.vocab_size, dtype=np.int64)
        for begin in range(0, self.num_tokens, 1 << 22):
            part = self._tokens[begin : begin + (1 << 22)] & (self._start_bit - 1)
            counts += np.bincount(part, minlength=len(counts))
        return counts

    def verify(self) -> None:
        """Read every file and compare its SHA-256 with the index."""
        for name, facts in self.index["files"].items():
            found = sha256_of(self.folder / name)
            if found != facts["sha256"]:
                raise ShardError(
                    "A file of the shards has changed.",
                    expected=f"SHA-256 {facts['sha256']}",
                    found=f"SHA-256 {found}",
                    where=self.folder / name,
                    fix="copy it again from where it was made, or make the data again",
                )

    def check_tokenizer(self, wanted: str) -> None:
        """Raise a ShardError unless a tokenizer of this fingerprint made the shards."""
        if wanted != self.tokenizer_fingerprint:
            raise ShardError(
                "The shards were made with another tokenizer.",
                expected=f"tokenizer {wanted[:16]}",
                found=f"tokenizer {self.tokenizer_fingerprint[:16]}",
                where=self.folder,
                fix=f"use {self.folder.parent / TOKENIZER}, or make the data again",
            )

    def _check_sizes(self, sizes: dict[str, int]) -> None:
        counted = {
            TOKENS: self.num_tokens * self._dtype.itemsize,
            SENTENCES: (self.num_sentences + 1) * 8,
            DOCUMENTS: (self.num_documents + 1) * 8,
        }
        for name, expected in counted.items():
            path = self.folder / name
            found = path.stat().st_size if path.is_file() else None
            if not found == expected == sizes.get(name):
                raise ShardError(
                    "A file of the shards is missing or has the wrong size.",
                    expected=f"{expected:,} bytes",
                    found="no such file" if found is None else f"{found:,} bytes",
                    where=path,
                    fix="copy it again from where it was made, or make the data again",
                )

    def _map(self, name: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        # A plain array over the map: indexing np.memmap itself is several times slower.
        return np.asarray(np.memmap(self.folder / name, dtype=dtype, mode="r"))


def _found_instead(folder: Path) -> str:
    return f"no {INDEX}" if folder.exists() else "no such folder"


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    if not path.is_file():
        inside = folder / TRAIN / INDEX
        data = folder.parent if folder.name in (TRAIN, VALIDATION) else folder
        text, output = (data, f"{data.stem}-data") if data.is_file() else ("TEXT", data)
        raise ShardError(
            "There are no shards here.",
            expected=f"a folder with {INDEX}",
            found="a file" if data.is_file() else _found_instead(folder),
            where=data if data.is_file() else folder,
            fix=f"open {inside.parent}"
            if inside.is_file()
            else "make them with albertkit.make_data",
            command_fix=None
            if inside.is_file()
            else f"albertkit make-data {quoted(text)} --vocab VOCAB --output {quoted(output)} "
            "makes them; VOCAB may be a model, as albertkit/tiny-en",
        )
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ShardError(
            "The index of the shards is not JSON.",
            expected="an index.json written by albertkit make-data",
            found=str(error),
            where=path,
            fix="make the data again",
        ) from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise ShardError(
            "This is not an index of albertkit shards.",
            expected=f'"format": "{FORMAT}"',
            found=repr(index.get("format") if isinstance(index, dict) else type(index).__name__),
            where=path,
            fix="give a data folder that albertkit made",
        )
    if index.get("format_version") != FORMAT_VERSION:
        raise ShardError(
            "These shards are of another format version.",
            expected=FORMAT_VERSION,
            found=index.get("format_version"),
            where=path,
            fix="make the data again, or use the version of albertkit that made them",
        )
    return index
