"""The socket that everything that computes an ALBERT fits: numpy in, numpy out."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from albertkit.config import AlbertConfig
from albertkit.data.batch import Batch, Ints
from albertkit.errors import PredictionError
from albertkit.tasks.head import TaskHead

Floats = npt.NDArray[np.float32]
OUTPUTS = (
    *("hidden", "all_layers", "pooled", "masked_lm", "sentence_order", "task", "unanswerable"),
)


@runtime_checkable
class Engine(Protocol):
    """One model, ready to compute.

    config: of the model that it computes. head: of its task, if it has one.
    outputs: what it can give, of OUTPUTS.
    """

    config: AlbertConfig
    head: TaskHead | None
    outputs: frozenset[str]

    def run(
        self, batch: Batch, want: Collection[str], positions: Ints | None = None
    ) -> dict[str, Floats]:
        """The wanted outputs of a batch of B sequences and S tokens, in float32.

        hidden (S, H): last layer. all_layers (layers + 1, S, H): the embeddings, then every layer.
        pooled (B, H). masked_lm (M, V): logits at `positions` (M,), which index into S.
        sentence_order (B, 2): logits of "in order" and "swapped". task: logits of the head,
        (B, C) for classes, numbers and choices (C = 1), (S, C) for classes of tokens,
        (S, 2) for start and end of an answer; (B, K, 4) for the beams of `beam_span`: start and
        end as positions in the sequence and the logarithm of the probability of each. With it
        goes unanswerable (B,): a logit, above 0 where the text does not hold the answer.
        """


@runtime_checkable
class ExitsEarly(Protocol):
    """An engine of a model that may have a classifier after every layer (model/early_exit.py)."""

    num_exits: int  # classifiers below the head; 0: the model has none

    def run_with_patience(self, batch: Batch, patience: int) -> tuple[Floats, Ints]:
        """Logits (B, C) of the head's task, and the layers (B,) that each row went through.

        A row leaves when `patience` classifiers in a row agree with the one before them.
        """


def run_checked(
    engine: Engine, batch: Batch, want: Collection[str], positions: Ints | None = None
) -> dict[str, Floats]:
    """Run an engine; infinite values and NaN among its outputs are an error, never an answer.

    Raises:
        PredictionError: the engine has no such output, or the model computes no finite numbers.
    """
    missing = sorted(set(want) - engine.outputs)
    if missing:
        raise PredictionError(
            "The model does not have this output.",
            expected=", ".join(sorted(engine.outputs)),
            found=", ".join(missing),
            fix="ask for what it has, or use a checkpoint that was saved with this head",
        )
    found = engine.run(batch, want, positions)
    for name in want:
        refuse_not_finite(name, found[name])
    return found


def refuse_not_finite(name: str, values: Floats) -> None:
    """Raise a PredictionError if an output has infinite values or NaN."""
    if not np.isfinite(values).all():
        raise PredictionError(
            "The model computes NaN or infinite numbers, so it has no answer.",
            expected=f"finite numbers for {name}",
            found=f"{int((~np.isfinite(values)).sum())} of {values.size} are not",
            fix="check the weights: open_checkpoint(path).result.problems lists such tensors",
            command_fix="check the weights: albertkit inspect lists the tensors that hold such "
            "numbers",
        )
