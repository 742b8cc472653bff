"""brightmart/albert_zh in its own layout: checkpoints of TensorFlow 1, without TensorFlow.

Word embeddings are multiplied by a second table before positions and segments of hidden width are
added; the normalisation comes after that. `ln_type` in the config gives the order of the blocks'
normalisations, which have the same names either way.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from albertkit.checkpoint.families._express import with_layer_groups, with_projection
from albertkit.checkpoint.families._protocol import LoadResult, Loss, Overrides
from albertkit.checkpoint.families._tf import write as tf_write
from albertkit.checkpoint.families._tf.config import Layout, resolve_config
from albertkit.checkpoint.families._tf.names import Names, find_checkpoint, open_checkpoint
from albertkit.checkpoint.families._tf.read import (
    COMMON_RULES,
    assemble,
    read_head,
    shape_sizes,
    tf_dense,
    tf_norm,
)
from albertkit.checkpoint.formats.tensor_bundle import Bundle
from albertkit.checkpoint.mapping import TRANSPOSED, Rule
from albertkit.config import AlbertConfig

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint

TITLE = "brightmart/albert_zh in its own layout, TensorFlow 1"
WRITES = True

_ATTENTION = "albert.encoder.attention.{g}.{i}"
_FEED_FORWARD = "albert.encoder.feed_forward.{g}.{i}"
_SHARED = "bert/encoder/layer_shared/"
_OWN = "bert/encoder/layer_{g}/"


def rules(layer: str) -> list[Rule]:
    """The table; `layer` is the scope of a layer's blocks."""
    return [
        Rule("albert.embeddings.word.weight", "bert/embeddings/word_embeddings"),
        Rule("albert.embeddings.position.weight", "bert/embeddings/position_embeddings"),
        Rule("albert.embeddings.segment.weight", "bert/embeddings/token_type_embeddings"),
        *tf_norm("albert.embeddings.norm", "bert/embeddings/LayerNorm/"),
        Rule(
            "albert.embeddings.projection.weight",
            "bert/embeddings/word_embeddings_2",
            TRANSPOSED,
        ),
        *tf_dense(f"{_ATTENTION}.query", f"{layer}attention/self/query/"),
        *tf_dense(f"{_ATTENTION}.key", f"{layer}attention/self/key/"),
        *tf_dense(f"{_ATTENTION}.value", f"{layer}attention/self/value/"),
        *tf_dense(f"{_ATTENTION}.output", f"{layer}attention/output/dense/"),
        *tf_norm(f"{_ATTENTION}.norm", f"{layer}attention/output/LayerNorm/"),
        *tf_dense(f"{_FEED_FORWARD}.up", f"{layer}intermediate/dense/"),
        *tf_dense(f"{_FEED_FORWARD}.down", f"{layer}output/dense/"),
        *tf_norm(f"{_FEED_FORWARD}.norm", f"{layer}output/LayerNorm/"),
        *COMMON_RULES,
    ]


def detect(path: Path) -> Path | None:
    """The prefix of a checkpoint in this layout, recognised by `word_embeddings_2`."""
    return find_checkpoint(path, ("brightmart",), damaged=False)


def read(found: Path, overrides: Overrides) -> LoadResult:
    """Read a checkpoint by its prefix."""
    bundle, names = open_checkpoint(found)
    layers = {
        int(match[1])
        for name in names.files
        if (match := re.match(r"bert/encoder/layer_(\d{1,6})/", name))
    }
    resolved = resolve_config(found, overrides, _layout(bundle, names, layers))
    head = read_head(bundle, names, overrides)
    return assemble(bundle, names, rules(_OWN if layers else _SHARED), resolved, head)


def _layout(bundle: Bundle, names: Names, layers: set[int]) -> Layout:
    """What the tensors say about their model."""
    first = _OWN.format(g=0) if layers else _SHARED
    where = {
        "vocab_size": ("bert/embeddings/word_embeddings", 0, 2),
        "embedding_size": ("bert/embeddings/word_embeddings", 1, 2),
        "max_position_embeddings": ("bert/embeddings/position_embeddings", 0, 2),
        "type_vocab_size": ("bert/embeddings/token_type_embeddings", 0, 2),
        "hidden_size": ("bert/embeddings/word_embeddings_2", 1, 2),
        "intermediate_size": (f"{first}intermediate/dense/bias", 0, 1),
    }
    sizes = shape_sizes(bundle, names, where)
    if layers:
        last = max(layers)
        sizes["num_hidden_layers"] = (1 + last, f"number of bert/encoder/layer_{last}")
    fixed = {
        "embedding_order": "project_then_norm",
        "position_width": "hidden",
        "projection_bias": False,
        "project_equal_width": sizes["embedding_size"][0] == sizes["hidden_size"][0],
        "ffn_groups": 1,
        "num_hidden_groups": 1,
        "inner_group_num": 1,
        "share": "none" if layers else "all",
    }
    return Layout("brightmart", sizes, fixed)


def _equivalent(config: AlbertConfig) -> AlbertConfig | None:
    """The same model as this layout says it: one block for all layers, or one for each."""
    forms = [{"num_hidden_groups": 1, "share": share} for share in ("all", "none")]
    return tf_write.equivalent(config, forms)


def express(checkpoint: Checkpoint) -> tuple[Checkpoint, list[str]]:
    """The equal model that albert_zh has: a projection without bias, one block or one a layer."""
    checkpoint, notes = with_projection(checkpoint, bias=False)
    checkpoint, more = with_layer_groups(checkpoint, lambda config: _equivalent(config) is not None)
    return checkpoint, notes + more


def losses(checkpoint: Checkpoint) -> list[Loss]:
    """What the files have no place for.

    Raises:
        CheckpointError: albert_zh's program would compute something else.
    """
    config = checkpoint.config
    return tf_write.losses(
        checkpoint,
        {
            "google's layout of the embeddings": config.embedding_order != "project_then_norm",
            "a projection with bias": config.projection_bias,
            "no projection": not config.has_projection,
            "silu": config.hidden_act == "silu",
            "a feed-forward of slices": config.ffn_groups != 1,
            "inner groups": config.inner_group_num != 1,
            "groups of layers": _equivalent(config) is None,
        },
    )


def write(checkpoint: Checkpoint, folder: Path, dtype: str) -> None:
    """Write `albert_model.ckpt.*`, `albert_config.json` and the vocabulary."""
    losses(checkpoint)
    config = _equivalent(checkpoint.config)
    assert config is not None  # else refused
    values = tf_write.config_values(config)
    values |= {
        "ln_type": {"post": "postln", "pre": "preln"}[config.norm_order],
        "directionality": "bidi",
        "pooler_type": "first_token_transform",
    }
    table = rules(_OWN if config.share == "none" else _SHARED)
    tf_write.write(checkpoint, config, table, values, folder / "albert_model.ckpt", dtype)
