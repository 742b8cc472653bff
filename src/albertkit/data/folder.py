"""A data folder: what make-data writes from text, and what a pretraining run opens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from albertkit.data.shards import INDEX, TOKENIZER, TRAIN, VALIDATION, Shards
from albertkit.errors import ShardError
from albertkit.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class DataFolder:
    """Shards to train on, held-out shards, and their tokenizer."""

    path: Path
    train: Shards
    validation: Shards
    tokenizer: Tokenizer
    fingerprint: str  # SHA-256 over both indexes, which hold the hashes of everything else

    @classmethod
    def open(cls, folder: Path) -> DataFolder:
        """Open what albertkit make-data wrote. Raises ShardError, VocabularyError."""
        if (folder / TRAIN / INDEX).is_file() and not (folder / VALIDATION / INDEX).is_file():
            raise ShardError(
                "These data have no held-out part, so nothing could show whether a run learns.",
                expected=f"a folder {VALIDATION} beside {TRAIN}",
                where=folder,
                fix="make the data again with a held-out part (validation_fraction=0.02)",
                command_fix="make the data again with a held-out part "
                "(albertkit make-data ... --validation-fraction 0.02)",
            )
        train = Shards(folder / TRAIN)  # first: it says what is wrong with a folder without data
        tokenizer = Tokenizer.load(folder / TOKENIZER)
        train.check_tokenizer(tokenizer.fingerprint)
        validation = Shards(folder / VALIDATION, tokenizer_fingerprint=tokenizer.fingerprint)
        indexes = b"".join((part.folder / INDEX).read_bytes() for part in (train, validation))
        return cls(folder, train, validation, tokenizer, hashlib.sha256(indexes).hexdigest())

    @property
    def has_pairs(self) -> bool:
        """Whether both parts have a document of two sentences, as sentence order needs."""
        return all(
            bool((part.document_offsets[1:] - part.document_offsets[:-1] >= 2).any())
            for part in (self.train, self.validation)
        )
