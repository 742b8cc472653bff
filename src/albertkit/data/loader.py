"""Batches for pretraining, made on the fly from shards: pairs, masks and order from the step alone.

`loader.batch(step)` is a pure function of (shards, settings, batch size, step), so the step is the
loader's whole state: resume by asking for the next step. Every epoch shows each of its samples
once, in an order of its own; epochs follow each other without a gap, also inside a batch.
"""

from __future__ import annotations

import bisect
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from albertkit.data.batch import Batch
from albertkit.data.masking import choose_targets, corrupt, prediction_budget
from albertkit.data.pairs import (
    SPECIALS_PER_PAIR,
    SPECIALS_PER_SEGMENT,
    EpochPlan,
    Pairs,
    choose_pairs,
    choose_segments,
    plan_epoch,
)
from albertkit.data.random_hash import Keys, keys_of, permutation
from albertkit.data.shards import Shards
from albertkit.errors import ShardError
from albertkit.settings import check_ranges, setting

Ints = npt.NDArray[np.int64]

_TOKENS_PER_GROUP = 32768  # rows made in one go: enough to make numpy's cost per call small


class SpecialIds(Protocol):
    """The ids the loader needs: a Tokenizer has them, and so has `Shards.special_ids`."""

    @property
    def pad_id(self) -> int:
        """Fills a row after its last token, where one has to be as long as another."""

    @property
    def cls_id(self) -> int:
        """Begins each row."""

    @property
    def sep_id(self) -> int:
        """Ends each segment."""

    @property
    def mask_id(self) -> int:
        """Stands for a token that is to be predicted."""

    @property
    def vocab_size(self) -> int:
        """Random replacements are drawn from [0, vocab_size)."""


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """How samples are cut and masked, in a recipe as here; google's create_pretraining_data.py."""

    max_predictions: int = setting(20, "most tokens to predict in one row", low=1)
    masked_probability: float = setting(0.15, "share of tokens to predict", above=0, below=1)
    max_ngram: int = setting(3, "longest run of words that is masked together", low=1)
    whole_words: bool = setting(True, "mask the pieces of a word together")
    short_probability: float = setting(0.1, "share of rows made shorter", low=0, high=1)
    swap_probability: float = setting(0.5, "share of pairs in wrong order", low=0, high=1)


@dataclass(frozen=True, kw_only=True)
class LoaderSettings(SampleSettings):
    """What a loader makes: another seed, other samples.

    Raises:
        RecipeError: a value out of its range.
    """

    max_tokens: int = setting(128, "length of a row with its three special tokens", low=5)
    seed: int = setting(0, "where all draws begin", low=0)
    sentence_order: bool = setting(True, "make pairs; else rows are [CLS] A [SEP]")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class PretrainingBatch(Batch):
    """B rows of S tokens, packed: [CLS] A [SEP] B [SEP], with M predicted tokens.

    segment_ids: 0 for A and its specials, 1 for B and its [SEP]. `target_positions` (M,) int64:
    index into S of each predicted token, ascending. `targets` (M,) int64: the true ids there.
    `swapped` (B,) int64: 1 = segments in wrong order.
    """

    target_positions: Ints
    targets: Ints
    swapped: Ints

    @property
    def num_tokens(self) -> int:
        """S; special tokens included."""
        return len(self.ids)

    def rows(self, begin: int, end: int) -> PretrainingBatch:
        """The batch made of rows [begin, end)."""
        ends = np.cumsum(self.lengths[:end])
        first, last = int(ends[begin - 1]) if begin else 0, int(ends[-1])
        m_first, m_last = np.searchsorted(self.target_positions, [first, last])
        return PretrainingBatch(
            ids=self.ids[first:last],
            segment_ids=self.segment_ids[first:last],
            lengths=self.lengths[begin:end],
            target_positions=self.target_positions[m_first:m_last] - first,
            targets=self.targets[m_first:m_last],
            swapped=self.swapped[begin:end],
        )

    def followed_by(self, other: PretrainingBatch) -> PretrainingBatch:
        """The rows of both."""

        def joined(first: Ints, second: Ints) -> Ints:
            return np.concatenate([first, second])

        return PretrainingBatch(
            ids=joined(self.ids, other.ids),
            segment_ids=joined(self.segment_ids, other.segment_ids),
            lengths=joined(self.lengths, other.lengths),
            target_positions=joined(
                self.target_positions, other.target_positions + self.num_tokens
            ),
            targets=joined(self.targets, other.targets),
            swapped=joined(self.swapped, other.swapped),
        )


