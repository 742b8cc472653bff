"""The named sizes that others released, exact parameter counts, and memory to run and train.

Where sources disagree about a size, the choice is said beside it; docs/differences.md has why.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError
from albertkit.task_head import TaskHead

_Widths = dict[str, Any]
_TINY = {"hidden_size": 312, "num_hidden_layers": 4, "intermediate_size": 1248}
_SMALL = {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}
_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096}
_XLARGE = {"hidden_size": 2048, "num_hidden_layers": 24, "intermediate_size": 8192}
_XXLARGE = {"hidden_size": 4096, "num_hidden_layers": 12, "intermediate_size": 16384}


def _english(sizes: _Widths, heads: int, dropout: float) -> AlbertConfig:
    """google's English sizes. The original graphs of v1 hold the tanh formula too, not erf."""
    return AlbertConfig(
        **sizes,
        vocab_size=30000,
        num_attention_heads=heads,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )


def _chinese(sizes: _Widths, heads: int, act: str = "relu", spread: float = 0.02) -> AlbertConfig:
    """google's layout with the Chinese WordPiece vocabulary, in Paddle's naming."""
    return AlbertConfig(
        **sizes,
        vocab_size=21128,
        num_attention_heads=heads,
        hidden_act=act,
        initializer_range=spread,
    )


def _brightmart(sizes: _Widths, heads: int, norm_order: str = "post") -> AlbertConfig:
    """albert_zh's own layout: positions at width H, projection without bias."""
    return AlbertConfig(
        **sizes,
        vocab_size=21128,
        num_attention_heads=heads,
        norm_order=norm_order,
        embedding_order="project_then_norm",
        position_width="hidden",
        projection_bias=False,
    )


def _uer(sizes: _Widths, heads: int) -> AlbertConfig:
    """UER-py's own form: three segment rows (row 0 is padding's) and its own LayerNorm."""
    return AlbertConfig(
        **sizes,
        vocab_size=21128,
        num_attention_heads=heads,
        hidden_act="relu",
        type_vocab_size=3,
        layer_norm_kind="uer",
        layer_norm_eps=1e-6,
        head_layer_norm_eps=1e-6,
    )


SIZES: dict[str, AlbertConfig] = {
    "albert-base-v1": _english(_BASE, 12, 0.1),
    "albert-large-v1": _english(_LARGE, 16, 0.1),
    "albert-xlarge-v1": _english(_XLARGE, 16, 0.1),  # the paper's rule H / 64 would give 32 heads
    "albert-xxlarge-v1": _english(_XXLARGE, 64, 0.0),
    "albert-base-v2": _english(_BASE, 12, 0.0),
    "albert-large-v2": _english(_LARGE, 16, 0.0),
    "albert-xlarge-v2": _english(_XLARGE, 16, 0.0),
    "albert-xxlarge-v2": _english(_XXLARGE, 64, 0.0),
    "albert-chinese-tiny": _chinese(_TINY, 12, "gelu_tanh"),
    "albert-chinese-small": _chinese(_SMALL, 12, "gelu_tanh"),
    "albert-chinese-base": _chinese(_BASE, 12),
    "albert-chinese-large": _chinese(_LARGE, 16),
    "albert-chinese-xlarge": _chinese(_XLARGE, 16, spread=0.014),
    "albert-chinese-xxlarge": _chinese(_XXLARGE, 16, spread=0.01),
    "brightmart-tiny": _brightmart(_TINY, 12),
    "brightmart-base": _brightmart(_BASE, 12),
    "brightmart-large": _brightmart(_LARGE, 16),
    "brightmart-xlarge": _brightmart(_XLARGE, 32),  # pre in the copies of CLUE and lonePatient
    "brightmart-xxlarge": _brightmart(_XXLARGE, 64, "pre"),
    "uer-base": _uer(_BASE, 12),
    "uer-large": _uer(_LARGE, 16),
}


def size(name: str) -> AlbertConfig:
    """Config of a named size.

    Raises:
        ConfigError: no size has this name.
    """
    if name not in SIZES:
        near = difflib.get_close_matches(name, SIZES, n=3, cutoff=0.4)
        raise ConfigError(
            "No size has this name.",
            expected=("perhaps " + ", ".join(near)) if near else ", ".join(SIZES),
            found=name,
        )
    return SIZES[name]


