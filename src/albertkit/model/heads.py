"""Pretraining heads: hidden states to logits. Losses are elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from albertkit.config import AlbertConfig
from albertkit.model.albert import (
    ACTIVATIONS,
    Albert,
    Embeddings,
    initialize,
    make_norm,
)
from albertkit.model.outputs import PretrainingOutput, with_transformers_arguments


class MaskedLMHead(nn.Module):
    """Which word stands here? The word table of the embeddings is the last matrix (tied).

    Untied (`tied_decoder` False, some files of UER-py) it has a matrix of its own.
    google: H to E, activation, normalisation, word table. albert_zh's own layout
    (`project_then_norm`): H to H, activation, normalisation, then the projection and the word
    table backwards.
    """

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.back_through_projection = config.embedding_order == "project_then_norm"
        width = config.hidden_size if self.back_through_projection else config.embedding_size
        self.activation = ACTIVATIONS[config.hidden_act]
        self.transform = nn.Linear(config.hidden_size, width)
        self.norm = make_norm(config, width, config.head_layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.decoder = (
            None
            if config.tied_decoder
            else nn.Linear(config.embedding_size, config.vocab_size, bias=False)
        )
        initialize(self, config.initializer_range)

    def forward(self, tokens: Tensor, embeddings: Embeddings) -> Tensor:
        """(M, H) to logits (M, V)."""
        x = self.norm(self.activation(self.transform(tokens)))
        if self.back_through_projection and embeddings.projection is not None:
            x = x @ embeddings.projection.weight  # (M, E)
        table = embeddings.word.weight if self.decoder is None else self.decoder.weight
        return F.linear(x, table, self.bias)


class SentenceOrderHead(nn.Linear):
    """Are the two segments in their order? (B, H) to (B, 2): in order, swapped.

    No dropout, as in google's code (transformers applies its classifier dropout here).
    """

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__(config.hidden_size, 2)
        initialize(self, config.initializer_range)


class AlbertForPretraining(nn.Module):
    """The body with the masked-LM head and, if wanted, the sentence-order head."""

    def __init__(
        self, config: AlbertConfig, sentence_order: bool = True, *, pooler: bool = True
    ) -> None:
        super().__init__()
        self.config = config
        self.albert = Albert(config, pooler=pooler or sentence_order)
        self.masked_lm = MaskedLMHead(config)
        self.sentence_order = SentenceOrderHead(config) if sentence_order else None

    @with_transformers_arguments
    def forward(
        self,
        ids: Tensor,
        segment_ids: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        lengths: Tensor | None = None,
        target_positions: Tensor | None = None,
        return_all: bool = False,
    ) -> PretrainingOutput:
        """Logits at the target positions (M,), flat indices into B * T, or S when packed.

        Without them at every token, shaped like ids. The other arguments are those of `Albert`.
        """
        encoder = self.albert(ids, segment_ids, mask=mask, lengths=lengths, return_all=return_all)
        targets = encoder.hidden
        if target_positions is not None:
            targets = targets.flatten(0, -2).index_select(0, target_positions)  # (M, H)
        head = self.sentence_order
        return PretrainingOutput(
            mlm_logits=self.masked_lm(targets, self.albert.embeddings),
            sop_logits=None if head is None else head(encoder.pooled),
            encoder=encoder,
        )
