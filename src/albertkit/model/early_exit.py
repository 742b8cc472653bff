"""A classifier after every layer, so that a row may leave before the last one.

Patience-based early exit (Zhou et al. 2020, arXiv 2006.04152): a row leaves when several
classifiers in a row agree on its answer. All read the pooler of the model; the last is its head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from albertkit.model.packing import Layout
from albertkit.model.task_heads import AlbertForTask


class LayerByLayer:
    """A packed batch on its way through a model with a classifier after every layer.

    ids, segment_ids: (S,). lengths: (B,), on the CPU.
    """

    def __init__(
        self, model: AlbertForTask, ids: Tensor, segment_ids: Tensor | None, *, lengths: Tensor
    ) -> None:
        self._model, self._ids, self._lengths = model, ids, lengths
        self._layout = Layout.of(model.config, ids, segment_ids, None, lengths)
        self._x = model.albert.embeddings(ids, segment_ids, self._layout.positions)
        self._depth = 0
        self.num_layers = len(model.albert.encoder.plan)

    def step(self) -> Tensor:
        """Compute the next layer; the logits (B, C) of its classifier."""
        self._x, first = _layer(self._model, self._depth, self._x, self._layout)
        self._depth += 1
        return _logits(self._model, self._depth - 1, first)

    def keep(self, rows: Tensor) -> None:
        """Leave all other rows out from here on; rows: (B,) bool, on the CPU."""
        tokens = torch.repeat_interleave(rows, self._lengths).to(self._x.device)
        self._x, self._ids, self._lengths = self._x[tokens], self._ids[tokens], self._lengths[rows]
        self._layout = Layout.of(self._model.config, self._ids, None, None, self._lengths)


def logits_by_depth(
    model: AlbertForTask, ids: Tensor, segment_ids: Tensor | None, *, lengths: Tensor
) -> list[Tensor]:
    """Logits (B, C) after each layer of a packed batch, the first layer first."""
    layers = LayerByLayer(model, ids, segment_ids, lengths=lengths)
    return [layers.step() for _ in range(layers.num_layers)]


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
