"""The stages of a pretraining run: which rows, how many, and at which rate, for every step."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from albertkit.data.loader import (
    LoaderSettings,
    PretrainingBatch,
    PretrainingLoader,
    SampleSettings,
)
from albertkit.data.replay import ReplayLoader
from albertkit.data.shards import Shards
from albertkit.settings import setting
from albertkit.train.optim import ScheduleSettings, learning_rate

# Distance between the seeds of two stages, so that stages of close seeds share no samples.
_SEED_STRIDE = 1_000_003


@dataclass(frozen=True, kw_only=True)
class StageSettings(SampleSettings, ScheduleSettings):
    """One stage: the length of its rows, its batch, its learning rate, its masks."""

    tokens: int = setting(128, "longest row in tokens; the paper's runs end with 512", low=8)
    batch_size: int = setting(256, "rows in one optimizer step; the paper has 4096", low=1)
    micro_batch_size: int = setting(
        0, "rows in one forward and backward pass; 0 takes the entire batch at once", low=0
    )

    def loader_settings(self, seed: int, *, sentence_order: bool) -> LoaderSettings:
        """The same numbers as the loader takes them."""
        shared = {field.name: getattr(self, field.name) for field in fields(SampleSettings)}
        return LoaderSettings(
            max_tokens=self.tokens, seed=seed, sentence_order=sentence_order, **shared
        )


@dataclass(frozen=True)
class MicroBatch:
    """Rows of one forward and backward pass, packed: S tokens of B rows, M predictions."""

    ids: Tensor  # (S,)
    segment_ids: Tensor  # (S,)
    lengths: Tensor  # (B,), on the CPU
    target_positions: Tensor  # (M,), index into S
    targets: Tensor  # (M,)
    swapped: Tensor  # (B,)
    step_targets: int  # predictions in the whole optimizer step
    step_rows: int

    @property
    def num_tokens(self) -> int:
        """S: padding is not counted."""
        return len(self.ids)


class Stages:
    """All stages one after the other; steps count through."""

    def __init__(
        self,
        settings: list[StageSettings],
        shards: Shards,
        seed: int,
        *,
        sentence_order: bool = True,
        replay: tuple[Shards, float] | None = None,
    ) -> None:
        self.settings = settings
        self.sentence_order = sentence_order
        self.replay = replay  # other shards, and the share of rows from there
        self.starts = np.cumsum([0, *(stage.steps for stage in settings)]).tolist()
        self._shards = shards
        self._seed = seed
        self._running: tuple[int, Generator[PretrainingBatch]] | None = (
            None  # next step, its iterator
        )

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return int(self.starts[-1])

    def stage_of(self, step: int) -> int:
        """Number of the stage that a step (from 0) belongs to; the last one for later steps."""
        return min(int(np.searchsorted(self.starts, step, "right")), len(self.settings)) - 1

    def learning_rate(self, step: int) -> float:
        """Rate of a step by the schedule of its stage."""
        stage = self.stage_of(step)
        return learning_rate(step - self.starts[stage], self.settings[stage])

    def loader(self, stage: int) -> PretrainingLoader | ReplayLoader:
        """The loader of a stage's training rows."""
        main = self.loader_of(self._shards, stage)
        if self.replay is None:
            return main
        shards, share = self.replay
        return ReplayLoader(main, self.loader_of(shards, stage), share)

    def loader_of(self, shards: Shards, stage: int) -> PretrainingLoader:
        """Rows of some shards, made as a stage says."""
        seed = self._seed + stage * _SEED_STRIDE
        settings = self.settings[stage].loader_settings(seed, sentence_order=self.sentence_order)
        return PretrainingLoader(
            shards, shards.special_ids, settings, self.settings[stage].batch_size
        )

    def batch(self, step: int) -> PretrainingBatch:
        """Rows of a step; steps asked for in order are made ahead in a thread."""
        stage = self.stage_of(step)
        if self._running is None or self._running[0] != step or step in self.starts:
            self._running = (step, self.loader(stage).batches(step - self.starts[stage]))
        batches = self._running[1]
        self._running = (step + 1, batches)
        return next(batches)

    def close(self) -> None:
        """Stop the thread that makes batches ahead."""
        if self._running is not None:
            self._running[1].close()
            self._running = None

    def micro_batches(self, step: int, device: torch.device) -> list[MicroBatch]:
        """Rows of a step, cut into micro-batches."""
        batch = self.batch(step)
        size = self.settings[self.stage_of(step)].micro_batch_size or len(batch)
        return [
            micro_batch_of(batch, begin, begin + size, device)
            for begin in range(0, len(batch), size)
        ]


def micro_batch_of(
    batch: PretrainingBatch, begin: int, end: int, device: torch.device
) -> MicroBatch:
    """Rows [begin, end) of a batch on a device."""
    rows = batch.rows(begin, end)

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)

    return MicroBatch(
        ids=tensor(rows.ids),
        segment_ids=tensor(rows.segment_ids),
        lengths=torch.from_numpy(np.ascontiguousarray(rows.lengths)),
        target_positions=tensor(rows.target_positions),
        targets=tensor(rows.targets),
        swapped=tensor(rows.swapped),
        step_targets=len(batch.targets),
        step_rows=len(batch),
    )
