"""Rows for words that were added to the vocabulary of a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from albertkit.checkpoint.formats.memory_map import Array
from albertkit.text.added_words import AddedWords

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint

# How the row of a word follows from those of its old pieces.
ROWS: dict[str, Callable[..., Any]] = {
    "albert.embeddings.word.weight": np.mean,
    "masked_lm.decoder.weight": np.mean,
    "masked_lm.bias": np.min,
}


def with_words(checkpoint: Checkpoint, added: AddedWords) -> Checkpoint:
    """The checkpoint with the tokenizer that has more words, and a row for each of them."""
    tensors = dict(checkpoint.tensors)
    for name in ROWS.keys() & tensors.keys():
        tensors[name] = with_rows(tensors[name], added, ROWS[name])
    # A table padded to a round size has room for some.
    size = max(checkpoint.config.vocab_size, added.tokenizer.vocab_size)
    return dataclasses.replace(
        checkpoint,
        config=dataclasses.replace(checkpoint.config, vocab_size=size),
        tensors=tensors,
        tokenizer=added.tokenizer,
    )


def with_rows(table: Array, added: AddedWords, reduce: Callable[..., Any]) -> Array:
    """A table (V, ...) with a row for each new piece, made from the rows of its old ones."""
    first, count = added.first_id, len(added.old_ids)
    larger = np.zeros((max(len(table), first + count), *table.shape[1:]), dtype=table.dtype)
    larger[: len(table)] = table
    for number, old in enumerate(added.old_ids, first):
        larger[number] = reduce(table[old], axis=0)
    return larger
