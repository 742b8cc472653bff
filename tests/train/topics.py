"""Four topics of ten words: the context of a mask narrows 40 words down to 10."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt

from albertkit.data.corpus import Document
from albertkit.text.tokenizer import Tokenizer

NUM_WORDS = 40
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


class EveryTokenIsAWord:
    """A segmenter for texts whose words are single tokens."""

    name = "every token"
    fingerprint = "0" * 64

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def encode(
        self, texts: list[str]
    ) -> list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_]]]:
        return [
            (np.array(ids, np.uint32), np.ones(len(ids), bool))
            for ids in self.tokenizer.ids_batch(texts)
        ]


def on_topics(seed: int, documents: int) -> list[Document]:
    """Documents that keep to ten words each: "w3 w7 w1 w1 w9 w0", or "w31 w38 w30 w33 w35"."""
    chance = random.Random(seed)
    made = []
    for number in range(documents):
        topic = 10 * chance.randrange(NUM_WORDS // 10)
        sentences = [
            " ".join(f"w{topic + chance.randrange(10)}" for _ in range(chance.randint(5, 12)))
            for _ in range(chance.randint(4, 9))
        ]
        made.append(Document(sentences, f"document {number}"))
    return made