class PretrainingLoader:
    """Makes any batch of an endless run over the shards; safe to use from several threads."""

    def __init__(
        self,
        shards: Shards,
        special_ids: SpecialIds,
        settings: LoaderSettings,
        batch_size: int,
    ) -> None:
        if batch_size < 1:
            raise ShardError(
                "batch_size must be 1 or more.", found=batch_size, fix="pass batch_size=32"
            )
        self.shards = shards
        self.special_ids = special_ids
        self.settings = settings
        self.batch_size = batch_size
        self._starts = [0]  # number of samples before each epoch that is known so far
        self._plans: dict[int, EpochPlan] = {}
        self._lock = threading.Lock()

    def num_samples(self, epoch: int) -> int:
        """Samples in an epoch; it varies a little, as other documents are cut short."""
        return len(self._plan(epoch))

    def batch(self, step: int) -> PretrainingBatch:
        """The batch of optimizer-independent step `step` (>= 0); the same on every call."""
        return self.samples(step * self.batch_size, (step + 1) * self.batch_size)

    def batches(
        self, start_step: int = 0, *, workers: int = 1, ahead: int = 4
    ) -> Generator[PretrainingBatch]:
        """Endless batches from `start_step` on, made in advance by `workers` threads.

        `ahead`: groups of batches (about 32,768 tokens each) that are kept ready. The batches are
        those of `batch(step)` whatever the number of workers. Closing the iterator (or leaving it
        to the garbage collector) stops the threads.
        """
        per_group = max(1, _TOKENS_PER_GROUP // (self.batch_size * self.settings.max_tokens))

        def make_group(step: int) -> list[PretrainingBatch]:
            begin, end = step * self.batch_size, (step + per_group) * self.batch_size
            rows = self.samples(begin, end)
            cuts = range(0, end - begin, self.batch_size)
            return [rows.rows(cut, cut + self.batch_size) for cut in cuts]

        yield from prefetch(make_group, start_step, per_group, workers=workers, ahead=ahead)

    def samples(self, begin: int, end: int) -> PretrainingBatch:
        """Samples [begin, end) of the run, at least one."""
        return self._samples(np.arange(begin, end))

    def validation_batches(self, max_samples: int | None = None) -> Iterator[PretrainingBatch]:
        """Epoch 0 once, in corpus order; the last batch may have fewer rows.

        With `max_samples` only so many samples, evenly spread over the corpus.
        """
        plan = self._plan(0)
        total = len(plan)
        count = total if max_samples is None else min(max_samples, total)
        samples = np.arange(count, dtype=np.int64) * total // max(1, count)
        for begin in range(0, count, self.batch_size):
            index = samples[begin : begin + self.batch_size]
            keys = keys_of(self.settings.seed, 0, index)
            yield self._make(plan.first[index], plan.count[index].astype(np.int64), keys)

    def _plan(self, epoch: int) -> EpochPlan:
        with self._lock:
            if epoch not in self._plans:
                settings = self.settings
                plan = plan_epoch(
                    self.shards.sentence_offsets,
                    self.shards.document_offsets,
                    max_tokens=settings.max_tokens,
                    short_probability=settings.short_probability,
                    seed=settings.seed,
                    epoch=epoch,
                    sentence_order=settings.sentence_order,
                )
                if not len(plan):
                    raise ShardError(
                        "These data hold no pair of sentences.",
                        expected="at least one document of two sentences",
                        found=f"{self.shards.num_documents} documents, none that long",
                        where=self.shards.folder,
                        fix="train masked-LM alone (run.sentence_order=off), or give longer "
                        "documents",
                    )
                while len(self._plans) > 2:  # the run only ever moves forward
                    del self._plans[min(self._plans)]
                self._plans[epoch] = plan
            return self._plans[epoch]

    def _epoch_of(self, position: int) -> int:
        """The epoch that the run's sample number `position` belongs to."""
        while self._starts[-1] <= position:
            self._learn_start(len(self._starts))
        return bisect.bisect_right(self._starts, position) - 1

    def _learn_start(self, epoch: int) -> None:
        count = self.num_samples(epoch - 1)
        with self._lock:
            if len(self._starts) == epoch:
                self._starts.append(self._starts[-1] + count)

    def _samples(self, positions: Ints) -> PretrainingBatch:
        """The samples at these consecutive places of the run."""
        parts = []
        while len(positions):
            epoch = self._epoch_of(int(positions[0]))
            begin, end = self._starts[epoch], self._starts[epoch + 1]
            here, positions = positions[positions < end], positions[positions >= end]
            index = permutation(here - begin, end - begin, self.settings.seed, epoch)
            plan = self._plan(epoch)
            keys = keys_of(self.settings.seed, epoch, index)
            parts.append((plan.first[index], plan.count[index].astype(np.int64), keys))
        first, count, keys = (np.concatenate(column) for column in zip(*parts, strict=True))
        return self._make(first, count, keys)

    def _pairs(self, first: Ints, count: Ints, keys: Keys) -> Pairs:
        settings, offsets = self.settings, self.shards.sentence_offsets
        if not settings.sentence_order:
            return choose_segments(first, count, offsets, keys, max_tokens=settings.max_tokens)
        return choose_pairs(
            first,
            count,
            offsets,
            keys,
            max_tokens=settings.max_tokens,
            swap_probability=settings.swap_probability,
        )

    def _make(self, first: Ints, count: Ints, keys: Keys) -> PretrainingBatch:
        """Split, cut, lay out and mask the chunks that begin at sentences `first`."""
        settings, special = self.settings, self.special_ids
        pairs = self._pairs(first, count, keys)
        rows = _lay_out(pairs, self.shards, special, settings)
        budget = prediction_budget(
            rows.lengths,
            probability=settings.masked_probability,
            max_predictions=settings.max_predictions,
        )
        starts = rows.starts if settings.whole_words else rows.is_text
        chosen = choose_targets(starts, rows.is_text, budget, keys, max_ngram=settings.max_ngram)
        row, column = np.nonzero(chosen)
        targets = rows.ids[row, column]
        rows.ids[row, column] = corrupt(
            targets, column, keys[row], mask_id=special.mask_id, vocab_size=special.vocab_size
        )
        real = np.arange(settings.max_tokens) < rows.lengths[:, None]  # (B, T)
        return PretrainingBatch(
            ids=rows.ids[real],
            segment_ids=rows.segment_ids[real],
            lengths=rows.lengths,
            target_positions=np.flatnonzero(chosen[real]),
            targets=targets,
            swapped=pairs.swapped,
        )


def prefetch(
    make_group: Callable[[int], list[PretrainingBatch]],
    start_step: int,
    per_group: int,
    *,
    workers: int = 1,
    ahead: int = 4,
) -> Generator[PretrainingBatch]:
    """Endless batches: `make_group(step)` makes `per_group` of them, in advance, in threads."""
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="albertkit-loader")
    waiting: deque[Future[list[PretrainingBatch]]] = deque()
    try:
        step = start_step
        while True:
            while len(waiting) < max(1, ahead):
                waiting.append(pool.submit(make_group, step))
                step += per_group
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Rows:
    """A rectangle of rows before masking: (B, T), lengths (B,); where text is and words begin."""

    ids: Ints
    segment_ids: Ints
    lengths: Ints
    is_text: npt.NDArray[np.bool_]
    starts: npt.NDArray[np.bool_]


