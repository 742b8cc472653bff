"""Rows of on_gpu.py: padded, made by processes of their own, two lengths in turn."""

from __future__ import annotations

import multiprocessing
import queue
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from albertkit.data.loader import LoaderSettings, PretrainingBatch, PretrainingLoader
from albertkit.data.shards import VALIDATION, Shards

LENGTHS = (128, 512)
LONG_EVERY = 6  # one step in so many has the longer rows
PIECES_EVERY, PIECES = 5, 2  # two steps in five mask single pieces
MASKED = (0.25, 0.15)  # share of the tokens, at first and at the end
AHEAD = 6  # batches that each worker keeps ready
VALIDATION_ROWS = {128: 2048, 512: 512}


class Rows(NamedTuple):
    """A step's rows, padded: (B, T) ids and segments, (B,) lengths; M targets, padded by -1."""

    ids: Any
    segment_ids: Any
    lengths: Any
    swapped: Any
    positions: Any  # (M,), into B * T
    targets: Any  # (M,), -1 where there is none


def padded(batch: PretrainingBatch, tokens: int) -> Rows:
    """A packed batch as a rectangle, with room for the most targets that it can have."""
    count = len(batch.lengths)
    real = np.arange(tokens) < batch.lengths[:, None]
    ids, segments = np.zeros((2, count, tokens), dtype=np.int16)
    ids[real], segments[real] = batch.ids, batch.segment_ids
    room = count * tokens // 4
    positions, targets = np.arange(room, dtype=np.int32), np.full(room, -1, np.int16)
    positions[: len(batch.targets)] = np.flatnonzero(real)[batch.target_positions]
    targets[: len(batch.targets)] = batch.targets
    swapped = batch.swapped.astype(np.int8)
    return Rows(ids, segments, batch.lengths.astype(np.int16), swapped, positions, targets)


def tokens_of(step: int) -> int:
    """Length of the rows of a step."""
    return LENGTHS[step % LONG_EVERY == LONG_EVERY - 1]


def loader(shards: Shards, tokens: int, rows: int, share: float, pieces: bool) -> PretrainingLoader:
    """Rows of one kind; each kind has draws of its own."""
    settings = LoaderSettings(
        max_tokens=tokens,
        masked_probability=share,
        max_predictions=tokens // 4,
        whole_words=not pieces,
        max_ngram=1 if pieces else 3,
        seed=1 + tokens + 2 * int(share * 100) + pieces,
    )
    return PretrainingLoader(shards, shards.special_ids, settings, rows * LENGTHS[0] // tokens)


def work(folder: Path, rows: int, first: int, stride: int, box: Any, at_end: Any) -> None:
    """In a process of its own: the rows of steps first, first + stride, ..."""
    torch.set_num_threads(1)
    shards = Shards(folder)
    kinds = {
        (tokens, share, pieces): loader(shards, tokens, rows, share, pieces)
        for tokens in LENGTHS
        for share in MASKED
        for pieces in (False, True)
    }
    step = first
    while True:
        tokens = tokens_of(step)
        share, pieces = MASKED[at_end.value], step // LONG_EVERY % PIECES_EVERY < PIECES
        box.put(padded(kinds[tokens, share, pieces].batch(step), tokens))
        step += stride


class Feed:
    """Rows of step after step on the device, made by processes, fetched by a thread."""

    def __init__(self, folder: Path, rows: int, workers: int, device: str) -> None:
        context = multiprocessing.get_context("fork")
        self.at_end = context.Value("b", 0)
        self._boxes = [context.Queue(AHEAD) for _ in range(workers)]
        self._device = device
        self._ready: queue.Queue[Rows] = queue.Queue(8)
        for number, box in enumerate(self._boxes):
            work_of = (folder, rows, number, workers, box, self.at_end)
            context.Process(target=work, args=work_of, daemon=True).start()

    def begin(self) -> None:
        """Start to fetch: after the processes, as threads do not survive a fork."""
        threading.Thread(target=self._fetch, daemon=True).start()

    def _fetch(self) -> None:
        step = 0
        while True:
            rows = self._boxes[step % len(self._boxes)].get()
            tensors = [torch.from_numpy(x) for x in rows]
            if self._device == "cuda":
                tensors = [x.pin_memory() for x in tensors]
            self._ready.put(Rows(*tensors))
            step += 1

    def next(self) -> Rows:
        """Rows of the next step, in pinned memory."""
        return self._ready.get()


def held_out(folder: Path, rows: int, device: str) -> dict[int, list[Rows]]:
    """Held-out rows of each length, 15 % masked by whole words, in full batches."""
    shards = Shards(folder / VALIDATION)
    sets = {}
    for tokens in LENGTHS:
        maker = loader(shards, tokens, rows, 0.15, False)
        batches = maker.validation_batches(VALIDATION_ROWS[tokens])
        full = [b for b in batches if len(b) == maker.batch_size]
        sets[tokens] = [
            Rows(*(torch.from_numpy(x).to(device) for x in padded(b, tokens))) for b in full
        ]
    return sets
