"""What the model of a fine-tuning run gives for rows, and for all held-out rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from albertkit.data.batch import Batch
from albertkit.data.padded import Padded
from albertkit.data.row_batches import within_budget
from albertkit.model.early_exit import logits_by_depth
from albertkit.model.outputs import TaskOutput
from albertkit.model.task_heads import AlbertForTask, beam_rows
from albertkit.tasks.head import TaskHead
from albertkit.tasks.rows import Labelled, Rows
from albertkit.tasks.span_answers import SpanOutputs, window_spans
from albertkit.tasks.span_rows import SpanRows
from albertkit.train.loop import autocast
from albertkit.train.task_losses import Choices, loss_of_windows
from albertkit.train.validation import evaluating

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TaskRows:
    """Rows of one forward and backward pass, packed: S tokens of B rows, M outputs.

    choices: for outputs that are scores of options (M,); targets and weights are then those of the
    questions.
    """

    ids: Tensor  # (S,)
    segment_ids: Tensor  # (S,)
    lengths: Tensor  # (B,), on the CPU
    positions: Tensor | None  # (M,) tokens whose outputs are needed, index into S; None: all
    targets: Tensor  # (M,) or (M, C); of windows (B, 3)
    weights: Tensor  # (M,)
    step_weight: float  # sum of the weights of the whole optimizer step
    choices: Choices | None = None

    @property
    def num_tokens(self) -> int:
        """S: padding is not counted."""
        return len(self.ids)


def run_head(model: nn.Module, head: TaskHead, rows: TaskRows) -> TaskOutput:
    """What a head gives for packed rows; a beam head also the ends given the true starts.

    Rows of a question have windows of their own: to the model each is a choice by itself.
    """
    lengths = rows.lengths if rows.choices is None else rows.lengths[:, None]
    given: dict[str, Tensor] = {}
    if head.kind == "beam_span":
        packed = (x.cpu().numpy() for x in (rows.ids, rows.segment_ids, rows.lengths))
        places = torch.from_numpy(Padded.of(Batch(*packed)).answer_places)
        given["allowed"] = places.to(rows.ids.device)
        given["start_places"] = rows.targets[:, 0]
    output: TaskOutput = model(
        rows.ids, rows.segment_ids, lengths=lengths, positions=rows.positions, **given
    )
    return output


def span_outputs(
    model: nn.Module, head: TaskHead, held: Labelled, precision: str, max_tokens: int
) -> SpanOutputs:
    """The best spans of each window, and its loss; without dropout."""
    rows, device = held.rows, next(model.parameters()).device
    assert isinstance(rows, SpanRows)
    windows: list[Any] = [None] * len(rows.batch)
    losses = np.zeros(len(rows.batch))
    with evaluating(model), autocast(model, precision):
        for indices, batch in _by_length(rows.batch, max_tokens):
            packed = _packed(batch, held.targets[indices], device)
            output = run_head(model, head, packed)
            found = loss_of_windows(output, packed.lengths, packed.targets)
            losses[indices] = found.float().cpu().numpy()
            if output.beam is not None:
                values = list(beam_rows(output.beam).cpu().numpy())
                none = output.beam.unanswerable.float().tolist()
            else:
                assert output.start is not None
                assert output.end is not None
                logits = torch.stack([output.start, output.end], -1).float().cpu().numpy()
                values, none = batch.split(logits), [0.0] * len(batch)
            for row, of_row, of_none in zip(indices.tolist(), values, none, strict=True):
                windows[row] = window_spans(head, rows, row, of_row, of_none)
    return SpanOutputs(windows, losses)


def _packed(batch: Batch, targets: Any, device: torch.device) -> TaskRows:
    """Rows of one pass, each with weight 1."""
    return TaskRows(
        ids=torch.from_numpy(batch.ids).to(device),
        segment_ids=torch.from_numpy(batch.segment_ids).to(device),
        lengths=torch.from_numpy(batch.lengths),
        positions=None,
        targets=torch.from_numpy(np.ascontiguousarray(targets)).to(device),
        weights=torch.ones(len(batch), device=device),
        step_weight=float(len(batch)),
    )


def logits_of(model: nn.Module, rows: Rows, precision: str, max_tokens: int) -> Floats:
    """Logits (U, C) of texts or words, merged over their windows; without dropout."""
    device = next(model.parameters()).device
    found: list[tuple[npt.NDArray[np.int64], Floats]] = []
    with evaluating(model), autocast(model, precision):
        for indices, batch in _by_length(rows.batch, max_tokens):
            ids, segment_ids, positions = (
                torch.from_numpy(x).to(device)
                for x in (batch.ids, batch.segment_ids, rows.places(indices, batch))
            )
            lengths = torch.from_numpy(batch.lengths)
            output = model(
                ids,
                segment_ids,
                lengths=lengths if rows.options is None else lengths[:, None],
                positions=positions,
            )
            found.append((rows.outputs_of(indices), output.logits.float().cpu().numpy()))
    every = np.zeros((len(rows.owners), found[0][1].shape[1]), dtype=np.float32)
    for outputs, part in found:
        every[outputs] = part
    return rows.merge(every)


def logits_of_layers(model: AlbertForTask, batch: Batch, precision: str, max_tokens: int) -> Floats:
    """Logits (L, B, C) of rows after every layer of a model with early exit; without dropout."""
    device = next(model.parameters()).device
    found: Floats | None = None
    with evaluating(model), autocast(model, precision):
        for indices, part in _by_length(batch, max_tokens):
            every = logits_by_depth(
                model,
                torch.from_numpy(part.ids).to(device),
                torch.from_numpy(part.segment_ids).to(device),
                lengths=torch.from_numpy(part.lengths),
            )
            logits = torch.stack(every).float().cpu().numpy()
            if found is None:
                found = np.zeros((len(logits), len(batch), logits.shape[2]), dtype=np.float32)
            found[:, indices] = logits
    assert found is not None  # there are held-out rows
    return found


_ROWS_AT_ONCE = 256


def _by_length(batch: Batch, max_tokens: int) -> Iterator[tuple[npt.NDArray[np.int64], Batch]]:
    """Rows of like length together, within a budget of tokens."""
    order = np.argsort(-batch.lengths, kind="stable")
    for begin in range(0, len(order), _ROWS_AT_ONCE):
        part = order[begin : begin + _ROWS_AT_ONCE]
        for indices in within_budget(batch.lengths[part], max_tokens):
            yield part[indices], batch.take(part[indices])
