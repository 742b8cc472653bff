"""UER-py's and TencentPretrain's names of an ALBERT's tensors, and their config keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from albertkit.checkpoint.families._config_keys import UER_KEYS
from albertkit.checkpoint.families._configs import read as read_dialect
from albertkit.checkpoint.mapping import Rule, dense, norm
from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError, shown
from albertkit.tasks.head import TaskHead
from albertkit.tasks.kinds import kinds_where

WORDS = "embedding.word.embedding.weight"
DECODER = "target.mlm.linear_2.weight"
FINAL_NORM = "encoder.layer_norm.gamma"
POOLER = "output_layer_1."
_ATTENTION = "albert.encoder.attention.{g}.{i}"
_FEED_FORWARD = "albert.encoder.feed_forward.{g}.{i}"
_LAYER = "encoder.transformer."
_COMMON = [
    Rule("albert.embeddings.word.weight", WORDS),
    Rule("albert.embeddings.position.weight", "embedding.pos.embedding.weight"),
    Rule("albert.embeddings.segment.weight", "embedding.seg.embedding.weight"),
    *norm("albert.embeddings.norm", "embedding.layer_norm.", "gamma", "beta"),
    *dense("albert.embeddings.projection", "encoder.linear."),
    *dense(f"{_ATTENTION}.query", f"{_LAYER}self_attn.linear_layers.0."),
    *dense(f"{_ATTENTION}.key", f"{_LAYER}self_attn.linear_layers.1."),
    *dense(f"{_ATTENTION}.value", f"{_LAYER}self_attn.linear_layers.2."),
    *dense(f"{_ATTENTION}.output", f"{_LAYER}self_attn.final_linear."),
    *norm(f"{_ATTENTION}.norm", f"{_LAYER}layer_norm_1.", "gamma", "beta"),
    *dense(f"{_FEED_FORWARD}.up", f"{_LAYER}feed_forward.linear_1."),
    *dense(f"{_FEED_FORWARD}.down", f"{_LAYER}feed_forward.linear_2."),
    *norm(f"{_FEED_FORWARD}.norm", f"{_LAYER}layer_norm_2.", "gamma", "beta"),
    *norm("albert.encoder.norm", "encoder.layer_norm.", "gamma", "beta"),
    *dense("masked_lm.transform", "target.mlm.linear_1."),
    *norm("masked_lm.norm", "target.mlm.layer_norm.", "gamma", "beta"),
    Rule("masked_lm.decoder.weight", DECODER),
    Rule("masked_lm.bias", "target.mlm.linear_2.bias"),
    *dense("sentence_order", "target.sp.linear_2."),
]
PRETRAINED = [*_COMMON, *dense("albert.pooler", "target.sp.linear_1.")]
# A fine-tuned classifier has a pooler of its own; heads over tokens are one matrix.
CLASSIFIER = [
    *_COMMON,
    *dense("albert.pooler", POOLER),
    *dense("classifier", "output_layer_2."),
]
TOKENS = [*PRETRAINED, *dense("classifier", "output_layer."), *dense("span", "output_layer.")]
CLASSIFIERS = kinds_where(task="classify")
OVER_TOKENS = (*kinds_where(part="classifier", reads="tokens"), "span")
# Names before 2022, as patterns.
_OLD = [
    (r"^embedding\.word_embedding\.", "embedding.word.embedding."),
    (r"^embedding\.position_embedding\.", "embedding.pos.embedding."),
    (r"^embedding\.segment_embedding\.", "embedding.seg.embedding."),
    (r"^target\.mlm_linear_", "target.mlm.linear_"),
    (r"^target\.layer_norm\.", "target.mlm.layer_norm."),
    (r"^target\.sop_linear_", "target.sp.linear_"),
]
POOLINGS = {"first": "first", "mean": "uer_mean", "max": "uer_max", "last": "uer_last"}
HEAD_KEY = "albertkit_head"  # ours; UER keeps keys that it does not know
_ACTS = {"gelu_erf": "gelu", "gelu_tanh": "gelu_fast"}
_ACTS |= {name: name for name in ("relu", "linear", "silu")}


def today(name: str) -> str:
    """The name that UER gives a tensor since 2022."""
    for pattern, replacement in _OLD:
        name = re.sub(pattern, replacement, name)
    return name


def rules(head: TaskHead | None) -> list[Rule]:
    """The table for a file with this head."""
    if head is None:
        return PRETRAINED
    return CLASSIFIER if head.kind in CLASSIFIERS else TOKENS


def read_config(
    values: Mapping[str, Any], *, vocab_size: int, segments: int, final_norm: bool, tied: bool
) -> AlbertConfig:
    """Config from UER's keys, and from what the names and shapes of the tensors say.

    Raises:
        ConfigError: no config of UER, or one that describes no ALBERT.
    """
    kept = {key: value for key, value in values.items() if key not in ("pooling", HEAD_KEY)}
    order = kept.pop("layernorm_positioning", "post")
    if order not in ("pre", "post"):
        raise ConfigError(
            "layernorm_positioning must be pre or post.",
            found=shown(order),
            fix="correct it in the config file",
        )
    config = read_dialect(kept, dialect="uer", vocab_size=vocab_size).config
    pre = final_norm or order == "pre"
    return replace(
        config,
        type_vocab_size=segments,
        norm_order="pre" if pre else "post",
        final_norm=pre,  # UER's encoder has it in this order only
        tied_decoder=tied,
    )


def write_config(config: AlbertConfig, head: TaskHead | None) -> dict[str, Any]:
    """UER's keys for a config that `reasons` finds nothing against."""
    values = asdict(config)
    keys: dict[str, Any] = {theirs: values[ours] for theirs, ours in UER_KEYS.items()}
    del keys["vocab_size"]  # UER counts the lines of the vocabulary
    keys |= {
        "hidden_act": _ACTS.get(config.hidden_act, config.hidden_act),
        "dropout": config.hidden_dropout_prob,
        "data_processor": "albert",
        "embedding": ["word", "pos", "seg"],
        "encoder": "transformer",
        "mask": "fully_visible",
        "factorized_embedding_parameterization": True,
        "parameter_sharing": True,
        "target": ["mlm", "sp"],
        "layernorm_positioning": config.norm_order,
        "tie_weights": config.tied_decoder,
    }
    if head is not None:
        back = {ours: theirs for theirs, ours in POOLINGS.items()}
        keys |= {"pooling": back[head.pooling], HEAD_KEY: head.to_json()}
    return keys


def reasons(config: AlbertConfig) -> list[str]:
    """Why UER has no such model; an empty list says that it has."""
    again = read_config(
        write_config(replace(config, hidden_act="relu"), None),
        vocab_size=config.vocab_size,
        segments=config.type_vocab_size,
        final_norm=config.final_norm,
        tied=config.tied_decoder,
    )
    open_keys = {
        *("hidden_act", "attention_probs_dropout_prob", "classifier_dropout_prob"),
        *("initializer_range", "group_formula", "project_equal_width"),
    }
    old, new = asdict(config), asdict(again)
    found = [f"{key}={old[key]}" for key in old if key not in open_keys and old[key] != new[key]]
    if not config.has_projection:
        found.append("no projection although E = H (UER always projects)")
    if config.type_vocab_size != 3:
        found.append(f"{config.type_vocab_size} segments (UER has 3: padding has its own)")
    if config.hidden_act not in _ACTS:
        found.append(f"hidden_act={config.hidden_act}")
    return found
