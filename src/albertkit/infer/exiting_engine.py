"""Early exit by an engine over graphs: the network layer by layer, a graph for each that differs.

A shared layer is one graph and the last one another, which computes the first tokens alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.batch import Batch, Ints
from albertkit.graph.layouts import EMBEDDING_INPUTS, LAYER_INPUTS, packed_inputs
from albertkit.graph.network import plan_of
from albertkit.infer.engine import Floats
from albertkit.infer.graph_engines import Graph, PackedEngine
from albertkit.model.checks import check_max_length
from albertkit.tasks.early_exit import Bools, agreement, leave_early

CompilePart = Callable[[int | None], Graph]


class ExitingEngine(PackedEngine):
    """A `PackedEngine` whose rows may leave early.

    compile_part: makes the graph of the embeddings (None) or of a layer; see `packed_part` of
    `graph/onnx_graph.py`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        compile: Callable[[tuple[str, ...]], Graph],
        compile_part: CompilePart,
    ) -> None:
        super().__init__(checkpoint, compile)
        self.num_exits = sum(name.endswith(".weight") for name in checkpoint.exits)
        self._compile_part = compile_part
        self._parts: dict[object, Graph] = {}

    def run_with_patience(self, batch: Batch, patience: int) -> tuple[Floats, Ints]:
        """See `ExitsEarly`."""
        assert self.head is not None  # asked only of a model with exits
        check_max_length(self.config, int(batch.lengths.max()))
        layers = _LayerByLayer(self._checkpoint, self._part, batch)
        return leave_early(
            layers.step,
            layers.keep,
            num_rows=len(batch),
            num_layers=self.num_exits + 1,
            patience=patience,
            agree=agreement(self.head, self._checkpoint.exits),
        )

    def _part(self, number: int | None) -> Graph:
        """The graph of a part; layers of the same weights have one, but for the last."""
        key: object = None
        if number is not None:
            key = (plan_of(self._checkpoint)[number], number == self.num_exits)
        if key not in self._parts:
            self._parts[key] = self._compile_part(number)
        return self._parts[key]


class _LayerByLayer:
    """A batch on its way; see `leave_early`."""

    def __init__(self, checkpoint: Checkpoint, part: CompilePart, batch: Batch) -> None:
        assert checkpoint.head is not None  # the engine has one
        self._tensors = {**checkpoint.tensors, **checkpoint.exits}
        self._last_part = checkpoint.head.part
        self._num_exits = sum(name.endswith(".weight") for name in checkpoint.exits)
        self._part, self._depth = part, 0
        self._use(batch)
        given = {name: self._inputs[name] for name in EMBEDDING_INPUTS}
        self._x = part(None)(given)["hidden"]

    def _use(self, batch: Batch) -> None:
        self._batch, self._inputs = batch, packed_inputs(batch, "first")

    def step(self) -> Floats:
        """Logits (B, C) after the next layer."""
        given = {name: self._inputs[name] for name in LAYER_INPUTS}
        found = self._part(self._depth)({**given, "x": self._x})
        is_last = self._depth == self._num_exits
        name = self._last_part if is_last else f"exits.{self._depth}"
        self._x = found.get("hidden", self._x)
        self._depth += 1
        weight, bias = (
            np.asarray(self._tensors[f"{name}.{kind}"], np.float32) for kind in ("weight", "bias")
        )
        logits: Floats = found["pooled"] @ weight.T + bias
        return logits

    def keep(self, rows: Bools) -> None:
        """See `leave_early`."""
        batch = self._batch
        tokens = np.repeat(rows, batch.lengths)
        self._x = self._x[tokens]
        self._use(Batch(batch.ids[tokens], batch.segment_ids[tokens], batch.lengths[rows]))
