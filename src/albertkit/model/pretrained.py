"""Models under the names and with the calls of transformers, for code that moves over.

    tokenizer = AlbertTokenizer.from_pretrained("albert-base-v2")
    model = AlbertModel.from_pretrained("albert-base-v2")
    model(**tokenizer("a text", return_tensors="pt")).last_hidden_state

A source is what `Checkpoint.load` takes: a path of any family, a released name, a hub id.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.checkpoint.new_head import head_for
from albertkit.checkpoint.tokenizers import AlbertTokenizer
from albertkit.model.albert import Albert
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import build, build_body, build_task, tensors_of
from albertkit.model.task_heads import AlbertForTask

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


class AlbertModel(Albert):
    """The body: a vector for each token and one for each sequence."""

    @classmethod
    def from_pretrained(cls, source: str | Path) -> Self:
        """The body of a checkpoint, in evaluation mode; its heads are left out."""
        return cls._of(Checkpoint.load(source))

    @classmethod
    def _of(cls, checkpoint: Checkpoint) -> Self:
        model = build_body(checkpoint, cls)
        assert isinstance(model, cls)
        return model

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a checkpoint folder, without a tokenizer; the place must be free."""
        Checkpoint(self.config, tensors_of(self)).save(folder)


class AlbertForPreTraining(AlbertForPretraining):
    """Body and pretraining heads: logits of every token, or at `target_positions`."""

    @classmethod
    def from_pretrained(cls, source: str | Path) -> Self:
        """A checkpoint with its masked-LM head, in evaluation mode.

        Raises:
            CheckpointError: it has no such head.
        """
        return cls._of(Checkpoint.load(source))

    @classmethod
    def _of(cls, checkpoint: Checkpoint) -> Self:
        model = build(checkpoint, cls)
        assert isinstance(model, cls)
        return model

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a checkpoint folder, without a tokenizer; the place must be free."""
        Checkpoint(self.config, tensors_of(self)).save(folder)


AlbertForMaskedLM = AlbertForPreTraining


class AlbertForTaskHead(AlbertForTask):
    """Body and head of whatever task the checkpoint was fine-tuned for."""

    @classmethod
    def from_pretrained(cls, source: str | Path, *, num_labels: int | None = None) -> Self:
        """A fine-tuned checkpoint, in evaluation mode; or another one with a new head to train.

        num_labels: classes of a new head, 1 for a number; not needed for questions and choices.

        Raises:
            CheckpointError: the head is of another task or size, or nothing says of which size.
        """
        return cls._of(head_for(Checkpoint.load(source), cls.__name__, num_labels))

    @classmethod
    def _of(cls, checkpoint: Checkpoint) -> Self:
        # transformers' calls know no early exit.
        model = build_task(replace(checkpoint, exits={}), kind=cls)
        assert isinstance(model, cls)
        return model

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a checkpoint folder, without a tokenizer; the place must be free."""
        Checkpoint(self.config, tensors_of(self), head=self.head).save(folder)


class AlbertForSequenceClassification(AlbertForTaskHead):
    """Logits (B, C) of the classes of a text, or a number for it."""


class AlbertForTokenClassification(AlbertForTaskHead):
    """Logits (B, T, C) of the classes of each token."""


class AlbertForQuestionAnswering(AlbertForTaskHead):
    """Logits (B, T) of the start and the end of an answer."""


class AlbertForMultipleChoice(AlbertForTaskHead):
    """Logits (B, choices)."""


def load_model(
    source: Path | str, *, overrides: Overrides | None = None, offline: bool | None = None
) -> AlbertForPreTraining | AlbertForTaskHead | AlbertModel:
    """The torch module of any ALBERT, in evaluation mode.

    The model of its task for a fine-tuned checkpoint, else body and pretraining heads, or the body
    alone where the checkpoint has no masked-LM head.

    Args:
        source: path, released name or hub id, see `Checkpoint.load`.
        overrides, offline: see `Checkpoint.load`.
    """
    checkpoint = Checkpoint.load(source, overrides=overrides, offline=offline)
    if checkpoint.head is not None:
        return AlbertForTaskHead._of(checkpoint)
    if checkpoint.has_masked_lm:
        return AlbertForPreTraining._of(checkpoint)
    return AlbertModel._of(checkpoint)
