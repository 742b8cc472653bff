"""PaddleNLP's names of an ALBERT's tensors, and its config keys, old and new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from albertkit.checkpoint.families._configs import read as read_dialect
from albertkit.checkpoint.families._configs import write as write_dialect
from albertkit.checkpoint.mapping import TRANSPOSED, Rule, dense, norm
from albertkit.config import AlbertConfig
from albertkit.tasks.head import TaskHead
from albertkit.tasks.kinds import KINDS

WORDS = "transformer.embeddings.word_embeddings.weight"
# The framework's default: PaddleNLP does not hand the config's on to this norm.
HEAD_EPSILON = 1e-5
_ATTENTION = "albert.encoder.attention.{g}.{i}"
_FEED_FORWARD = "albert.encoder.feed_forward.{g}.{i}"
_LAYER = "transformer.encoder.albert_layer_groups.{g}.albert_layers.{i}."


def _dense(ours: str, theirs: str) -> list[Rule]:
    return dense(ours, theirs, change=TRANSPOSED)


RULES = [
    Rule("albert.embeddings.word.weight", WORDS),
    Rule("albert.embeddings.position.weight", "transformer.embeddings.position_embeddings.weight"),
    Rule("albert.embeddings.segment.weight", "transformer.embeddings.token_type_embeddings.weight"),
    *norm("albert.embeddings.norm", "transformer.embeddings.layer_norm."),
    *_dense("albert.embeddings.projection", "transformer.encoder.embedding_hidden_mapping_in."),
    *_dense(f"{_ATTENTION}.query", f"{_LAYER}attention.query."),
    *_dense(f"{_ATTENTION}.key", f"{_LAYER}attention.key."),
    *_dense(f"{_ATTENTION}.value", f"{_LAYER}attention.value."),
    *_dense(f"{_ATTENTION}.output", f"{_LAYER}attention.dense."),
    *norm(f"{_ATTENTION}.norm", f"{_LAYER}attention.layer_norm."),
    *_dense(f"{_FEED_FORWARD}.up", f"{_LAYER}ffn."),
    *_dense(f"{_FEED_FORWARD}.down", f"{_LAYER}ffn_output."),
    *norm(f"{_FEED_FORWARD}.norm", f"{_LAYER}full_layer_layer_norm."),
    *_dense("albert.pooler", "transformer.pooler."),
    *_dense("masked_lm.transform", "predictions.dense."),
    *norm("masked_lm.norm", "predictions.layer_norm."),
    Rule("masked_lm.decoder.weight", "predictions.decoder.weight"),
    Rule("masked_lm.bias", "predictions.bias"),
    *_dense("sentence_order", "sop_classifier.classifier."),
    *_dense("classifier", "classifier."),
    *_dense("span", "qa_outputs."),
]
# Copies beside the tensors they are tied to: PaddleNLP adds the decoder's.
COPIES = {
    "predictions.decoder.weight": WORDS,
    "predictions.decoder.bias": "predictions.bias",
}
# Its classes have transformers' names; it has no `problem_type` that says multi-label.
_CLASSES = {
    name: kind.transformers
    for name, kind in KINDS.items()
    if kind.transformers and name != "multi_label"
}


def full(names: Mapping[str, Any]) -> dict[str, str]:
    """The name with its prefix of each name; a bare body is saved without `transformer.`."""
    if any(name.startswith("transformer.") for name in names):
        return {name: name for name in names}
    inside = ("embeddings.", "encoder.", "pooler.")
    return {name: f"transformer.{name}" if name.startswith(inside) else name for name in names}


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """All keys of a config; in the old form they stand inside `init_args`, the class outside."""
    made: dict[str, Any] = {}
    level: Any = values
    while isinstance(level, Mapping):
        made = {**level, **made}
        arguments = level.get("init_args")
        level = arguments[0] if isinstance(arguments, list) and arguments else arguments
    made.pop("init_args", None)
    if "architectures" not in made and isinstance(made.get("init_class"), str):
        made["architectures"] = [made["init_class"]]
    return made


def read_config(values: Mapping[str, Any], *, tied: bool) -> AlbertConfig:
    """Config from PaddleNLP's keys; `tied` is seen in the weights.

    Raises:
        ConfigError: no config of PaddleNLP, or one that describes no ALBERT.
    """
    return replace(read_dialect(flat(values), dialect="paddle").config, tied_decoder=tied)


def write_config(
    config: AlbertConfig, head: TaskHead | None, kind: str, ids: Mapping[str, int]
) -> dict[str, Any]:
    """PaddleNLP's keys for a config that `reasons` finds nothing against.

    Args:
        config: the model.
        head: head of a task, if there is one.
        kind: class of a model without one, such as "AlbertForPretraining".
        ids: of the special pieces.
    """
    same = replace(config, head_layer_norm_eps=config.layer_norm_eps)
    values = write_dialect(same)
    values.pop("tie_word_embeddings", None)
    values |= {**ids, "add_pooling_layer": True, "architectures": [kind], "paddlenlp_version": None}
    if head is None:
        return values
    values["architectures"] = [_CLASSES[head.kind]]
    if head.traits.has_classes:
        labels = head.labels or tuple(f"LABEL_{n}" for n in range(head.num_labels))
        values["id2label"] = {str(n): label for n, label in enumerate(labels)}
        values["label2id"] = {label: n for n, label in enumerate(labels)}
    if head.kind == "regression":
        values |= {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    return values


def reasons(config: AlbertConfig) -> list[str]:
    """Why PaddleNLP has no such model; an empty list says that it has."""
    return replace(config, head_layer_norm_eps=config.layer_norm_eps).fits_huggingface


def kind_of(head: TaskHead) -> str | None:
    """PaddleNLP's class for a head, or None."""
    return None if head.fits_huggingface else _CLASSES.get(head.kind)
