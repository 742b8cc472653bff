"""Heads in Keras, as in `heads.py` and `task_heads.py`: hidden states to logits."""

from __future__ import annotations

import sys

from keras import layers, ops

from albertkit.config import AlbertConfig
from albertkit.model import checks
from albertkit.model.keras_calls import AlbertKerasModel, Block
from albertkit.model.keras_layers import Tensor, make_activation, make_dense, make_norm
from albertkit.model.keras_twin import Albert, Embeddings, real_tokens
from albertkit.model.outputs import AlbertOutput, PretrainingOutput, SpanBeam, TaskOutput
from albertkit.tasks.head import TaskHead

_NEVER = -1e30  # google's logit of a place where no answer may stand


class MaskedLMHead(Block):
    """Which word stands here? Both orders, tied and untied, as in `heads.MaskedLMHead`."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.back_through_projection = config.embedding_order == "project_then_norm"
        width = config.hidden_size if self.back_through_projection else config.embedding_size
        self.activation = make_activation(config)
        self.transform = make_dense(config, config.hidden_size, width)
        self.norm = make_norm(config, width, config.head_layer_norm_eps)
        self.bias = self.add_weight((config.vocab_size,), "zeros", name="bias")
        self.decoder = (
            None
            if config.tied_decoder
            else make_dense(config, config.embedding_size, config.vocab_size, bias=False)
        )

    def call(self, tokens: Tensor, embeddings: Embeddings) -> Tensor:
        """(M, H) or (B, T, H) to logits (M, V) or (B, T, V)."""
        x = self.norm(self.activation(self.transform(tokens)))
        if self.back_through_projection and embeddings.projection is not None:
            x = ops.matmul(x, ops.cast(ops.transpose(embeddings.projection.kernel), x.dtype))
        if self.decoder is not None:
            return self.decoder(x) + self.bias
        table = ops.cast(ops.transpose(embeddings.word.embeddings), x.dtype)
        return ops.matmul(x, table) + self.bias


class AlbertForPretraining(AlbertKerasModel):
    """The body with the masked-LM head and, if wanted, the sentence-order head."""

    def __init__(
        self, config: AlbertConfig, sentence_order: bool = True, *, pooler: bool = True
    ) -> None:
        super().__init__()
        self.config = config
        self.albert = Albert(config, pooler=pooler or sentence_order)
        self.masked_lm = MaskedLMHead(config)
        self.sentence_order = make_dense(config, config.hidden_size, 2) if sentence_order else None

    def call(
        self,
        ids: Tensor,
        segment_ids: Tensor | None = None,
        mask: Tensor | None = None,
        lengths: Tensor | None = None,
        target_positions: Tensor | None = None,
        return_all: bool = False,
        packed: bool | None = None,
        training: bool | None = None,
    ) -> PretrainingOutput:
        """Logits at the target positions, or of every token (B, T, V).

        target_positions: (M,) indices into B * T, or columns (B, M) of each row.

        The other arguments are those of `Albert`.
        """
        encoder = self.albert(
            ids,
            segment_ids,
            mask=mask,
            lengths=lengths,
            return_all=return_all,
            packed=packed,
            training=training,
        )
        targets = encoder.hidden
        if target_positions is not None and len(target_positions.shape) == 2:
            targets = ops.take_along_axis(targets, target_positions[..., None], axis=1)
        elif target_positions is not None:
            flat = ops.reshape(targets, (-1, self.config.hidden_size))
            targets = ops.take(flat, target_positions, axis=0)  # (M, H)
        head = self.sentence_order
        return PretrainingOutput(
            mlm_logits=self.masked_lm(targets, embeddings=self.albert.embeddings),
            sop_logits=None if head is None else head(encoder.pooled),
            encoder=encoder,
        )


class BeamSpanHead(Block):
    """Start, end given the start, and whether there is an answer at all.

    Source: google-research/albert, squad_utils.py, create_v2_model.
    """

    def __init__(self, config: AlbertConfig, head: TaskHead) -> None:
        super().__init__()
        width = config.hidden_size
        self.start_n_top, self.end_n_top = head.start_n_top, head.end_n_top
        self.start = make_dense(config, width, 1)
        self.end_transform = make_dense(config, 2 * width, width)
        self.end_norm = layers.LayerNormalization(epsilon=1e-12)
        self.end_norm.build((None, width))
        self.end = make_dense(config, width, 1)
        self.answer_transform = make_dense(config, 2 * width, width)
        self.answer = make_dense(config, width, 1, bias=False)
        self.dropout = layers.Dropout(config.classifier_dropout_prob)

    def call(
        self, tokens: Tensor, allowed: Tensor | None, start_places: Tensor | None = None
    ) -> SpanBeam:
        """The best answers of rows (B, T, H).

        allowed: (B, T), where an answer may stand. start_places: (B,), true starts.
        """
        starts = ops.log_softmax(barred(ops.squeeze(self.start(tokens), -1), allowed))  # (B, T)
        start_scores, best = ops.top_k(starts, at_most(self.start_n_top, tokens))  # (B, K)
        ends = self.ends_given(tokens, best, allowed)  # (B, K, T)
        end_scores, end_places = ops.top_k(ends, at_most(self.end_n_top, tokens))  # (B, K, L)
        mean_start = ops.einsum("bt,bth->bh", ops.exp(starts), tokens)
        evidence = ops.concatenate([mean_start, tokens[:, 0]], -1)  # (B, 2H)
        inner = self.dropout(ops.tanh(self.answer_transform(evidence)))
        given = None
        if start_places is not None:
            given = self.ends_given(tokens, start_places[:, None], allowed)[:, 0]
        return SpanBeam(
            starts=starts,
            start_scores=start_scores,
            start_places=best,
            end_scores=end_scores,
            end_places=end_places,
            unanswerable=ops.squeeze(self.answer(inner), -1),
            ends=given,
        )

    def ends_given(self, tokens: Tensor, starts: Tensor, allowed: Tensor | None) -> Tensor:
        """Log-probabilities (B, K, T) of each end for each of the starts (B, K).

        The matrix meets token and start next to each other; it is applied to both apart, since
        their pairs (B, K, T, 2H) would be large.
        """
        kernel = ops.cast(self.end_transform.kernel, tokens.dtype)
        of_token, of_start = ops.split(kernel, 2, axis=0)
        chosen = ops.take_along_axis(tokens, starts[..., None], axis=1)  # (B, K, H)
        chosen = ops.matmul(chosen, of_start) + ops.cast(self.end_transform.bias, tokens.dtype)
        pairs = chosen[:, :, None] + ops.matmul(tokens, of_token)[:, None]  # (B, K, T, H)
        logits = ops.squeeze(self.end(self.end_norm(ops.tanh(pairs))), -1)
        return ops.log_softmax(barred(logits, None if allowed is None else allowed[:, None]))


def at_most(count: int, tokens: Tensor) -> Tensor | int:
    """How many places a row of (B, T, H) has for the best `count`."""
    columns = ops.shape(tokens)[1]
    return min(count, columns) if isinstance(columns, int) else ops.minimum(count, columns)


def barred(logits: Tensor, allowed: Tensor | None) -> Tensor:
    """Logits with places that are not allowed pushed down; in float32, which can hold that."""
    logits = ops.cast(logits, "float32")
    return logits if allowed is None else ops.where(allowed, logits, _NEVER)


def pool_like_uer(pooling: str, tokens: Tensor, segments: Tensor, real: Tensor) -> Tensor:
    """One vector (B, H) of each row (B, T, H), as `task_heads.pool_like_uer`, which says why."""
    weight = ops.cast(ops.where(real, segments, 0), tokens.dtype)[..., None]  # (B, T, 1)
    weighted = tokens * weight
    if pooling == "uer_mean":
        return ops.sum(weighted, 1) / ops.sum(weight, 1)
    if pooling == "uer_max":
        return ops.max(weighted + (weight - 1) * float(sys.maxsize), 1)
    last = ops.sum(ops.cast(real, "int32"), 1) - 1  # (B,)
    return ops.squeeze(ops.take_along_axis(weighted, last[:, None, None], axis=1), 1)


class AlbertForTask(AlbertKerasModel):
    """The body with the head of a task."""

    def __init__(
        self,
        config: AlbertConfig,
        head: TaskHead,
        *,
        pooler: bool = True,
        body: Albert | None = None,
    ) -> None:
        super().__init__()
        self.config, self.head = config, head
        self.row_axes = 2 if head.kind == "multiple_choice" else 1
        self.albert = body or Albert(config, pooler=pooler or head.needs_pooler)
        self.dropout = layers.Dropout(config.classifier_dropout_prob)
        module = (
            BeamSpanHead(config, head)
            if head.kind == "beam_span"
            else make_dense(config, config.hidden_size, head.num_labels)
        )
        setattr(self, head.part, module)

    def call(
        self,
        ids: Tensor,
        segment_ids: Tensor | None = None,
        mask: Tensor | None = None,
        lengths: Tensor | None = None,
        allowed: Tensor | None = None,
        start_places: Tensor | None = None,
        return_all: bool = False,
        packed: bool | None = None,
        training: bool | None = None,
    ) -> TaskOutput:
        """Logits of the task for a padded batch; see `Albert`.

        Multiple choice takes ids (B, choices, T), and segment_ids and mask of this shape.

        Args:
            ids: integers below vocab_size.
            segment_ids: 0 or 1 for each token.
            mask: True for tokens that may be looked at.
            lengths: instead of a mask, tokens of each row.
            allowed: `beam_span` only; (B, T) bool, True where an answer may stand; every real
                token if left out.
            start_places: `beam_span` only; (B,) true starts, to get the ends given them.
            return_all: also keep every hidden state and attention.
            packed: leave padding out, see `Albert`.
            training: whether dropout drops; `fit` sets it.
        """
        kind, choices = self.head.kind, None
        if kind == "multiple_choice":
            choices = ops.shape(ids)[1]
            ids, segment_ids, mask = (as_rows(x) for x in (ids, segment_ids, mask))
            lengths = None if lengths is None else ops.reshape(lengths, (-1,))
        encoder = self.albert(
            ids,
            segment_ids,
            mask=mask,
            lengths=lengths,
            return_all=return_all,
            packed=packed,
            training=training,
        )
        real = real_tokens(ids, mask, lengths)
        module = getattr(self, self.head.part)
        if kind == "beam_span":
            allowed = self.checked(allowed, ids, real)
            beam = module(encoder.hidden, allowed=allowed, start_places=start_places)
            return TaskOutput(encoder, beam=beam)
        if kind == "span":
            start, end = ops.unstack(module(encoder.hidden), 2, axis=-1)
            return TaskOutput(encoder, start=start, end=end)
        if kind == "token_classification":
            return TaskOutput(encoder, logits=module(self.dropout(encoder.hidden)))
        pooled = self.pool(encoder, segment_ids, real)
        logits = module(self.dropout(pooled))  # (B, C)
        if choices is not None:
            logits = ops.reshape(logits, (-1, choices))
        return TaskOutput(encoder, logits=logits)

    def checked(self, allowed: Tensor | None, ids: Tensor, real: Tensor | None) -> Tensor | None:
        """Where an answer may stand, (B, T), or None for everywhere."""
        if allowed is None:
            return real
        checks.check_allowed(tuple(ids.shape), tuple(allowed.shape), allowed.dtype.name)
        return allowed

    def pool(
        self, encoder: AlbertOutput, segment_ids: Tensor | None, real: Tensor | None
    ) -> Tensor:
        """The vector (B, H) of each row that the classifier reads."""
        if self.head.pooling == "first":
            return encoder.pooled
        tokens = encoder.hidden
        ones = ops.ones(ops.shape(tokens)[:2], "int32")
        segments = ones if segment_ids is None else ops.cast(segment_ids, "int32") + 1
        real = ops.cast(ones, "bool") if real is None else real
        pooled = pool_like_uer(self.head.pooling, tokens, segments, real)
        assert self.albert.pooler is not None  # the body was made with one
        return ops.tanh(self.albert.pooler(pooled))


def as_rows(x: Tensor | None) -> Tensor | None:
    """Every choice as a row of its own: (B, choices, T) to (B * choices, T)."""
    return None if x is None else ops.reshape(x, (-1, ops.shape(x)[-1]))
