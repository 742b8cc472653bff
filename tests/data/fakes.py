"""Stand-ins for a tokenizer and its word segmenter: one id per word, to be read by eye."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from albertkit.data.corpus import Document


class WordTokenizer:
    """Gives each new word the next free id; a word "long+er" is two tokens, "long" and "+er"."""

    kind = "wordpiece"
    lower_case = True
    fingerprint = "f" * 64
    pad_id, unk_id, cls_id, sep_id, mask_id = 0, 1, 2, 3, 4

    def __init__(self, vocab_size: int = 1000) -> None:
        self.vocab_size = vocab_size
        self.ids: dict[str, int] = {}

    def id_of(self, piece: str) -> int:
        return self.ids.setdefault(piece, 5 + len(self.ids))

    def save(self, folder: Path) -> None:
        (folder / "vocab.txt").write_text("\n".join(self.ids))


class SpaceSegmenter:
    """Words are what stands between spaces."""

    name = "spaces"
    fingerprint = "e" * 64

    def __init__(self, tokenizer: WordTokenizer) -> None:
        self.tokenizer = tokenizer

    def encode(
        self, texts: list[str]
    ) -> list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_]]]:
        encoded = []
        for text in texts:
            pieces = [p for word in text.split() for p in word.replace("+", " +").split()]
            ids = [self.tokenizer.id_of(piece) for piece in pieces]
            starts = [not piece.startswith("+") for piece in pieces]
            encoded.append((np.array(ids, np.uint32), np.array(starts, bool)))
        return encoded


def documents_of(*texts: Iterable[str]) -> list[Document]:
    """Documents from lists of sentences."""
    return [Document(list(sentences), f"document {i}") for i, sentences in enumerate(texts)]