def _lay_out(pairs: Pairs, shards: Shards, special: SpecialIds, settings: LoaderSettings) -> _Rows:
    """Gather [CLS] A [SEP] B [SEP], or [CLS] A [SEP], for all rows at once."""
    column = np.arange(settings.max_tokens)
    specials = SPECIALS_PER_PAIR if settings.sentence_order else SPECIALS_PER_SEGMENT
    lengths = pairs.first_length + pairs.second_length + specials
    first_sep = (1 + pairs.first_length)[:, None]
    last_sep = (lengths - 1)[:, None]
    in_first = (column >= 1) & (column < first_sep)
    in_second = (column > first_sep) & (column < last_sep)
    is_text = in_first | in_second

    # Where in the token file each column comes from; meaningless outside the text.
    source = np.where(
        in_second,
        pairs.second_start[:, None] + column - first_sep - 1,
        pairs.first_start[:, None] + column - 1,
    )
    ids = np.full(is_text.shape, special.pad_id, dtype=np.int64)
    starts = np.zeros(is_text.shape, dtype=np.bool_)
    ids[is_text], starts[is_text] = shards.tokens_at(source[is_text])
    # A cut may leave the end of a word at the front of the second segment: no word spans [SEP].
    starts |= column == first_sep + 1

    row = np.arange(len(ids))
    ids[:, 0] = special.cls_id
    ids[row, first_sep[:, 0]] = special.sep_id
    ids[row, last_sep[:, 0]] = special.sep_id
    segment_ids = ((column > first_sep) & (column <= last_sep)).astype(np.int64)
    return _Rows(ids, segment_ids, lengths, is_text, starts)
