"""Names in a checkpoint folder: transformers', and ours for what transformers must refuse."""

from __future__ import annotations

import numpy as np

from albertkit.checkpoint.mapping import Rule, expand
from albertkit.config import AlbertConfig
from albertkit.parameters import parameter_shapes
from albertkit.tasks.head import TaskHead

OWN_PREFIX = "albertkit."

_LAYER = "albert.encoder.albert_layer_groups.{g}.albert_layers.{i}"
# Ours, theirs. {g} and {i} stand for the numbers of a block and of its inner place. Each line
# covers the tensors below it (.weight, .bias).
_MODULES = [
    ("albert.embeddings.word", "albert.embeddings.word_embeddings"),
    ("albert.embeddings.position", "albert.embeddings.position_embeddings"),
    ("albert.embeddings.segment", "albert.embeddings.token_type_embeddings"),
    ("albert.embeddings.norm", "albert.embeddings.LayerNorm"),
    ("albert.embeddings.projection", "albert.encoder.embedding_hidden_mapping_in"),
    ("albert.encoder.attention.{g}.{i}.query", f"{_LAYER}.attention.query"),
    ("albert.encoder.attention.{g}.{i}.key", f"{_LAYER}.attention.key"),
    ("albert.encoder.attention.{g}.{i}.value", f"{_LAYER}.attention.value"),
    ("albert.encoder.attention.{g}.{i}.output", f"{_LAYER}.attention.dense"),
    ("albert.encoder.attention.{g}.{i}.norm", f"{_LAYER}.attention.LayerNorm"),
    ("albert.encoder.feed_forward.{g}.{i}.up", f"{_LAYER}.ffn"),
    ("albert.encoder.feed_forward.{g}.{i}.down", f"{_LAYER}.ffn_output"),
    ("albert.encoder.feed_forward.{g}.{i}.norm", f"{_LAYER}.full_layer_layer_norm"),
    ("albert.pooler", "albert.pooler"),
    ("masked_lm.transform", "predictions.dense"),
    ("masked_lm.norm", "predictions.LayerNorm"),
    ("masked_lm.decoder", "predictions.decoder"),
    ("masked_lm", "predictions"),
    ("sentence_order", "sop_classifier.classifier"),
    ("classifier", "classifier"),
    ("span", "qa_outputs"),
]
HUGGINGFACE_RULES = [
    Rule(f"{ours}.{kind}", f"{theirs}.{kind}")
    for ours, theirs in _MODULES
    for kind in ("weight", "bias")
]
# Copies that some files hold beside the tensor they are tied to (both in transformers' names).
TIED = {
    "predictions.decoder.weight": "albert.embeddings.word_embeddings.weight",
    "predictions.decoder.bias": "predictions.bias",
}
MAX_POSITIONS = 1 << 20  # of a row of numbers that is compared


def huggingface_rules(
    config: AlbertConfig, head: TaskHead | None = None, *, renumber: bool
) -> dict[str, Rule]:
    """Rule of each of our tensors that transformers has a name for; a beam-search head has none.

    With `renumber` blocks are counted without gaps, as `AlbertConfig.to_json` writes them; without
    it a block has the number of the config, as in a folder that transformers wrote.
    """
    return expand(HUGGINGFACE_RULES, config, head, renumber=renumber)


def own_rules(config: AlbertConfig, head: TaskHead | None = None) -> dict[str, Rule]:
    """Rule of each tensor in a folder that transformers must refuse."""
    return {name: Rule(name, OWN_PREFIX + name) for name in parameter_shapes(config, head)}


def counts_up(tensor: np.ndarray) -> bool:
    """Whether a tensor holds the numbers 0, 1, 2, ..., perhaps rounded to bfloat16."""
    if tensor.size > MAX_POSITIONS:
        return False
    numbers = np.arange(tensor.size)
    exact = tensor.dtype.kind in "iu"
    with np.errstate(invalid="ignore"):
        distance = np.abs(tensor.reshape(-1) - numbers)
        return bool(np.all(distance <= (0 if exact else numbers / 256)))
