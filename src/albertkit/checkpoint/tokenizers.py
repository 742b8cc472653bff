"""A tokenizer by whatever names one: a vocabulary, its folder, or any model."""

from __future__ import annotations

from pathlib import Path

from albertkit.checkpoint import families
from albertkit.checkpoint.checkpoint import open_checkpoint
from albertkit.errors import CheckpointError
from albertkit.hub import resolve
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.vocabulary_files import SUFFIXES


def open_tokenizer(place: str | Path | Tokenizer) -> Tokenizer:
    """The tokenizer of a vocabulary file, of a folder with one, or of a model.

    place: also a name that `albertkit models` lists, or a hub id; an open one is returned as it is.

    Raises:
        VocabularyError: there is none, or it cannot be read.
        CheckpointError, ConfigError, DownloadError: as `Checkpoint.load`.
    """
    if isinstance(place, Tokenizer):
        return place
    if not _is_model(place):
        return Tokenizer.load(place)
    return open_checkpoint(place).require_tokenizer()


class AlbertTokenizer:
    """Opens the tokenizer of a checkpoint; what comes is a `Tokenizer` of whatever kind it is."""

    @staticmethod
    def from_pretrained(source: str | Path) -> Tokenizer:
        """The tokenizer of a vocabulary file, a folder, or a checkpoint of any family.

        Raises:
            VocabularyError: there is none, or it does not fit the model.
        """
        return open_tokenizer(source)


def _is_model(place: str | Path) -> bool:
    """Whether weights are there or a model has this name; a vocabulary alone is not a model."""
    if Path(place).suffix in SUFFIXES:
        return False
    try:
        families.claim(resolve(place), None)
    except CheckpointError:
        return False
    return True
