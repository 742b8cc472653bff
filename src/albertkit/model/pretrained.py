"""Models under the names and with the calls of transformers, for code that moves over.

model = AlbertModel.from_pretrained("folder")
model(input_ids=..., attention_mask=..., token_type_ids=...).last_hidden_state
"""

from __future__ import annotations

from pathlib import Path

import torch

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import CheckpointError
from albertkit.model.albert import Albert
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import fill, tensors_of
from albertkit.model.task_heads import AlbertForTask


class AlbertModel(Albert):
    """The body: a vector for each token and one for each sequence."""

    @classmethod
    def from_pretrained(cls, source: str | Path) -> AlbertModel:
        """The body of a checkpoint, in evaluation mode; its heads are left out."""
        checkpoint = Checkpoint.load(source)
        with torch.device("meta"):
            model = cls(checkpoint.config, pooler=checkpoint.has_pooler)
        fill(model, checkpoint.tensors, "albert")
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a checkpoint folder, without a tokenizer; the place must be free."""
        Checkpoint(self.config, tensors_of(self)).save(folder)


class AlbertForPreTraining(AlbertForPretraining):
    """Body and pretraining heads: logits of every token, or at `target_positions`."""

    @classmethod
    def from_pretrained(cls, source: str | Path) -> AlbertForPreTraining:
        """A checkpoint with its masked-LM head, in evaluation mode.

        Raises:
            CheckpointError: it has no such head.
        """
        checkpoint = Checkpoint.load(source)
        if not checkpoint.has_masked_lm:
            raise CheckpointError(
                "This checkpoint cannot predict masked words.",
                expected="a masked-LM head",
                found="the body alone",
                where=source,
                fix="use AlbertModel.from_pretrained",
            )
        order, pooler = checkpoint.has_sentence_order, checkpoint.has_pooler
        with torch.device("meta"):
            model = cls(checkpoint.config, sentence_order=order, pooler=pooler)
        fill(model, checkpoint.tensors)
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a checkpoint folder, without a tokenizer; the place must be free."""
        Checkpoint(self.config, tensors_of(self)).save(folder)


AlbertForMaskedLM = AlbertForPreTraining


class AlbertForTaskHead(AlbertForTask):
    """Body and head of whatever task the checkpoint was fine-tuned for."""

    @classmethod
    def from_pretrained(cls, source: str | Path) -> AlbertForTaskHead:
        """A fine-tuned checkpoint, in evaluation mode.

        Raises:
            CheckpointError: it has no head of a task.
        """
        checkpoint = Checkpoint.load(source)
        head, pooler = checkpoint.head, checkpoint.has_pooler
        if head is None:
            raise CheckpointError(
                "This checkpoint was not fine-tuned.",
                expected="the head of a task, such as a classifier",
                found="no such head",
                where=source,
                fix="use AlbertModel.from_pretrained",
            )
        with torch.device("meta"):
            model = cls(checkpoint.config, head, pooler=pooler)
        fill(model, checkpoint.tensors)
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a checkpoint folder, without a tokenizer; the place must be free."""
        Checkpoint(self.config, tensors_of(self), head=self.head).save(folder)


AlbertForSequenceClassification = AlbertForTaskHead
AlbertForTokenClassification = AlbertForTaskHead
AlbertForQuestionAnswering = AlbertForTaskHead
AlbertForMultipleChoice = AlbertForTaskHead
