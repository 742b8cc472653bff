"""Where tokens are in a graph: padded to a rectangle, or packed end to end.

Linear layers see tokens wherever they are; attention needs rows. `pick` says whose vectors the
last layer must give: "all" tokens, the "first" of each sequence, or "targets" (masked positions).
Keys and values are always those of all tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from albertkit.data.batch import Batch, Ints
from albertkit.graph.ops import Ops, Value

PICKS = ("all", "first", "targets")


class Layout(Protocol):
    """Both ways have the same steps."""

    ids: Value
    segments: Value
    mask: Value  # bool (B, T)

    def position_vectors(self, table: str) -> Value:
        """Rows of the position table for the tokens."""

    def as_rows(self, x: Value) -> Value:
        """All tokens as (B, T, W)."""

    def from_all_rows(self, x: Value) -> Value:
        """The reverse of `as_rows`."""

    def picked(self, x: Value) -> Value:
        """Of all tokens those that are picked."""

    def picked_as_rows(self, x: Value) -> Value:
        """Picked tokens as (B, Q, W)."""

    def picked_from_rows(self, x: Value) -> Value:
        """The reverse of `picked_as_rows`."""

    def first(self, x: Value) -> Value:
        """The first token of each sequence, (B, W), among picked ones."""

    def targets(self, x: Value) -> Value:
        """The targets among picked tokens."""


@dataclass
class PaddedLayout:
    """Values (B, T, ...); what the exporters write. Targets are all tokens."""

    ops: Ops
    pick: str
    ids: Value
    segments: Value
    mask: Value

    def position_vectors(self, table: str) -> Value:
        """See `Layout`."""
        return self.ops.first_rows(table, self.ids)

    def as_rows(self, x: Value) -> Value:
        """They are rows."""
        return x

    def picked(self, x: Value) -> Value:
        """See `Layout`."""
        return self.ops.first_column(x) if self.pick == "first" else x

    from_all_rows = picked_as_rows = picked_from_rows = targets = as_rows

    def first(self, x: Value) -> Value:
        """See `Layout`."""
        return self.ops.dropped(x if self.pick == "first" else self.ops.first_column(x))


@dataclass
class PackedLayout:
    """Values (S, ...), with the indices of `packed_inputs`."""

    ops: Ops
    pick: str
    # A part of a network has only the inputs that it reads.
    ids: Value = None
    segments: Value = None
    positions: Value = None
    mask: Value = None
    to_rows: Value = None  # (B, T) token at each place of the rectangle; where there is none, any
    from_rows: Value = None  # (S,) place of each token in the flattened rectangle
    # "first": (B,), "targets": (M,), the picked tokens; "all": (B,) the first ones
    chosen: Value = None
    chosen_to_rows: Value = None  # "targets": (B, Q) and (M,), the same for the picked tokens
    chosen_from_rows: Value = None

    def position_vectors(self, table: str) -> Value:
        """See `Layout`."""
        return self.ops.lookup(table, self.positions)

    def as_rows(self, x: Value) -> Value:
        """See `Layout`."""
        return self.ops.gather(x, self.to_rows)

    def from_all_rows(self, x: Value) -> Value:
        """See `Layout`."""
        return self.ops.gather(self.ops.rows(x), self.from_rows)

    def picked(self, x: Value) -> Value:
        """See `Layout`."""
        return x if self.pick == "all" else self.ops.gather(x, self.chosen)

    def picked_as_rows(self, x: Value) -> Value:
        """See `Layout`."""
        if self.pick == "first":
            return self.ops.lifted(x)
        return self.ops.gather(x, self.to_rows if self.pick == "all" else self.chosen_to_rows)

    def picked_from_rows(self, x: Value) -> Value:
        """See `Layout`."""
        if self.pick == "first":
            return self.ops.dropped(x)
        places = self.from_rows if self.pick == "all" else self.chosen_from_rows
        return self.ops.gather(self.ops.rows(x), places)

    def first(self, x: Value) -> Value:
        """See `Layout`."""
        return x if self.pick == "first" else self.ops.gather(x, self.chosen)

    def targets(self, x: Value) -> Value:
        """See `Layout`."""
        return x


PACKED_INPUTS = ("ids", "segments", "positions", "mask", "to_rows", "from_rows", "chosen")
TARGET_INPUTS = ("chosen_to_rows", "chosen_from_rows")
# Of a network in parts, for early exit: those of the embeddings, and those of a layer beside the
# output of the one before it.
EMBEDDING_INPUTS = PACKED_INPUTS[:3]
LAYER_INPUTS = PACKED_INPUTS[3:]


def packed_inputs(batch: Batch, pick: str, targets: Ints | None = None) -> dict[str, np.ndarray]:
    """The inputs of a packed graph for a batch, by the names of `PackedLayout`.

    targets: (M,) indices into S, rising, for pick "targets".
    """
    lengths, starts = batch.lengths, batch.starts
    row = np.repeat(np.arange(len(batch)), lengths)  # (S,)
    column = np.arange(len(batch.ids)) - starts[row]
    to_rows, from_rows, mask = _rectangle(row, column, len(batch), int(lengths.max()))
    found = {
        "ids": batch.ids,
        "segments": batch.segment_ids,
        "positions": column,
        "mask": mask,
        "to_rows": to_rows,
        "from_rows": from_rows,
        "chosen": starts,
    }
    if pick == "targets":
        assert targets is not None
        counts = np.bincount(row[targets], minlength=len(batch))
        place = np.arange(len(targets)) - (np.cumsum(counts) - counts)[row[targets]]
        most = max(1, int(counts.max()))
        chosen_to, chosen_from, _ = _rectangle(row[targets], place, len(batch), most)
        found |= {
            "chosen": targets,
            "chosen_to_rows": chosen_to,
            "chosen_from_rows": chosen_from,
        }
    return {name: x if x.dtype == np.bool_ else x.astype(np.int32) for name, x in found.items()}


def _rectangle(
    row: Ints, column: Ints, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For things at (row, column): the thing at each place, the place of each, and where one is."""
    places = row * width + column
    to_rows = np.zeros(height * width, np.int64)
    to_rows[places] = np.arange(len(row))
    mask = np.zeros(height * width, np.bool_)
    mask[places] = True
    return to_rows.reshape(height, width), places, mask.reshape(height, width)
