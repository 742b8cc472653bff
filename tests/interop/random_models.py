"""Random models for the interop check: every head and every shape that a family can write.

The numbers are spread widely, so that a wrong formula shows, but not so much that the rounding of
float32 shows, too.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.parameters import HEADS, parameter_shapes
from albertkit.tasks.head import TaskHead

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "embedding_size": 16,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 40,
}
POOLER, MASKED_LM, ORDER = HEADS
PRETRAINING = frozenset(HEADS)
WORDS = frozenset({MASKED_LM})  # no pooler, as transformers' AlbertForMaskedLM
POOLED = frozenset({POOLER})
BARE: frozenset[str] = frozenset()

ACTS = {
    f"act_{act}": {"hidden_act": act} for act in ("gelu_tanh", "gelu_erf", "relu", "silu", "tanh")
}
SHAPES: dict[str, dict[str, Any]] = {
    "groups2": {"num_hidden_layers": 4, "num_hidden_groups": 2},
    "inner2": {"inner_group_num": 2, "num_hidden_layers": 2},
    "groups2_inner2": {"num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2},
    "eps_1e-5": {"layer_norm_eps": 1e-5, "head_layer_norm_eps": 1e-5},
}
EQUAL = {"embedding_size": 24}
PROJECTED = {**EQUAL, "project_equal_width": True}
CLASSES = {
    "classification": TaskHead("classification", 3),
    "regression": TaskHead("regression", 1),
    "multiple_choice": TaskHead("multiple_choice", 1),
}
LABELS = {"classification_labels": TaskHead("classification", 3, ("bad", "so so", "good"))}
TOKENS = {
    "token_classification": TaskHead("token_classification", 5),
    "span": TaskHead("span", 2),
}
UER = {
    "layer_norm_kind": "uer",
    "type_vocab_size": 3,
    "layer_norm_eps": 1e-6,
    "head_layer_norm_eps": 1e-6,
    "hidden_act": "relu",
}
OWN_LAYOUT = {
    "embedding_order": "project_then_norm",
    "position_width": "hidden",
    "projection_bias": False,
}


@dataclass(frozen=True)
class Plan:
    """One random model: what differs from SIZES, which of the HEADS it has, its task, its dtype."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    parts: frozenset[str] = PRETRAINING
    head: TaskHead | None = None
    dtype: str = "float32"


def _halves(base: dict[str, Any]) -> Iterator[Plan]:
    """In the two half precisions."""
    for dtype in ("float16", "bfloat16"):
        yield Plan(dtype, base, dtype=dtype)


def _shapes(
    base: dict[str, Any], shapes: dict[str, dict[str, Any]], parts: frozenset[str] = PRETRAINING
) -> Iterator[Plan]:
    for name, values in shapes.items():
        yield Plan(name, {**base, **values}, parts)


def _tasks(
    base: dict[str, Any], heads: dict[str, TaskHead], parts: frozenset[str]
) -> Iterator[Plan]:
    for name, head in heads.items():
        yield Plan(name, base, parts, head)


def huggingface() -> Iterator[Plan]:
    """All that transformers has: activations, groups, untied decoder, each class."""
    yield from _shapes({}, {**ACTS, **SHAPES, "equal_width": PROJECTED})
    yield Plan("untied", {"tied_decoder": False})
    yield Plan("masked_lm", {}, WORDS)
    yield Plan("masked_lm_untied", {"tied_decoder": False}, WORDS)
    yield Plan("body", {}, POOLED)
    yield Plan("body_without_pooler", {}, BARE)
    others = {**LABELS, "multi_label": TaskHead("multi_label", 4)}
    yield from _tasks({}, {**CLASSES, **others}, POOLED)
    yield from _tasks({}, TOKENS, BARE)
    yield from _tasks({"num_hidden_groups": 3}, {"span_groups3": TOKENS["span"]}, BARE)
    yield from _halves({})


def google_tf() -> Iterator[Plan]:
    """Google's activations and heads; grouped feed-forward of albert_zh's google_fast."""
    acts = {name: ACTS[name] for name in ("act_gelu_tanh", "act_relu", "act_tanh")}
    shapes = {name: SHAPES[name] for name in ("groups2", "inner2", "groups2_inner2")}
    yield from _shapes({}, {**acts, **shapes, "equal_width": EQUAL})
    yield Plan("rounded_groups", {"num_hidden_layers": 22, "num_hidden_groups": 22})
    yield Plan("fast", {"ffn_groups": 16, "hidden_size": 32, "intermediate_size": 64})
    yield Plan(
        "fast_swish",
        {"ffn_groups": 16, "hidden_size": 32, "intermediate_size": 64} | {"hidden_act": "silu"},
    )
    heads = {**CLASSES, "span": TOKENS["span"], "beam_span": TaskHead("beam_span", 2)}
    yield from _tasks({}, heads, POOLED)
    yield from _halves({})


