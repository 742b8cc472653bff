"""One optimizer step of on_gpu.py: losses of padded rows, AdamW or Muon, as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from padded_rows import Rows
from torch import Tensor
from torch.nn import functional as F

from albertkit.model.heads import AlbertForPretraining
from albertkit.model.packing import Layout

BETAS, EPSILON, DECAY, CLIP = (0.9, 0.98), 1e-6, 0.01, 1.0


class Network:
    """Losses of padded rows; the shared layer is compiled once for each shape."""

    def __init__(self, model: AlbertForPretraining, compiled: bool) -> None:
        self.model = model
        self.attention = model.albert.encoder.attention["0"][0]  # type: ignore[index]
        self.feed_forward = model.albert.encoder.feed_forward["0"][0]  # type: ignore[index]
        wrap: Callable[..., Any] = (
            (lambda part: torch.compile(part, dynamic=False)) if compiled else (lambda part: part)
        )
        self.embed, self.layer, self.predict = map(wrap, (self._embed, self._layer, self._predict))

    def _embed(self, ids: Tensor, segment_ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device).repeat(ids.shape[0])
        embedded: Tensor = self.model.albert.embeddings(
            ids.flatten().long(), segment_ids.flatten().long(), places
        )
        return embedded

    def _layer(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, tokens = mask.shape[0], mask.shape[-1]
        layout = Layout(batch, tokens, x, slice(0, None, tokens), mask=mask)
        moved: Tensor = self.feed_forward(self.attention(x, layout, None))
        return moved

    def _predict(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model.masked_lm(x, self.model.albert.embeddings).float()
        loss = F.cross_entropy(logits, targets.long(), ignore_index=-1, reduction="sum")
        right = ((logits.detach().argmax(-1) == targets) & (targets >= 0)).sum()
        return loss, right

    def losses(self, rows: Rows) -> Tensor:
        """(4,): mean masked-LM loss, mean order loss, shares of right answers."""
        batch, tokens = rows.ids.shape
        device = rows.ids.device.type
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda", cache_enabled=False):
            place = torch.arange(tokens, device=rows.ids.device)
            mask = (place < rows.lengths[:, None])[:, None, None, :]
            x = self.embed(rows.ids, rows.segment_ids)
            for _ in range(self.model.config.num_hidden_layers):
                x = self.layer(x, mask)
            loss, right = self.predict(x.index_select(0, rows.positions.long()), rows.targets)
            head, pooler = self.model.sentence_order, self.model.albert.pooler
            assert head is not None
            assert pooler is not None
            order = head(torch.tanh(pooler(x[::tokens]))).float()
            swapped = rows.swapped.long()
            count = (rows.targets >= 0).sum()
            found = (order.detach().argmax(-1) == swapped).float().mean()
            return torch.stack(
                [loss / count, F.cross_entropy(order, swapped), right / count, found]
            )


class Optimizer:
    """AdamW, or Muon for the matrices inside the model and AdamW for the rest.

    Muon: the momentum of a matrix made orthogonal by five Newton-Schulz steps, with the length
    that AdamW's update has, so that one rate serves both.
    """

    def __init__(self, model: AlbertForPretraining, muon: bool) -> None:
        named = dict(model.named_parameters())
        self.parameters = list(named.values())
        inside = [n for n, p in named.items() if muon and p.ndim == 2 and "encoder" in n]
        self.matrices = [named[n] for n in inside]
        self.momenta = [torch.zeros_like(p) for p in self.matrices]
        rest = [(n, p) for n, p in named.items() if n not in inside]
        device = self.parameters[0].device
        self.rate = torch.zeros((), device=device)
        groups = [
            {"params": [p for n, p in rest if p.ndim > 1], "weight_decay": DECAY},
            {"params": [p for n, p in rest if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.adam = torch.optim.AdamW(
            groups, lr=self.rate, betas=BETAS, eps=EPSILON, capturable=device.type == "cuda"
        )
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def clear(self) -> None:
        """Gradients to zero, where they are."""
        torch._foreach_zero_([p.grad for p in self.parameters])

    def forget(self) -> None:
        """Moments to zero, where they are."""
        self.clear()
        if self.momenta:
            torch._foreach_zero_(self.momenta)
        for state in self.adam.state.values():
            for value in state.values():
                value.zero_()

    @torch.no_grad()
    def step(self) -> None:
        """Clip, then move."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, (CLIP / (norm + 1e-6)).clamp(max=1.0))
        self.adam.step()
        for matrix, momentum in zip(self.matrices, self.momenta, strict=True):
            assert matrix.grad is not None
            momentum.lerp_(matrix.grad, 0.05)
            update = orthogonal(matrix.grad.lerp(momentum, 0.95))
            update = update * (0.2 * max(matrix.shape) ** 0.5) + DECAY * matrix
            matrix.sub_(update * self.rate)


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the orthogonal matrix next to this one (Jordan 2024: Newton-Schulz, quintic)."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.T).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x if wide else x.T).float()


class Stepper:
    """One optimizer step for rows of either length, recorded as a CUDA graph where there is one."""

    def __init__(self, network: Network, optimizer: Optimizer) -> None:
        self.network, self.optimizer = network, optimizer
        self.graphs: dict[int, tuple[Any, Rows, Tensor]] = {}

    def plain(self, rows: Rows) -> Tensor:
        """A step, operation by operation."""
        self.optimizer.clear()
        losses = self.network.losses(rows)
        (losses[0] + losses[1]).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return losses.detach()

    def warm_up(self, rows: Rows) -> None:
        """A step that moves nothing."""
        self(rows, 0.0)

    def record(self, rows: Rows) -> None:
        """Record the step of this shape; the weights do not move, as the rate is 0."""
        own = Rows(*(x.cuda() for x in rows))
        self.optimizer.rate.zero_()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.plain(own)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            losses = self.plain(own)
        self.graphs[rows.ids.shape[1]] = (graph, own, losses)

    def __call__(self, rows: Rows, rate: float) -> Tensor:
        """Do a step; returns the losses on the device, valid until the next step."""
        self.optimizer.rate.fill_(rate)
        recorded = self.graphs.get(rows.ids.shape[1])
        if recorded is None:
            device = self.optimizer.rate.device
            return self.plain(Rows(*(x.to(device) for x in rows)))
        graph, own, losses = recorded
        for kept, new in zip(own, rows, strict=True):
            kept.copy_(new, non_blocking=True)
        graph.replay()
        return losses
