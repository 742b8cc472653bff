"""Held-out sentences with a content word masked: which words, and that they are the same ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from albertkit.data.corpus import Document
from albertkit.data.folder import DataFolder
from albertkit.data.masked_examples import masked_examples
from albertkit.data.writing import write_shards
from albertkit.text.tokenizer import MASK, Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# "harbour" is two pieces, "the" is the most frequent one, "ox" is short.
ENGLISH = ["the", "river", "bridge", "ox", "harb", "##our", ".", "a", "near", "stands", "old", "b"]
CHINESE = [*"的江河桥海船在旁边有一座。"]


class Segmenter:
    """Word starts do not matter here."""

    name, fingerprint = "any", "0" * 64

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def encode(
        self, texts: list[str]
    ) -> list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_]]]:
        found = self.tokenizer.ids_batch(texts)
        return [(np.array(ids, np.uint32), np.ones(len(ids), bool)) for ids in found]


def data_of(folder: Path, pieces: list[str], sentences: list[str]) -> DataFolder:
    (folder / "vocab.txt").write_text("\n".join(SPECIAL + pieces) + "\n", encoding="utf-8")
    tokenizer = Tokenizer.load(folder / "vocab.txt")
    documents = [Document([text] * 2, f"document {n}") for n, text in enumerate(sentences)]
    write_shards(
        documents,
        tokenizer,
        folder / "data",
        validation_fraction=0.5,
        segmenter=Segmenter(tokenizer),
    )
    return DataFolder.open(folder / "data")


@pytest.mark.parametrize(
    ("pieces", "text", "words"),
    [
        (
            ENGLISH,
            "the old ox stands near the harbour near the bridge.",
            {"old", "stands", "near", "bridge"},
        ),
        (CHINESE, "江边的桥旁有一座的桥在海边的船。", set("江边桥旁有一座在海船")),
    ],
    ids=["English", "Chinese"],
)
def test_the_word_is_a_piece_by_itself_and_not_a_frequent_one(
    tmp_path: Path, pieces: list[str], text: str, words: set[str]
) -> None:
    data = data_of(tmp_path, pieces, [text] * 200)
    found = masked_examples(data, 100)
    assert len(found) == 100
    assert {word for _, word in found} == words
    for masked, word in found:
        assert masked.count(MASK) == 1
        shown = masked.replace(MASK, word)
        assert data.tokenizer.ids(shown) == data.tokenizer.ids(text)
    assert found == masked_examples(data, 100)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("the river.", "too short"),
        ("the old xyzzy stands near the old bridge.", "an unknown piece"),
        ("the bridge . . . . . . . . . . . .", "a table"),
    ],
)
def test_sentences_that_cannot_be_read_are_left_out(tmp_path: Path, text: str, why: str) -> None:
    data = data_of(tmp_path, ENGLISH, [text] * 20)
    assert masked_examples(data, 5) == [], why
