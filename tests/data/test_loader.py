"""The loader: pure in the step, complete in the epoch, right in every row."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from fakes import SpaceSegmenter, WordTokenizer, documents_of

from albertkit.data.loader import LoaderSettings, PretrainingBatch, PretrainingLoader
from albertkit.data.shards import Shards
from albertkit.data.writing import write_shards
from albertkit.errors import RecipeError, ShardError

SETTINGS = LoaderSettings(max_tokens=24, max_predictions=5, seed=11)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """60 documents whose token ids grow by one: every id occurs once."""
    rng = np.random.default_rng(0)
    numbers = iter(range(10_000))

    def word() -> str:
        number = next(numbers)
        return f"w{number}+x{number}" if rng.random() < 0.3 else f"w{number}"

    texts = [
        [" ".join(word() for _ in range(n)) for n in rng.integers(2, 9, rng.integers(1, 30))]
        for _ in range(60)
    ]
    tokenizer = WordTokenizer(10_000)
    folder = tmp_path_factory.mktemp("loader") / "data"
    write_shards(documents_of(*texts), tokenizer, folder, segmenter=SpaceSegmenter(tokenizer))
    return Shards(folder / "train")


def loader_of(shards: Shards, batch_size: int = 4, **changes) -> PretrainingLoader:
    settings = LoaderSettings(**(vars(SETTINGS) | changes))
    return PretrainingLoader(shards, shards.special_ids, settings, batch_size)


def assert_equal(a: PretrainingBatch, b: PretrainingBatch) -> None:
    for name in vars(a):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name


def padded(batch: PretrainingBatch, values: np.ndarray, columns: int = 24) -> np.ndarray:
    """Something for each token as a rectangle, filled up with 0."""
    real = np.arange(columns) < batch.lengths[:, None]
    rectangle = np.zeros(real.shape, dtype=np.int64)
    rectangle[real] = values
    return rectangle


def true_ids(batch: PretrainingBatch, columns: int = 24) -> np.ndarray:
    ids = batch.ids.copy()
    ids[batch.target_positions] = batch.targets
    return padded(batch, ids, columns)


def test_each_row_is_two_stretches_of_the_text(shards: Shards) -> None:
    for step in range(40):
        batch = loader_of(shards).batch(step)
        assert batch.ids.shape == batch.segment_ids.shape == (batch.lengths.sum(),)
        assert len(batch) == 4
        for ids, types, length, swapped in zip(
            true_ids(batch),
            padded(batch, batch.segment_ids),
            batch.lengths,
            batch.swapped,
            strict=True,
        ):
            assert ids[0] == 2
            a_sep, b_sep = np.flatnonzero(ids == 3)
            assert b_sep == length - 1
            assert not ids[length:].any()
            assert types.tolist() == [0] * (a_sep + 1) + [1] * (b_sep - a_sep) + [0] * (24 - length)
            a, b = ids[1:a_sep], ids[a_sep + 1 : b_sep]
            assert len(a)
            assert len(b)
            # Ids follow each other in the text, so a stretch of text is a range of ids.
            assert (np.diff(a) == 1).all()
            assert (np.diff(b) == 1).all()
            assert (a[0] > b[-1]) == swapped


def test_targets_are_the_hidden_tokens(shards: Shards) -> None:
    batch = loader_of(shards, 32).batch(3)
    assert (np.diff(batch.target_positions) > 0).all()
    row = np.repeat(np.arange(32), batch.lengths)[batch.target_positions]
    wanted = [min(5, max(1, round(n * 0.15))) for n in batch.lengths.tolist()]
    assert (np.bincount(row, minlength=32) <= wanted).all()
    assert not np.isin(batch.targets, [0, 2, 3]).any()
    changed = batch.ids[batch.target_positions] != batch.targets
    assert 0.7 < changed.mean() <= 1
    assert batch.num_tokens == batch.lengths.sum()


def test_a_batch_depends_on_its_step_alone(shards: Shards) -> None:
    forward = [loader_of(shards).batch(step) for step in range(50)]
    loader = loader_of(shards)
    for step in reversed(range(50)):
        assert_equal(loader.batch(step), forward[step])
    other = loader_of(shards, seed=12).batch(0)
    assert not np.array_equal(other.ids, forward[0].ids)


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_made_ahead_are_those_of_each_step(shards: Shards, workers: int) -> None:
    loader = loader_of(shards, 100)
    batches = loader.batches(7, workers=workers)
    for step in range(7, 60):
        assert_equal(next(batches), loader_of(shards, 100).batch(step))
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("albertkit-loader")]


def test_every_epoch_shows_every_sample_once_without_a_gap(shards: Shards) -> None:
    loader = loader_of(shards, 7, short_probability=0.0)
    size = loader.num_samples(0)
    assert size % 7
    assert size == loader.num_samples(1)
    rows = np.concatenate([true_ids(loader.batch(step)) for step in range(2 * size // 7 + 1)])
    order = rows[:size].max(axis=1)
    assert 0.3 < (np.diff(order) > 0).mean() < 0.7  # shuffled, not in the order of the text
    documents = [
        sorted(int(min(r[1], r[np.argmax(r == 3) + 1]) - 5) for r in part)
        for part in (rows[:size], rows[size : 2 * size])
    ]
    # The chunks of both epochs are the same, so each shows one row from every chunk.
    plan = loader._plan(0)
    starts = shards.sentence_offsets[plan.first]
    for part in documents:
        assert (np.searchsorted(starts, part, side="right") - 1).tolist() == list(range(size))


def test_epochs_differ_in_order_and_masks(shards: Shards) -> None:
    loader = loader_of(shards, 8, short_probability=0.0)
    size = loader.num_samples(0)
    first, second = loader.batch(0), loader._samples(np.arange(size, size + 8))
    assert not np.array_equal(true_ids(first), true_ids(second))


def test_validation_shows_each_sample_once_in_the_order_of_the_text(shards: Shards) -> None:
    loader = loader_of(shards, 16)
    batches = list(loader.validation_batches())
    assert sum(len(batch.lengths) for batch in batches) == loader.num_samples(0)
    starts = np.concatenate([true_ids(batch)[:, 1] for batch in batches])
    swapped = np.concatenate([batch.swapped for batch in batches])
    assert (np.diff(starts[swapped == 0]) > 0).all()
    for once, again in zip(batches, loader.validation_batches(), strict=True):
        assert_equal(once, again)
    few = list(loader.validation_batches(20))
    assert [len(batch.lengths) for batch in few] == [16, 4]


def test_bad_settings_and_data_without_pairs_are_errors(shards: Shards, tmp_path: Path) -> None:
    for bad in ({"max_tokens": 4}, {"swap_probability": 1.5}, {"seed": -1}, {"max_ngram": 0}):
        with pytest.raises(RecipeError, match=next(iter(bad))):
            LoaderSettings(**bad)
    with pytest.raises(ShardError, match="batch_size"):
        loader_of(shards, 0)
    tokenizer = WordTokenizer()
    write_shards(
        documents_of(["only one"]), tokenizer, tmp_path / "d", segmenter=SpaceSegmenter(tokenizer)
    )
    lonely = Shards(tmp_path / "d" / "train")
    with pytest.raises(ShardError, match="no pair"):
        loader_of(lonely).batch(0)
    with pytest.raises(ShardError, match="no pair"):
        next(loader_of(lonely).batches())


def test_without_sentence_order_a_row_is_one_segment_of_the_text_as_it_stands(
    tmp_path: Path,
) -> None:
    tokenizer = WordTokenizer(1000)
    texts = [[f"w{n}" for n in range(start, start + 3)] for start in range(0, 300, 3)]
    write_shards(
        documents_of(*[[" ".join(words)] for words in texts], ["long " * 40]),
        tokenizer,
        tmp_path / "data",
        segmenter=SpaceSegmenter(tokenizer),
    )
    shards = Shards(tmp_path / "data" / "train")
    settings = LoaderSettings(max_tokens=16, sentence_order=False, short_probability=0)
    loader = PretrainingLoader(shards, shards.special_ids, settings, 101)
    batch = loader.batch(0)
    assert loader.num_samples(0) == 101  # single sentences are samples, too
    assert sorted(batch.lengths.tolist()) == [5] * 100 + [16]  # [CLS] 3 words [SEP]; one cut
    assert not batch.segment_ids.any()
    assert not batch.swapped.any()
    true = true_ids(batch, 16).tolist()
    rows = {tuple(row[:length]) for row, length in zip(true, batch.lengths, strict=True)}
    expected = {(2, *(tokenizer.ids[word] for word in words), 3) for words in texts}
    assert expected < rows
    with pytest.raises(ShardError) as caught:
        PretrainingLoader(shards, shards.special_ids, LoaderSettings(), 4).batch(0)
    assert "run.sentence_order" in caught.value.facts["to do"]


def test_rows_of_a_batch_are_a_batch_with_positions_of_its_own(shards: Shards) -> None:
    batch = loader_of(shards, 10).batch(2)
    parts = [batch.rows(0, 3), batch.rows(3, 9), batch.rows(9, 99)]
    assert [len(part) for part in parts] == [3, 6, 1]
    for name in ("ids", "segment_ids", "lengths", "targets", "swapped"):
        assert np.array_equal(np.concatenate([getattr(x, name) for x in parts]), vars(batch)[name])
    shown = [part.ids[part.target_positions] for part in parts]
    assert np.array_equal(np.concatenate(shown), batch.ids[batch.target_positions])
