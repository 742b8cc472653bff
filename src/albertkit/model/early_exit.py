"""A classifier after every layer, so that a row may leave before the last one.

Patience-based early exit (Zhou et al. 2020, arXiv 2006.04152): a row leaves when several
classifiers in a row agree on its answer. All read the pooler of the model; the last is its head.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from albertkit.model.packing import Layout
from albertkit.model.task_heads import AlbertForTask

Agree = Callable[[Tensor, Tensor], Tensor]


def logits_by_depth(
    model: AlbertForTask, ids: Tensor, segment_ids: Tensor | None, *, lengths: Tensor
) -> list[Tensor]:
    """Logits (B, C) after each layer of a packed batch, the first layer first."""
    layout = Layout.of(model.config, ids, segment_ids, None, lengths)
    x = model.albert.embeddings(ids, segment_ids, layout.positions)
    logits = []
    last = len(model.albert.encoder.plan) - 1
    for depth in range(last + 1):
        x, first = _layer(model, depth, x, layout)
        logits.append(_logits(model, depth, first))
    return logits


def run_with_patience(
    model: AlbertForTask,
    ids: Tensor,
    segment_ids: Tensor | None,
    *,
    lengths: Tensor,
    patience: int,
    agree: Agree,
) -> tuple[Tensor, Tensor]:
    """Logits (B, C) of a packed batch, and the layers (B,) that each row went through.

    A row leaves after the layer whose classifier is the `patience`-th in a row to agree with the
    one before it; later layers compute the rows that are left. agree: whether logits (B, C) of a
    layer and of the one before it are the same answer, (B,) bool.
    """
    layout = Layout.of(model.config, ids, segment_ids, None, lengths)
    x = model.albert.embeddings(ids, segment_ids, layout.positions)
    rows = torch.arange(len(lengths))  # that are left
    agreed = torch.zeros(len(lengths), dtype=torch.int64)
    depths = torch.zeros(len(lengths), dtype=torch.int64)
    answers = x.new_zeros(len(lengths), model.head.num_labels)
    before: Tensor | None = None
    last = len(model.albert.encoder.plan) - 1
    for depth in range(last + 1):
        x, first = _layer(model, depth, x, layout)
        logits = _logits(model, depth, first)
        if before is not None:
            agreed = torch.where(agree(logits, before).cpu(), agreed + 1, 0)
        leaves = agreed >= patience if depth < last else torch.ones_like(rows, dtype=torch.bool)
        if not bool(leaves.any()):
            before = logits
            continue
        answers[rows[leaves].to(x.device)] = logits[leaves.to(x.device)].to(answers.dtype)
        depths[rows[leaves]] = depth + 1
        stays = ~leaves
        if not bool(stays.any()):
            break
        tokens = torch.repeat_interleave(stays, lengths).to(x.device)
        x, ids = x[tokens], ids[tokens]
        rows, lengths, agreed = rows[stays], lengths[stays], agreed[stays]
        before = logits[stays.to(x.device)]
        layout = Layout.of(model.config, ids, None, None, lengths)
    return answers, depths


def agreement(kind: str, tolerance: float) -> Agree:
    """Whether two outputs of a head of this kind are the same answer.

    The same class; the same set of classes; numbers with a difference below the tolerance.
    """
    if kind == "regression":
        return lambda a, b: (a - b).abs().squeeze(-1) < tolerance
    if kind == "multi_label":
        return lambda a, b: ((a > 0) == (b > 0)).all(-1)
    return lambda a, b: a.argmax(-1) == b.argmax(-1)


def _layer(model: AlbertForTask, depth: int, x: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """A layer's output, and that at [CLS] (B, H); the last layer computes nothing else."""
    encoder = model.albert.encoder
    if depth == len(encoder.plan) - 1:
        first = encoder.layer(depth, x, layout, None, layout.first)
        return first, first
    x = encoder.layer(depth, x, layout)
    return x, x.index_select(0, layout.first)


def _logits(model: AlbertForTask, depth: int, first: Tensor) -> Tensor:
    """Logits (B, C) of the classifier after a layer; first (B, H): its output at [CLS]."""
    body = model.albert
    assert model.exits is not None  # asked only of such models
    assert body.pooler is not None  # every head that reads texts has one
    pooled = torch.tanh(body.pooler(body.encoder.finish(first)))
    is_last = depth == len(body.encoder.plan) - 1
    head = model.get_submodule(model.head.part) if is_last else model.exits[depth]
    logits: Tensor = head(model.dropout(pooled))
    return logits