def brightmart_tf() -> Iterator[Plan]:
    """Post and pre order, equal widths, activations, and the classifier of its scripts."""
    acts = {name: ACTS[name] for name in ("act_gelu_tanh", "act_relu", "act_tanh")}
    yield from _shapes(OWN_LAYOUT, {**acts, "equal_width": PROJECTED})
    yield from _shapes({**OWN_LAYOUT, "norm_order": "pre"}, {"pre": {}, "pre_equal": PROJECTED})
    yield from _tasks(OWN_LAYOUT, {"classification": CLASSES["classification"]}, POOLED)
    yield from _halves(OWN_LAYOUT)


def uer() -> Iterator[Plan]:
    """Tied and untied, both orders, and the classifier with its four ways to pool."""
    acts = {name: ACTS[name] for name in ("act_gelu_tanh", "act_gelu_erf", "act_relu", "act_silu")}
    yield from _shapes(UER, {**acts, "equal_width": PROJECTED})
    yield from _shapes({**UER, "tied_decoder": False}, {"untied": {}})
    yield Plan("pre", {**UER, "norm_order": "pre", "final_norm": True})
    poolings = ("first", "uer_mean", "uer_max", "uer_last")
    heads = {f"pool_{way}": TaskHead("classification", 3, pooling=way) for way in poolings}
    yield from _tasks(UER, {**heads, "regression": CLASSES["regression"]}, POOLED)
    yield from _tasks(UER, TOKENS, BARE)
    yield from _halves(UER)


def paddlenlp() -> Iterator[Plan]:
    """All classes of PaddleNLP, whose masked-LM head has a fixed epsilon."""
    base = {"head_layer_norm_eps": 1e-5}
    acts = {name: ACTS[name] for name in ("act_gelu_tanh", "act_gelu_erf", "act_relu", "act_silu")}
    shapes = {name: SHAPES[name] for name in ("groups2", "inner2", "groups2_inner2")}
    yield from _shapes(base, {**acts, **shapes, "equal_width": PROJECTED})
    yield Plan("masked_lm", base, WORDS)
    yield Plan("body", base, POOLED)
    yield from _tasks(base, {**CLASSES, **LABELS}, POOLED)
    yield from _tasks(base, TOKENS, BARE)
    yield from _halves(base)


def keras_hub() -> Iterator[Plan]:
    """The backbone, the masked-LM task and the classifier; tanh GELU alone."""
    base = {"head_layer_norm_eps": 1e-5}
    parts = PRETRAINING - {ORDER}
    shapes = {name: SHAPES[name] for name in ("groups2", "inner2", "groups2_inner2")}
    yield Plan("masked_lm", base, parts)
    yield from _shapes(base, {**shapes, "equal_width": PROJECTED}, parts)
    yield Plan("body", base, POOLED)
    yield from _tasks(base, {"classification": CLASSES["classification"]}, POOLED)
    yield Plan("float16", base, parts, dtype="float16")


PLANS = {
    "huggingface": huggingface,
    "google_tf": google_tf,
    "brightmart_tf": brightmart_tf,
    "uer": uer,
    "paddlenlp": paddlenlp,
    "keras_hub": keras_hub,
}


def make(family: str, plan: Plan) -> Checkpoint:
    """The model of a plan; the same numbers every time."""
    config = AlbertConfig(**{**SIZES, **plan.values})
    draws = np.random.default_rng(zlib.crc32(f"{family}/{plan.name}".encode()))
    left_out = tuple(head for head in HEADS if head not in plan.parts)
    tensors = {}
    for name, shape in parameter_shapes(config, plan.head).items():
        if left_out and name.startswith(left_out):
            continue
        numbers = draws.standard_normal(shape).astype(np.float32)
        if name.endswith("norm.weight"):
            tensors[name] = 1 + np.float32(0.3) * numbers
        elif name.endswith("bias"):
            tensors[name] = np.float32(0.3) * numbers
        else:
            tensors[name] = np.float32(0.5 if ".embeddings." in name else 0.25) * numbers
    return Checkpoint(config, tensors, head=plan.head)
