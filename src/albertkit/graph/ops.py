"""What a framework must offer so that `network.py` can be built in it: a dozen steps.

A value is whatever the framework has for an edge of its graph. Names are those of the checkpoint's
tensors, without `.weight` and `.bias`; a tensor that is used many times is stored once.
"""

from __future__ import annotations

from typing import Any, Protocol

Value = Any


class Ops(Protocol):
    """The steps of an ALBERT. Axes as in `model/albert.py`."""

    def lookup(self, name: str, ids: Value, first: int = 0) -> Value:
        """Rows of a table, (..., W) for ids (...); row `first` is that of id 0."""

    def linear(self, x: Value, name: str) -> Value:
        """A linear map of the last axis, with a bias if there is one; `GroupedLinear` where the
        weight has three axes."""

    def linear_back(self, x: Value, name: str) -> Value:
        """The matrix of a linear map applied the other way round, without bias."""

    def scores(self, x: Value, table: str, bias: str) -> Value:
        """Products with the rows of a table, and a bias: (..., E) to (..., V)."""

    def norm(self, x: Value, name: str, eps: float) -> Value:
        """Layer normalisation over the last axis."""

    def uer_norm(self, x: Value, name: str, eps: float) -> Value:
        """`UerLayerNorm`."""

    def activate(self, x: Value, kind: str) -> Value:
        """An activation by its name in the config."""

    def add(self, a: Value, b: Value) -> Value:
        """The sum of two values."""

    def attend(
        self, query: Value, key: Value, value: Value, mask: Value, heads: int, width: int
    ) -> Value:
        """Attention of (B, Q, H) to (B, T, H), where the bool mask (B, T) allows it: (B, Q, H).

        width: H.
        """

    def gather(self, x: Value, indices: Value) -> Value:
        """Entries of the first axis."""

    def rows(self, x: Value) -> Value:
        """(B, T, W) as (B * T, W)."""

    def lifted(self, x: Value) -> Value:
        """(B, W) as (B, 1, W)."""

    def dropped(self, x: Value) -> Value:
        """(B, 1, W) as (B, W)."""

    def first_column(self, x: Value) -> Value:
        """(B, T, W) to (B, 1, W), the first token of each sequence."""

    def first_rows(self, name: str, ids: Value) -> Value:
        """The first T rows of a table, (T, W), for ids (B, T)."""
