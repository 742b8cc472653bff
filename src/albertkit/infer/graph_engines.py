"""Engines over graphs of another framework, which they see as a function of arrays.

`PackedEngine` makes a graph for each set of outputs, packed, when it is first asked for.
`PaddedEngine` runs the one graph that an exporter wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.batch import Batch, Ints
from albertkit.data.padded import Padded
from albertkit.graph.layouts import packed_inputs
from albertkit.graph.network import outputs_of, pick_of, require_task
from albertkit.infer.engine import Floats
from albertkit.infer.exported import Manifest
from albertkit.model.checks import check_max_length

Arrays = Mapping[str, np.ndarray]
Graph = Callable[[Arrays], Mapping[str, np.ndarray]]


class PackedEngine:
    """A checkpoint; compile: makes the graph that computes some outputs of `Engine`.

    Raises:
        PredictionError: a head that no graph has.
    """

    def __init__(self, checkpoint: Checkpoint, compile: Callable[[tuple[str, ...]], Graph]) -> None:
        require_task(checkpoint)
        self.config, self.head, self._checkpoint = checkpoint.config, checkpoint.head, checkpoint
        self.outputs = outputs_of(checkpoint)
        self._compile = compile
        self._graphs: dict[tuple[str, ...], Graph] = {}

    def run(
        self, batch: Batch, want: Collection[str], positions: Ints | None = None
    ) -> dict[str, Floats]:
        """See `Engine.run`."""
        check_max_length(self.config, int(batch.lengths.max()))
        key, pick = tuple(sorted(want)), pick_of(self._checkpoint, want)
        targets = inverse = None
        if pick == "targets":
            targets, inverse = np.unique(np.asarray(positions, np.int64), return_inverse=True)
            if not len(targets):
                return {"masked_lm": np.zeros((0, self.config.vocab_size), np.float32)}
        if key not in self._graphs:
            self._graphs[key] = self._compile(key)
        found = dict(self._graphs[key](packed_inputs(batch, pick, targets)))
        if "masked_lm" in found:
            found["masked_lm"] = found["masked_lm"][positions if inverse is None else inverse]
        return found


def padded_inputs(
    batch: Batch, choices: bool, columns: int | None = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A batch as the inputs (B, T) of an exported model, and where real tokens are.

    choices: for multiple choice they are (B, 1, T), one choice a row. columns: see `Padded.of`.
    """
    padded = Padded.of(batch, columns)
    inputs = {
        "input_ids": padded.ids,
        "attention_mask": padded.real.astype(np.int64),
        "token_type_ids": padded.segment_ids,
    }
    return {name: x[:, None] if choices else x for name, x in inputs.items()}, padded.real


class PaddedEngine:
    """An exported model; graph: its inputs and outputs by their names in the file.

    columns: tokens of every row, where the graph takes no other number.
    """

    def __init__(self, manifest: Manifest, graph: Graph, columns: int | None = None) -> None:
        self.config, self.head, self._columns = manifest.config, manifest.head, columns
        self.outputs = frozenset(manifest.outputs)
        self._names, self._graph = manifest.outputs, graph

    def run(
        self, batch: Batch, want: Collection[str], positions: Ints | None = None
    ) -> dict[str, Floats]:
        """See `Engine.run`."""
        check_max_length(self.config, int(batch.lengths.max()))
        head = self.head
        choices = head is not None and head.kind == "multiple_choice" and "task" in self.outputs
        inputs, real = padded_inputs(batch, choices, self._columns)
        given = self._graph(inputs)
        return {name: self._output(name, given, real, positions) for name in want}

    def _output(
        self, name: str, given: Mapping[str, np.ndarray], real: np.ndarray, positions: Ints | None
    ) -> Floats:
        """An output as `Engine.run` gives it."""
        parts = [given[each] for each in self._names[name]]
        found = np.stack(parts, -1) if len(parts) > 1 else parts[0]  # start and end of answers
        if found.ndim == 3:
            found = found[real]  # (S, ...)
        return found[positions] if name == "masked_lm" else found
