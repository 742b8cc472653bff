"""Figures of batches in the terms of shared/golden/pretraining_data/statistics.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from albertkit.data.loader import PretrainingBatch, PretrainingLoader

Figures = dict[str, float]
Ints = npt.NDArray[np.int64]
OUR_RUNS, EPOCHS_PER_RUN = 6, 5  # the originals were run with dupe_factor 5, three times


def figures_of(
    loader: PretrainingLoader, epochs: range, starts: npt.NDArray[np.bool_] | None
) -> Figures:
    """Means, fractions and shares over some epochs; `starts` (vocabulary): ids that begin words."""
    counts: Counter[str] = Counter()
    token_runs: Counter[int] = Counter()
    word_runs: Counter[int] = Counter()
    lengths: list[int] = []
    for batch in _batches(loader, epochs):
        counts["rows"] += len(batch.lengths)
        counts["swapped"] += int(batch.swapped.sum())
        counts["targets"] += len(batch.targets)
        shown = batch.ids[batch.target_positions]
        counts["mask"] += int((shown == loader.special_ids.mask_id).sum())
        counts["kept"] += int((shown == batch.targets).sum())
        row = np.repeat(np.arange(len(batch)), batch.lengths)[batch.target_positions]
        per_row = np.bincount(row, minlength=len(batch.lengths))
        counts["full"] += int((per_row == _budgets(loader, batch)).sum())
        counts["segment_a"] += int((batch.segment_ids == 0).sum())
        lengths += batch.lengths.tolist()
        token_runs.update(runs_of(batch.target_positions))
        if starts is not None:
            word_runs.update(runs_of(_masked_words(batch, starts)))
    rows, targets = counts["rows"], counts["targets"]
    figures = {
        "fraction_label_1": counts["swapped"] / rows,
        "length_mean": float(np.mean(lengths)),
        "length_std": float(np.std(lengths)),
        "segment_a_mean": counts["segment_a"] / rows,
        "predictions_mean": targets / rows,
        "whole_budget": counts["full"] / rows,
        "masked_over_all": targets / sum(lengths),
        "to_mask": counts["mask"] / targets,
        "kept": counts["kept"] / targets,
        "to_random": 1 - (counts["mask"] + counts["kept"]) / targets,
        "instances": rows / len(epochs),
        **_shares("token_run", token_runs),
    }
    return figures | (_shares("word_run", word_runs) if starts is not None else {})


def golden_figures(run: dict[str, Any], words: bool) -> Figures:
    """The same figures of one run of the original program."""
    token_runs = run["runs_of_adjacent_masked_tokens_histogram"]
    figures = {
        "fraction_label_1": run["fraction_label_1"],
        "length_mean": run["length_tokens_incl_special"]["mean"],
        "length_std": run["length_tokens_incl_special"]["std"],
        "segment_a_mean": run["segment_a_length_incl_cls_sep"]["mean"],
        "predictions_mean": run["predictions_per_sequence"]["mean"],
        "whole_budget": run["fraction_of_sequences_using_the_whole_budget"],
        "masked_over_all": run["masked_tokens_over_all_tokens"],
        "to_mask": run["fraction_to_MASK"],
        "kept": run["fraction_kept"],
        "to_random": run["fraction_to_random"],
        "instances": run["instances"] / EPOCHS_PER_RUN,
        **_shares("token_run", Counter({int(k): v for k, v in token_runs.items()})),
    }
    if words:
        word_runs = run["runs_of_adjacent_masked_words_histogram"]
        figures |= _shares("word_run", Counter({int(k): v for k, v in word_runs.items()}))
    return figures


def z_scores(
    loader: PretrainingLoader,
    golden: list[dict[str, Any]],
    starts: npt.NDArray[np.bool_] | None = None,
) -> dict[str, float]:
    """(ours - theirs) / standard error for every figure, the spread taken from all runs."""
    size = EPOCHS_PER_RUN
    ours = [
        figures_of(loader, range(size * run, size * run + size), starts) for run in range(OUR_RUNS)
    ]
    theirs = [golden_figures(run, starts is not None) for run in golden]
    scores = {}
    for name in ours[0]:
        a = np.array([run[name] for run in ours])
        b = np.array([run[name] for run in theirs])
        squares = ((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()
        spread = np.sqrt(squares / (len(a) + len(b) - 2) * (1 / len(a) + 1 / len(b)))
        difference = float(a.mean() - b.mean())
        scores[name] = difference / spread if spread > 1e-12 else difference * 1e9
        print(f"{name:24s} {a.mean():10.5f} {b.mean():10.5f}   z {scores[name]:6.2f}")
    return scores


def runs_of(positions: Ints) -> list[int]:
    """Lengths of runs of adjacent numbers in ascending positions."""
    breaks = np.flatnonzero(np.diff(positions) != 1)
    edges = np.concatenate([[-1], breaks, [len(positions) - 1]])
    return [int(length) for length in np.diff(edges)]


def _batches(loader: PretrainingLoader, epochs: range) -> Iterator[PretrainingBatch]:
    """All samples of the epochs, with a loader of its own so that batches are large."""
    large = PretrainingLoader(loader.shards, loader.special_ids, loader.settings, 256)
    begin = sum(large.num_samples(epoch) for epoch in range(epochs.start))
    left = sum(large.num_samples(epoch) for epoch in epochs)
    skip = begin % 256
    step = begin // 256
    while left:
        batch = large.batch(step)
        rows = batch.rows(skip, min(256, skip + left))
        yield rows
        left -= len(rows.lengths)
        skip, step = 0, step + 1


def _budgets(loader: PretrainingLoader, batch: PretrainingBatch) -> Ints:
    """The rule for the number of predictions, in plain Python."""
    most, share = loader.settings.max_predictions, loader.settings.masked_probability
    return np.array([min(most, max(1, round(n * share))) for n in batch.lengths.tolist()])


def _masked_words(batch: PretrainingBatch, starts: npt.NDArray[np.bool_]) -> Ints:
    """Numbers of the words that are predicted, such that words of two rows are never adjacent."""
    true = batch.ids.copy()
    true[batch.target_positions] = batch.targets
    column = np.arange(batch.lengths.max())
    real = column < batch.lengths[:, None]
    ids, segment_ids = np.zeros((2, *real.shape), dtype=np.int64)
    ids[real], segment_ids[real] = true, batch.segment_ids
    segment_a = (batch.lengths - segment_ids.sum(axis=1))[:, None]
    special = (column == 0) | (column == segment_a - 1) | (column >= batch.lengths[:, None] - 1)
    first = (column == 1) | (column == segment_a)
    # A run of words ends at [SEP], so the number jumps there.
    word = np.cumsum((starts[ids] | first) & ~special, axis=1) + (column >= segment_a)
    word += 1000 * np.arange(len(word))[:, None]
    return np.unique(word[real][batch.target_positions])


def _shares(name: str, histogram: Counter[int]) -> Figures:
    """Shares of runs of 1, 2, 3, 4 and 5 or more."""
    total = sum(histogram.values())
    figures = {f"{name}_{n}": histogram[n] / total for n in range(1, 5)}
    figures[f"{name}_5+"] = sum(v for k, v in histogram.items() if k >= 5) / total
    return figures
