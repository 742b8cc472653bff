"""ALBERT in Keras, class by class as in `albert.py`: the same names, the same numbers.

Axes as there: B, S, T, V, E, H, N, D, I. A batch is always padded, (B, T), with a mask; inside, a
graph of TensorFlow may leave the padding out (keras_packing.py), and "..." is B, T or S. The
parameters are those of Keras' own layers (a Dense has a `kernel`, (in, out)); `keras_loading.py`
gives them the names of a checkpoint. Written in `keras.ops`, for TensorFlow; JAX runs it too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np
from keras import layers, ops

from albertkit.config import AlbertConfig
from albertkit.model import checks
from albertkit.model.keras_calls import AlbertKerasModel, Block
from albertkit.model.keras_layers import (
    Tensor,
    make_activation,
    make_dense,
    make_embedding,
    make_feed_forward_part,
    make_norm,
)
from albertkit.model.keras_packing import Layout, packs
from albertkit.model.outputs import AlbertOutput


class Embeddings(Block):
    """Ids to vectors of width H: word + position + segment, normalised, brought to width H.

    Both orders, and where segments are counted from, as in `albert.Embeddings`.
    """

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.project_first = config.embedding_order == "project_then_norm"
        width = config.hidden_size if self.project_first else config.embedding_size
        self.word = make_embedding(config, config.vocab_size, config.embedding_size)
        self.position = make_embedding(config, config.max_position_embeddings, width)
        self.segment = make_embedding(config, config.type_vocab_size, width)
        self.first_segment = checks.first_segment(config)
        self.norm = make_norm(config, width)
        self.dropout = layers.Dropout(config.hidden_dropout_prob)
        self.projection = (
            make_dense(
                config, config.embedding_size, config.hidden_size, bias=config.projection_bias
            )
            if config.has_projection
            else None
        )

    def project(self, x: Tensor) -> Tensor:
        """Width E to width H."""
        return x if self.projection is None else self.projection(x)

    def call(self, ids: Tensor, segment_ids: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Ids and segments (...) to (..., H), and the normalised vectors, (..., E).

        Where the projection comes before the norm, both are the same, (..., H).
        """
        x = self.word(ids)  # (..., E)
        if self.project_first:
            x = self.project(x)  # (..., H)
        x = x + self.position(positions)
        x = x + self.segment(segment_ids + self.first_segment)
        x = self.dropout(self.norm(x))
        return (x if self.project_first else self.project(x)), x


