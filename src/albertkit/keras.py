"""ALBERT for TensorFlow: models of Keras 3 from any checkpoint. Needs `albertkit[tensorflow]`.

    from albertkit.keras import AlbertModel, AlbertTokenizer

    tokenizer = AlbertTokenizer.from_pretrained("albert-base-v2")
    model = AlbertModel.from_pretrained("albert-base-v2")
    model(**tokenizer("a text", return_tensors="tf")).last_hidden_state

A source is what `Checkpoint.load` takes: a path of any family, a released name, a hub id. The
classes also have the names that transformers had for them before version 5: TFAlbertModel,
TFAlbertForMaskedLM and so on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.checkpoint.new_head import head_for
from albertkit.checkpoint.tokenizers import AlbertTokenizer
from albertkit.plugins import need_keras, need_package

need_package(os.environ.get("KERAS_BACKEND", "tensorflow"), "tensorflow")
need_keras()

from albertkit.model.keras_calls import AlbertKerasModel  # noqa: E402
from albertkit.model.keras_heads import AlbertForPretraining, AlbertForTask  # noqa: E402
from albertkit.model.keras_loading import (  # noqa: E402
    build,
    build_body,
    build_task,
    precision,
    tensors_of,
)
from albertkit.model.keras_twin import Albert  # noqa: E402
from albertkit.train.keras_losses import HeadLossMixin  # noqa: E402

__all__ = [
    "AlbertForMaskedLM",
    "AlbertForMultipleChoice",
    "AlbertForPreTraining",
    "AlbertForQuestionAnswering",
    "AlbertForSequenceClassification",
    "AlbertForTokenClassification",
    "AlbertModel",
    "AlbertTokenizer",
    "load_model",
]


class _Pretrained(HeadLossMixin, AlbertKerasModel):
    """What all classes have: from a checkpoint, and back; `fit` with losses of their own."""

    @classmethod
    def from_pretrained(cls, source: str | Path, *, dtype: str = "float32") -> Self:
        """The model of a checkpoint. dtype: see `load_model`.

        Raises:
            CheckpointError: it lacks the head of this class.
        """
        return cls._of(Checkpoint.load(source), dtype)

    @classmethod
    def _of(cls, checkpoint: Checkpoint, dtype: str) -> Self:
        with precision(dtype):
            return cls._build(checkpoint)

    @classmethod
    def _build(cls, checkpoint: Checkpoint) -> Self:
        raise NotImplementedError

    def to_checkpoint(self) -> Checkpoint:
        """The numbers as they are now, without a tokenizer."""
        return Checkpoint(self.config, tensors_of(self), head=getattr(self, "head", None))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a checkpoint folder, without a tokenizer; the place must be free."""
        self.to_checkpoint().save(folder)


class AlbertModel(_Pretrained, Albert):
    """The body: a vector for each token and one for each sequence; heads are left out."""

    @classmethod
    def _build(cls, checkpoint: Checkpoint) -> Self:
        return build_body(checkpoint, cls)


class AlbertForPreTraining(_Pretrained, AlbertForPretraining):
    """Body and pretraining heads: logits of every token, or at `target_positions`."""

    @classmethod
    def _build(cls, checkpoint: Checkpoint) -> Self:
        return build(checkpoint, cls)


class AlbertForTaskHead(_Pretrained, AlbertForTask):
    """Body and head of whatever task the checkpoint was fine-tuned for."""

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, dtype: str = "float32", num_labels: int | None = None
    ) -> Self:
        """A fine-tuned checkpoint, or another one with a new head to train.

        dtype: see `load_model`. num_labels: classes of a new head, 1 for a number; not needed for
        questions and choices.

        Raises:
            CheckpointError: the head is of another task or size, or nothing says of which size.
        """
        return cls._of(head_for(Checkpoint.load(source), cls.__name__, num_labels), dtype)

    @classmethod
    def _build(cls, checkpoint: Checkpoint) -> Self:
        return build_task(checkpoint, kind=cls)


class AlbertForSequenceClassification(AlbertForTaskHead):
    """Logits (B, C) of the classes of a text, or a number for it."""


class AlbertForTokenClassification(AlbertForTaskHead):
    """Logits (B, T, C) of the classes of each token."""


class AlbertForQuestionAnswering(AlbertForTaskHead):
    """Logits (B, T) of the start and the end of an answer."""


class AlbertForMultipleChoice(AlbertForTaskHead):
    """Logits (B, choices)."""


AlbertForMaskedLM = AlbertForPreTraining
TFAlbertModel = AlbertModel
TFAlbertForPreTraining = AlbertForPreTraining
TFAlbertForMaskedLM = AlbertForPreTraining
TFAlbertForSequenceClassification = AlbertForSequenceClassification
TFAlbertForTokenClassification = AlbertForTokenClassification
TFAlbertForQuestionAnswering = AlbertForQuestionAnswering
TFAlbertForMultipleChoice = AlbertForMultipleChoice


def load_model(
    source: Path | str,
    *,
    overrides: Overrides | None = None,
    offline: bool | None = None,
    dtype: str = "float32",
) -> AlbertForPreTraining | AlbertForTaskHead | AlbertModel:
    """The Keras model of any ALBERT.

    The model of its task for a fine-tuned checkpoint, else body and pretraining heads, or the body
    alone where the checkpoint has no masked-LM head.

    Args:
        source: path, released name or hub id, see `Checkpoint.load`.
        overrides, offline: see `Checkpoint.load`.
        dtype: one that Keras knows; "mixed_bfloat16" and "mixed_float16" compute in half precision
            and keep the weights in float32.
    """
    checkpoint = Checkpoint.load(source, overrides=overrides, offline=offline)
    if checkpoint.head is not None:
        return AlbertForTaskHead._of(checkpoint, dtype)
    if checkpoint.has_masked_lm:
        return AlbertForPreTraining._of(checkpoint, dtype)
    return AlbertModel._of(checkpoint, dtype)
