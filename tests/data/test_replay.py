"""Rows of two texts in one batch: how many of each, which, and always the same ones."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from albertkit.data.corpus import Document
from albertkit.data.loader import LoaderSettings, PretrainingLoader
from albertkit.data.replay import ReplayLoader
from albertkit.data.shards import Shards
from albertkit.data.writing import write_shards
from albertkit.text.tokenizer import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def loaders(tmp_path_factory: pytest.TempPathFactory) -> list[PretrainingLoader]:
    """Loaders of two texts that share no word: "a" and "b"."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, "a", "b", "##b"]) + "\n")
    tokenizer = Tokenizer.load(folder / "vocab.txt")
    made = []
    for word in ("a", "b"):
        documents = [Document([f"{word} " * 5] * 4, f"{n}") for n in range(40)]
        write_shards(documents, tokenizer, folder / word)
        shards = Shards(folder / word / "train")
        made.append(PretrainingLoader(shards, tokenizer, LoaderSettings(max_tokens=24), 6))
    return made


def texts_of(loader: ReplayLoader, step: int) -> str:
    """The word of each row of a batch."""
    batch = loader.batch(step)
    true = batch.ids.copy()
    true[batch.target_positions] = batch.targets
    return "".join("a" if 5 in row else "b" for row in np.split(true, batch.starts[1:]))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9, 0.01])
def test_the_share_holds_over_the_steps(loaders: list[PretrainingLoader], share: float) -> None:
    mixed = ReplayLoader(*loaders, share)
    batches = [texts_of(mixed, step) for step in range(50)]
    assert {len(batch) for batch in batches} == {6}
    replayed = "".join(batches).count("b")
    assert replayed == int(300 * share)
    if share == 0.25:  # 1.5 rows of 6
        assert batches[:4] == ["aaaaab", "aaaabb", "aaaaab", "aaaabb"]


def test_batches_are_a_function_of_the_step(loaders: list[PretrainingLoader]) -> None:
    mixed = ReplayLoader(*loaders, 0.3)
    ahead = list(islice(mixed.batches(3), 4))
    for step, batch in enumerate(ahead, 3):
        alone = mixed.batch(step)
        for name in ("ids", "segment_ids", "lengths", "target_positions", "targets", "swapped"):
            assert np.array_equal(getattr(batch, name), getattr(alone, name)), name


def test_each_text_keeps_the_order_it_has_alone(loaders: list[PretrainingLoader]) -> None:
    mixed = ReplayLoader(*loaders, 0.5)
    main = [mixed.batch(step).rows(0, 3) for step in range(4)]
    alone = [loaders[0].samples(3 * step, 3 * step + 3) for step in range(4)]
    for found, wanted in zip(main, alone, strict=True):
        assert np.array_equal(found.ids, wanted.ids)
        assert np.array_equal(found.target_positions, wanted.target_positions)


def test_without_whole_words_each_piece_is_masked_by_itself(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL, "b", "##b"]) + "\n")
    tokenizer = Tokenizer.load(tmp_path / "vocab.txt")
    documents = [Document(["bbb " * 4] * 4, f"{n}") for n in range(40)]
    write_shards(documents, tokenizer, tmp_path / "data")
    shards = Shards(tmp_path / "data" / "train")

    def targets(whole_words: bool) -> list[tuple[int, ...]]:
        settings = LoaderSettings(
            max_tokens=60, short_probability=0, max_ngram=1, whole_words=whole_words
        )
        batch = PretrainingLoader(shards, tokenizer, settings, 64).batch(0)
        rows = np.searchsorted(np.cumsum(batch.lengths), batch.target_positions, "right")
        return [tuple(batch.targets[rows == row].tolist()) for row in range(64)]

    # "bbb" is b ##b ##b; a row has 16 of them, and a budget of 8 holds two.
    assert set(targets(True)) == {(5, 6, 6) * 2}
    assert len(set(targets(False))) > 5