class Attention(Block):
    """Every token looks at the tokens of its row; residual and normalisation included."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.head_width = config.num_attention_heads, config.head_width
        self.pre_norm = config.norm_order == "pre"
        self.query = make_dense(config, width, width)
        self.key = make_dense(config, width, width)
        self.value = make_dense(config, width, width)
        self.output_map = make_dense(config, width, width)
        self.norm = make_norm(config, width)
        self.probability_dropout = layers.Dropout(config.attention_probs_dropout_prob)
        self.dropout = layers.Dropout(config.hidden_dropout_prob)

    def call(
        self,
        x: Tensor,
        layout: Layout,
        needed: Tensor | None = None,
        qkv: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(..., H) to the same or the needed rows of it, and the probabilities (B, N, T, T).

        qkv: queries, keys and values of x, (..., H) each, where they are known already.
        """
        qkv = self.qkv(x) if qkv is None else qkv
        query, key, value = (self.split(layout.to_padded(part)) for part in qkv)  # (B, N, T, D)
        query = query * ops.cast(1 / math.sqrt(self.head_width), query.dtype)
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))  # (B, N, T, T)
        if layout.barrier is not None:
            scores = scores + ops.cast(layout.barrier, scores.dtype)
        weights = self.probability_dropout(ops.softmax(scores, -1))
        mixed = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))  # (B, T, N, D)
        mixed = ops.reshape(mixed, (-1, ops.shape(mixed)[1], self.heads * self.head_width))
        mixed = layout.to_packed(mixed)  # (..., H)
        if needed is not None:
            x, mixed = ops.take(x, needed, axis=0), ops.take(mixed, needed, axis=0)  # (M, H)
        return self.with_residual(x, mixed), weights

    def first_tokens(self, x: Tensor, layout: Layout, first: Tensor) -> Tensor:
        """As `call` for the first token of each row, (B, H), without keys and values.

        first: (B,) indices of these tokens. first_token.py explains why the result is the same.
        """
        source, split = self.normed(x), (-1, self.heads, self.head_width)
        key, value = (
            ops.cast(ops.reshape(part.kernel, split), source.dtype)
            for part in (self.key, self.value)
        )  # (H, N, D)
        query = ops.reshape(self.query(ops.take(source, first, axis=0)), split)  # (B, N, D)
        query = query * ops.cast(1 / math.sqrt(self.head_width), query.dtype)
        projected = ops.einsum("bnd,hnd->bnh", query, key)
        tokens = layout.to_padded(source)  # (B, T, H)
        key_bias, value_bias = (
            ops.cast(ops.reshape(part.bias, split), query.dtype) for part in (self.key, self.value)
        )  # (1, N, D)
        scores = ops.matmul(projected, ops.transpose(tokens, (0, 2, 1)))  # (B, N, T)
        scores = scores + ops.sum(query * key_bias, -1, keepdims=True)
        if layout.barrier is not None:
            scores = scores + ops.cast(ops.squeeze(layout.barrier, 1), scores.dtype)
        weights = self.probability_dropout(ops.softmax(scores, -1))
        context = ops.einsum("bnh,hnd->bnd", ops.matmul(weights, tokens), value)
        context = context + ops.sum(weights, -1, keepdims=True) * value_bias
        mixed = ops.reshape(context, (-1, x.shape[-1]))  # (B, H)
        return self.with_residual(ops.take(x, first, axis=0), mixed)

    def qkv(self, x: Tensor) -> list[Tensor]:
        """(..., H) to queries, keys and values, (..., H) each."""
        source = self.normed(x)
        return [part(source) for part in (self.query, self.key, self.value)]

    def normed(self, x: Tensor) -> Tensor:
        """The input of queries, keys and values."""
        return self.norm(x) if self.pre_norm else x

    def with_residual(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The last map, the residual and normalisation: x and what was mixed, (..., H) each."""
        x = x + self.dropout(self.output_map(mixed))
        return x if self.pre_norm else self.norm(x)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, H) to (B, N, T, D)."""
        x = ops.reshape(x, (-1, ops.shape(x)[1], self.heads, self.head_width))
        return ops.transpose(x, (0, 2, 1, 3))


class FeedForward(Block):
    """Two linear maps with an activation between; residual and normalisation included."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.pre_norm = config.norm_order == "pre"
        self.activation = make_activation(config)
        self.up = make_feed_forward_part(config, config.hidden_size, config.intermediate_size)
        self.down = make_feed_forward_part(config, config.intermediate_size, config.hidden_size)
        self.norm = make_norm(config, config.hidden_size)
        self.dropout = layers.Dropout(config.hidden_dropout_prob)

    def call(self, x: Tensor) -> Tensor:
        """(..., H) to the same."""
        inner = self.activation(self.up(self.norm(x) if self.pre_norm else x))  # (..., I)
        x = x + self.dropout(self.down(inner))
        return x if self.pre_norm else self.norm(x)


class Encoder(Block):
    """The layers: a plan of which block each uses, and the blocks, most of them used many times."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.plan = [
            (str(config.attention_block(layer)), str(config.feed_forward_block(layer)), inner)
            for layer in range(config.num_hidden_layers)
            for inner in range(config.inner_group_num)
        ]
        inner = range(config.inner_group_num)
        self.attention = {
            str(n): [Attention(config) for _ in inner] for n in config.attention_blocks
        }
        self.feed_forward = {
            str(n): [FeedForward(config) for _ in inner] for n in config.feed_forward_blocks
        }
        self.norm = make_norm(config, config.hidden_size) if config.final_norm else None

    def call(
        self,
        x: Tensor,
        layout: Layout,
        needed: Tensor | None = None,
        first_alone: bool = False,
        return_all: bool = False,
        first_qkv: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor | None, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """(..., H) to the same; on request also that of every block, and its attentions.

        needed: (M,) rows of a packed batch, whose vectors (M, H) come out second: computed by a
        last layer for these alone. A graph computes only the one of both that is read.
        first_alone: they are the first tokens of all rows. first_qkv: queries, keys and values of
        the first layer, where they are known already.
        """
        states, probabilities, chosen = [x], [], None
        for number, (attend, feed, inner) in enumerate(self.plan):
            attention, feed_forward = self.attention[attend][inner], self.feed_forward[feed][inner]
            if needed is not None and number == len(self.plan) - 1:
                some = (
                    attention.first_tokens(x, layout, needed)
                    if first_alone
                    else attention(x, layout=layout, needed=needed)[0]
                )
                chosen = self.finish(feed_forward(some))
            x, weights = attention(x, layout=layout, qkv=first_qkv if number == 0 else None)
            x = feed_forward(x)
            if return_all:
                states.append(layout.to_padded(self.finish(x)))
                probabilities.append(weights)
        return self.finish(x), chosen, tuple(states) if return_all else (), tuple(probabilities)

    def finish(self, x: Tensor) -> Tensor:
        """What an encoder that stopped here would give: with `final_norm` one more norm."""
        return x if self.norm is None else self.norm(x)


class Albert(AlbertKerasModel):
    """The body of every ALBERT: ids in, one vector for each token and one for each row out."""

    def __init__(self, config: AlbertConfig, *, pooler: bool = True) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = make_dense(config, config.hidden_size, config.hidden_size) if pooler else None
        self.folded_qkv: Callable[[Tensor], list[Tensor]] | None = None  # see keras_folding.py

    def call(
        self,
        ids: Tensor,
        segment_ids: Tensor | None = None,
        mask: Tensor | None = None,
        lengths: Tensor | None = None,
        positions: Tensor | None = None,
        return_all: bool = False,
        packed: bool | None = None,
        training: bool | None = None,
    ) -> AlbertOutput:
        """Encode a padded batch (B, T).

        Args:
            ids: integers below vocab_size.
            segment_ids: 0 or 1 for each token; 0 if left out.
            mask: (B, T) bool, True for tokens that may be looked at.
            lengths: instead of a mask, tokens of each row (B,).
            positions: (M,) the tokens whose vectors are needed, as indices into B * T; `hidden` is
                then (M, H).
            return_all: also keep every hidden state and attention.
            packed: leave padding out, which is faster; its vectors are 0. Only graphs of
                TensorFlow do, and in training without being asked.
            training: whether dropout drops; `fit` sets it.

        transformers' names of these work too: input_ids, token_type_ids, attention_mask.
        """
        segments = ops.zeros_like(ids) if segment_ids is None else segment_ids
        real = real_tokens(ids, mask, lengths)
        barrier = barrier_of(real, self.compute_dtype)
        layout = (
            Layout.packed(ids, real, barrier)
            if packs(packed, training) and not return_all
            else Layout(barrier, ops.arange(ops.shape(ids)[1]))
        )
        x, normed = self.embeddings(
            layout.flat(ids), segment_ids=layout.flat(segments), positions=layout.positions
        )  # (..., H), (..., E)
        x, chosen, states, probabilities = self.encoder(
            x,
            layout=layout,
            needed=layout.needed(positions),
            first_alone=positions is None,
            return_all=return_all,
            first_qkv=None if self.folded_qkv is None else self.folded_qkv(normed),
        )
        if chosen is None:
            hidden = x if positions is None else ops.take(rows_of(x), positions, axis=0)
            first = x[:, 0]
        else:
            rows = ops.shape(ids)[0]
            first = chosen[:rows]  # (B, H)
            hidden = layout.to_padded(x) if positions is None else chosen[rows:]
        pooled = None if self.pooler is None else ops.tanh(self.pooler(first))
        return AlbertOutput(hidden, pooled, states, probabilities)


def rows_of(x: Tensor) -> Tensor:
    """(B, T, H) to (B * T, H)."""
    return ops.reshape(x, (-1, x.shape[-1]))


def real_tokens(ids: Tensor, mask: Tensor | None, lengths: Tensor | None) -> Tensor | None:
    """(B, T) bool, True where a token may be looked at; None for everywhere."""
    if lengths is None:
        return mask
    return ops.arange(ops.shape(ids)[1]) < ops.cast(lengths, "int32")[:, None]


def barrier_of(real: Tensor | None, dtype: str) -> Tensor | None:
    """What is added to the scores of attention, (B, 1, 1, T): nothing, or the smallest number."""
    if real is None:
        return None
    dtype = keras.backend.standardize_dtype(dtype)
    lowest = float(np.finfo(np.float16).min) / 2 if dtype == "float16" else -1e30
    barrier = ops.where(real, 0.0, lowest)  # (B, T)
    return ops.expand_dims(barrier, (1, 2))  # not by an index, which LiteRT has not
