"""The named sizes that others released, exact parameter counts, and memory to run and train.

Where sources disagree about a size, the choice is said beside it; docs/differences.md has why.
"""

from __future__ import annotations

import difflib
from typing import Any

from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError

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
            "There is no size of this name.",
            expected="one of " + ", ".join(SIZES),
            found=name,
            fix="did you mean " + " or ".join(near) + "?" if near else "give one of these names",
        )
    return SIZES[name]
