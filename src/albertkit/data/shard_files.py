"""What is in a data folder: names of files and the type of a token (see shards.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

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
