"""Distributions of samples against the statistics of the original programs, on their texts.

A figure agrees when |ours - theirs| is within 4 standard errors, taken from the spread of runs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rjieba
from sampling import z_scores

from albertkit.data.corpus import Document
from albertkit.data.loader import LoaderSettings, PretrainingLoader
from albertkit.data.shards import Shards
from albertkit.data.writing import write_shards
from albertkit.text.tokenizer import Tokenizer

pytestmark = pytest.mark.shared

LIMIT = 4.0
# google's rule for chunks of one sentence changes these; ours is brightmart's (see pairs.py).
CHUNK_RULE = {"fraction_label_1", "instances", "segment_a_mean", "length_mean", "length_std"}
CHUNK_RULE |= {"predictions_mean"}
HAN = re.compile("[\u4e00-\u9fa5]")


class BrightmartWords:
    """Word starts as albert_zh's get_new_segment finds them: jieba words of at most 3 characters.

    `whole` = False: every token is a word.
    """

    name, fingerprint = "brightmart", "0" * 64

    def __init__(self, tokenizer: Tokenizer, whole: bool) -> None:
        self.tokenizer, self.whole = tokenizer, whole

    def encode(
        self, texts: list[str]
    ) -> list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_]]]:
        encoded = []
        for ids in self.tokenizer.ids_batch(texts):
            pieces = [self.tokenizer.pieces[i] for i in ids]
            starts = [not piece.startswith("##") for piece in pieces]
            encoded.append((np.array(ids, np.uint32), self._starts(pieces, starts)))
        return encoded

    def _starts(self, pieces: list[str], starts: list[bool]) -> npt.NDArray[np.bool_]:
        if not self.whole:
            return np.ones(len(pieces), bool)
        words = set(rjieba.cut("".join(pieces), True))
        i = 0
        while i < len(pieces):
            found = 1
            if HAN.search(pieces[i]):
                sizes = [n for n in (3, 2, 1) if "".join(pieces[i : i + n]) in words]
                found = min(sizes[0], len(pieces) - i) if sizes else 1
            starts[i + 1 : i + found] = [False] * (found - 1)
            i += found
        return np.array(starts, bool)


@pytest.fixture(scope="module")
def statistics(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "golden/pretraining_data/statistics.json").read_text())


def shards_of(shared: Path, folder: Path, language: str, **options: bool) -> Shards:
    """The original's text as shards: each line is one sentence, blank lines between documents."""
    name = {"en": "en/30k-clean.model", "zh": "zh/vocab.txt"}[language]
    tokenizer = Tokenizer.load(shared / "vocab" / name)
    text = (shared / f"golden/pretraining_data/corpus_{language}.txt").read_text("utf-8")
    documents = [Document(part.strip().split("\n"), "golden") for part in text.split("\n\n")]
    segmenter = BrightmartWords(tokenizer, **options) if options else None
    write_shards(documents, tokenizer, folder, segmenter=segmenter)
    return Shards(folder / "train")


def disagreeing(scores: dict[str, float]) -> dict[str, float]:
    return {name: score for name, score in scores.items() if abs(score) > LIMIT}


@pytest.fixture(scope="module")
def english(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return shards_of(shared, tmp_path_factory.mktemp("english") / "data", "en")


@pytest.mark.parametrize(
    ("setting", "options"),
    [
        ("google_en_seq128", {}),
        ("google_en_ngram1", {"max_ngram": 1}),
        ("google_en_seq512_pred20", {"max_tokens": 512}),
        ("google_en_seq512_pred77", {"max_tokens": 512, "max_predictions": 77}),
    ],
)
def test_english_masks_are_distributed_like_googles(
    english: Shards, statistics: dict[str, Any], setting: str, options: dict[str, int]
) -> None:
    loader = PretrainingLoader(english, english.special_ids, LoaderSettings(**options), 32)
    ids, starts = english.tokens_at(np.arange(english.num_tokens))
    begins_word = np.zeros(english.special_ids.vocab_size, bool)
    begins_word[ids[starts]] = True
    scores = z_scores(loader, statistics[setting]["runs"], begins_word)
    assert not disagreeing(scores).keys() - CHUNK_RULE
    # Where the rule differs on purpose, the share of swapped pairs is one half.
    swapped = np.concatenate([loader.batch(step).swapped for step in range(500)])
    assert abs(swapped.mean() - 0.5) < LIMIT * 0.5 / np.sqrt(len(swapped))


@pytest.mark.parametrize(
    ("setting", "whole", "options"),
    [
        ("brightmart_zh_whole_word_seq128", True, {}),
        ("brightmart_zh_no_whole_word", False, {}),
        (
            "brightmart_zh_script_settings_seq512_pred51_prob10",
            True,
            {"max_tokens": 512, "max_predictions": 51, "masked_probability": 0.1},
        ),
    ],
)
def test_chinese_samples_are_distributed_like_brightmarts(
    shared: Path,
    tmp_path: Path,
    statistics: dict[str, Any],
    setting: str,
    whole: bool,
    options: dict[str, Any],
) -> None:
    shards = shards_of(shared, tmp_path / "data", "zh", whole=whole)
    # albert_zh has no n-grams.
    settings = LoaderSettings(max_ngram=1, **options)
    loader = PretrainingLoader(shards, shards.special_ids, settings, 32)
    scores = z_scores(loader, statistics[setting]["runs"])
    assert len(scores) == 16
    assert not disagreeing(scores)