def count_parameters(
    config: AlbertConfig,
    *,
    pooler: bool = True,
    masked_lm: bool = False,
    sentence_order: bool = False,
    head: TaskHead | None = None,
    tied: bool | None = None,
) -> int:
    """Exact number of parameters, by formula; shared ones count once.

    Args:
        config: the model.
        pooler: count the pooler, H * H + H.
        masked_lm: count the masked-LM head.
        sentence_order: count the sentence-order head.
        head: count this head of a task.
        tied: whether the masked-LM head uses the word table, as the config says if left out;
            untied adds V * E.
    """
    c = config
    width = c.hidden_size if c.position_width == "hidden" else c.embedding_size
    total = c.vocab_size * c.embedding_size
    total += (c.max_position_embeddings + c.type_vocab_size + 2) * width
    if c.has_projection:
        total += c.embedding_size * c.hidden_size + c.hidden_size * c.projection_bias
    inner = c.inner_group_num
    total += len(c.attention_blocks) * inner * _attention_parameters(c)
    total += len(c.feed_forward_blocks) * inner * _feed_forward_parameters(c)
    if c.final_norm:
        total += 2 * c.hidden_size
    if pooler:
        total += c.hidden_size * c.hidden_size + c.hidden_size
    if masked_lm:
        total += c.hidden_size * width + 3 * width + c.vocab_size
        own_decoder = not (c.tied_decoder if tied is None else tied)
        total += own_decoder * c.vocab_size * c.embedding_size
    if sentence_order:
        total += 2 * c.hidden_size + 2
    return total + _head_parameters(c.hidden_size, head)


def _head_parameters(width: int, head: TaskHead | None) -> int:
    if head is None:
        return 0
    if head.kind != "beam_span":
        return head.num_labels * (width + 1)
    # Two matrices of 2 H to H with biases, a normalisation, two scores with bias, one without.
    return 2 * (2 * width * width + width) + 2 * width + 2 * (width + 1) + width


def _attention_parameters(c: AlbertConfig) -> int:
    return 4 * (c.hidden_size**2 + c.hidden_size) + 2 * c.hidden_size


def _feed_forward_parameters(c: AlbertConfig) -> int:
    matrices = 2 * c.hidden_size * c.intermediate_size // c.ffn_groups
    return matrices + c.intermediate_size + 3 * c.hidden_size


@dataclass(frozen=True)
class Memory:
    """Bytes by purpose; `total` is what has to fit."""

    weights: int
    activations: int
    gradients: int = 0
    optimizer: int = 0

    @property
    def total(self) -> int:
        """All of it, in bytes."""
        return self.weights + self.activations + self.gradients + self.optimizer


def memory_to_run(
    config: AlbertConfig, *, batch: int, tokens: int, bytes_per_value: int = 4
) -> Memory:
    """Bytes to encode `batch` rows of `tokens` tokens; nothing is kept between layers.

    The peak is inside a feed-forward block: 2 I for each token before and after the activation,
    and 4 H (stream, sum, normalised sum, and one that the allocator has not given back). Base with
    8 rows of 512 and Chinese tiny with 16 rows of 512 measured 1.15 and 1.0 times this.
    """
    places = batch * tokens
    per_place = 4 * config.hidden_size + 2 * config.intermediate_size
    return Memory(
        weights=count_parameters(config, masked_lm=True, sentence_order=True) * bytes_per_value,
        activations=places * per_place * bytes_per_value,
    )


def memory_to_train(
    config: AlbertConfig,
    *,
    batch: int,
    tokens: int,
    targets_per_row: int = 20,
    slots: int = 2,
    bytes_per_value: int = 4,
) -> Memory:
    """Bytes to pretrain with an optimizer of `slots` values for each parameter (LAMB, AdamW: 2).

    Kept for the backward pass by every block, for each token: attention 7 H (input, query, key,
    value, mixed in rows and as tokens, normalised sum), feed-forward H + 2 I (sum, inner values
    before and after the activation), H more for each dropout with its byte mask, and with
    attention dropout the T probabilities of each head three times. The heads keep, for each
    target, V logits and V probabilities, and two gradients of them while they go back.
    """
    c = config
    blocks = c.num_hidden_layers * c.inner_group_num
    values = 8 * c.hidden_size + 2 * c.intermediate_size
    if c.hidden_dropout_prob:
        values += c.hidden_size
    if c.attention_probs_dropout_prob:
        values += 3 * c.num_attention_heads * tokens
    kept = batch * tokens * (blocks * values + 4 * c.embedding_size)
    kept += batch * targets_per_row * 3 * c.vocab_size
    parameters = count_parameters(c, masked_lm=True, sentence_order=True)
    return Memory(
        weights=parameters * bytes_per_value,
        activations=kept * bytes_per_value,
        gradients=parameters * bytes_per_value,
        optimizer=slots * parameters * bytes_per_value,
    )
