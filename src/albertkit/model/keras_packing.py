"""Which tokens a Keras model computes: every place of a batch, or the real ones alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
from keras import ops

Tensor = Any


@dataclass(frozen=True)
class Layout:
    """Where the rows of a computation stand in the batch.

    Padded, a computation has the shape of the batch, (B, T, W). Packed, it has a row for each real
    token, (S, W), and for the first of each sequence; the rest becomes 0 where it is padded again.
    Packing needs the shapes of a graph of TensorFlow, which may differ from batch to batch.

    barrier: what is added to the scores of attention, (B, 1, 1, T), or None.
    positions: of the tokens in their sequences, (T,) or (S,).
    shape: B and T of a packed batch. places: (S,) indices into B * T, None for all of them.
    numbers: (B * T,) index into S of every place.
    """

    barrier: Tensor | None
    positions: Tensor
    shape: tuple[Tensor, Tensor] | None = None
    places: Tensor | None = None
    numbers: Tensor | None = None

    @classmethod
    def packed(cls, ids: Tensor, real: Tensor | None, barrier: Tensor | None) -> Layout:
        """The layout that leaves padding out. real: (B, T) bool, None without padding."""
        rows, columns = (ops.shape(ids)[axis] for axis in (0, 1))
        every = ops.arange(columns)
        if real is None:
            return cls(barrier, ops.tile(every, (rows,)), (rows, columns))
        import tensorflow as tf

        kept = tf.reshape(tf.logical_or(real, every == 0), [-1])
        places = tf.cast(tf.where(kept)[:, 0], tf.int32)
        numbers = tf.cumsum(tf.cast(kept, tf.int32)) - 1
        return cls(barrier, places % columns, (rows, columns), places, numbers)

    def needed(self, positions: Tensor | None) -> Tensor | None:
        """Rows of a packed batch: the first of each sequence, then those of indices into B * T."""
        if self.shape is None:
            return None
        rows, columns = self.shape
        first = ops.arange(rows) * columns
        return self.index(first if positions is None else ops.concatenate([first, positions], 0))

    def index(self, places: Tensor) -> Tensor:
        """Indices into B * T as indices into S."""
        return places if self.numbers is None else ops.take(self.numbers, places, axis=0)

    def flat(self, x: Tensor) -> Tensor:
        """What there is for each place, (B, T), for each row that is computed."""
        if self.shape is None:
            return x
        x = ops.reshape(x, (-1,))
        return x if self.places is None else ops.take(x, self.places, axis=0)

    def to_packed(self, x: Tensor) -> Tensor:
        """(B, T, W) to the rows that are computed."""
        if self.shape is None:
            return x
        x = ops.reshape(x, (-1, x.shape[-1]))
        return x if self.places is None else _gathered(x, self.places)

    def to_padded(self, x: Tensor) -> Tensor:
        """The rows that are computed to (B, T, W)."""
        if self.shape is None:
            return x
        rows, columns = self.shape
        if self.places is not None:
            x = _spread(x, self.places, rows * columns)
        return ops.reshape(x, (-1, columns, x.shape[-1]))


def packs(wanted: bool | None, training: bool | None) -> bool:
    """Whether padding is left out: where it is wanted, and in training.

    Only while a graph of TensorFlow is recorded.
    """
    if not (wanted or training) or keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.inside_function())


def _spread(x: Tensor, places: Tensor, count: Tensor) -> Tensor:
    """The rows (S, W) at their places among `count`, 0 between them."""
    import tensorflow as tf

    return tf.scatter_nd(places[:, None], x, [count, x.shape[-1]])


def _gathered(x: Tensor, places: Tensor) -> Tensor:
    """The rows at these places, each named once: so the gradient need not add any up."""
    import tensorflow as tf

    def gradient(count: Tensor, above: Tensor) -> Tensor:
        return _spread(above, places, count)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def gather(x: Tensor) -> Any:
        return tf.gather(x, places), partial(gradient, tf.shape(x)[0])

    return gather(x)
