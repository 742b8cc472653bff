"""google-research/albert: checkpoints of TensorFlow 1, read and written without TensorFlow.

Also albert_zh's programs in google's layout (`*_google`, `google_fast` with a feed-forward of 16
slices), TF-Hub modules, and what TensorFlow 2 and tensorflow/models made of such checkpoints.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from albertkit.checkpoint.families._express import (
    with_doubled_embeddings,
    with_layer_groups,
    with_projection,
    without_identity,
)
from albertkit.checkpoint.families._protocol import LoadResult, Loss, Overrides
from albertkit.checkpoint.families._tf import write as tf_write
from albertkit.checkpoint.families._tf.config import Layout, resolve_config
from albertkit.checkpoint.families._tf.names import Names, find_checkpoint, open_checkpoint
from albertkit.checkpoint.families._tf.read import (
    COMMON_RULES,
    assemble,
    read_head,
    shape_of,
    shape_sizes,
    tf_dense,
    tf_norm,
)
from albertkit.checkpoint.formats.tensor_bundle import Bundle
from albertkit.checkpoint.mapping import Rule, Transform, dense
from albertkit.config import AlbertConfig

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint

TITLE = "google-research/albert, TensorFlow 1"
WRITES = True

_GROUP = "bert/encoder/transformer/group_{g}/inner_group_{i}/"
_ATTENTION = "albert.encoder.attention.{g}.{i}"
_FEED_FORWARD = "albert.encoder.feed_forward.{g}.{i}"
# A kernel of google_fast is [in / 16, out / 16, 16]: reversing all its axes gives ours, too.
RULES = [
    Rule("albert.embeddings.word.weight", "bert/embeddings/word_embeddings"),
    Rule("albert.embeddings.position.weight", "bert/embeddings/position_embeddings"),
    Rule("albert.embeddings.segment.weight", "bert/embeddings/token_type_embeddings"),
    *tf_norm("albert.embeddings.norm", "bert/embeddings/LayerNorm/"),
    *tf_dense("albert.embeddings.projection", "bert/encoder/embedding_hidden_mapping_in/"),
    *tf_dense(f"{_ATTENTION}.query", f"{_GROUP}attention_1/self/query/"),
    *tf_dense(f"{_ATTENTION}.key", f"{_GROUP}attention_1/self/key/"),
    *tf_dense(f"{_ATTENTION}.value", f"{_GROUP}attention_1/self/value/"),
    *tf_dense(f"{_ATTENTION}.output", f"{_GROUP}attention_1/output/dense/"),
    *tf_norm(f"{_ATTENTION}.norm", f"{_GROUP}LayerNorm/"),
    *tf_dense(f"{_FEED_FORWARD}.up", f"{_GROUP}ffn_1/intermediate/dense/"),
    *tf_dense(f"{_FEED_FORWARD}.down", f"{_GROUP}ffn_1/intermediate/output/dense/"),
    *tf_norm(f"{_FEED_FORWARD}.norm", f"{_GROUP}LayerNorm_1/"),
    *COMMON_RULES,
]


# tensorflow/models keeps heads apart: [H, N, D] for query, key, value; [N, D, H] for the output.
_SPLIT_INPUT = Transform(
    "heads joined, transposed",
    lambda x, _: x.reshape(len(x), -1).T if x.size else x,
    lambda x, c: x.T.reshape(c.hidden_size, c.num_attention_heads, c.head_width),
)
_SPLIT_OUTPUT = Transform(
    "heads joined, transposed",
    lambda x, _: x.reshape(-1, x.shape[-1]).T if x.size else x,
    lambda x, c: x.T.reshape(c.num_attention_heads, c.head_width, c.hidden_size),
)
_SPLIT_BIAS = Transform(
    "heads joined",
    lambda x, _: x.reshape(-1),
    lambda x, c: x.reshape(c.num_attention_heads, c.head_width),
)
MODELS_RULES = [
    Rule("albert.embeddings.word.weight", "word_embeddings/embeddings"),
    Rule("albert.embeddings.position.weight", "position_embedding/embeddings"),
    Rule("albert.embeddings.segment.weight", "type_embeddings/embeddings"),
    *tf_norm("albert.embeddings.norm", "embeddings/layer_norm/"),
    *tf_dense("albert.embeddings.projection", "embedding_projection/"),
    *(
        Rule(f"{_ATTENTION}.{part}.{kind}", f"transformer/self_attention/{part}/{theirs}", change)
        for part in ("query", "key", "value")
        for kind, theirs, change in (
            ("weight", "kernel", _SPLIT_INPUT),
            ("bias", "bias", _SPLIT_BIAS),
        )
    ),
    *dense(
        f"{_ATTENTION}.output",
        "transformer/self_attention/attention_output/",
        "kernel",
        change=_SPLIT_OUTPUT,
    ),
    *tf_norm(f"{_ATTENTION}.norm", "transformer/self_attention_layer_norm/"),
    *tf_dense(f"{_FEED_FORWARD}.up", "transformer/intermediate/"),
    *tf_dense(f"{_FEED_FORWARD}.down", "transformer/output/"),
    *tf_norm(f"{_FEED_FORWARD}.norm", "transformer/output_layer_norm/"),
    *tf_dense("albert.pooler", "pooler_transform/"),
    *tf_dense("masked_lm.transform", "cls/predictions/transform/dense/"),
    *tf_norm("masked_lm.norm", "cls/predictions/transform/LayerNorm/"),
    Rule("masked_lm.bias", "cls/predictions/output_bias/bias"),
    *tf_dense("sentence_order", "predictions/transform/logits/"),
]

_FIRST = "bert/encoder/transformer/group_0/inner_group_0/"
_SIZES = {
    "vocab_size": ("bert/embeddings/word_embeddings", 0, 2),
    "embedding_size": ("bert/embeddings/word_embeddings", 1, 2),
    "max_position_embeddings": ("bert/embeddings/position_embeddings", 0, 2),
    "type_vocab_size": ("bert/embeddings/token_type_embeddings", 0, 2),
    "hidden_size": (f"{_FIRST}attention_1/self/query/bias", 0, 1),
    "intermediate_size": (f"{_FIRST}ffn_1/intermediate/dense/bias", 0, 1),
}
_MODELS_SIZES = {
    "vocab_size": ("word_embeddings/embeddings", 0, 2),
    "embedding_size": ("word_embeddings/embeddings", 1, 2),
    "max_position_embeddings": ("position_embedding/embeddings", 0, 2),
    "type_vocab_size": ("type_embeddings/embeddings", 0, 2),
    "hidden_size": ("transformer/self_attention/query/kernel", 0, 3),
    "num_attention_heads": ("transformer/self_attention/query/kernel", 1, 3),
    "intermediate_size": ("transformer/intermediate/bias", 0, 1),
}
_BODY = {
    "embedding_order": "norm_then_project",
    "position_width": "embedding",
    "projection_bias": True,
    "project_equal_width": False,
    "share": "all",
}


def detect(path: Path) -> Path | None:
    """The prefix of a checkpoint in google's layout; also a damaged checkpoint of TensorFlow."""
    return find_checkpoint(path, ("google", "models"), damaged=True)


def read(found: Path, overrides: Overrides) -> LoadResult:
    """Read a checkpoint by its prefix."""
    bundle, names = open_checkpoint(found)
    modern = names.layout == "models"
    layout = _models_layout(bundle, names) if modern else _layout(bundle, names)
    resolved = resolve_config(found, overrides, layout)
    head = read_head(bundle, names, overrides)
    return assemble(bundle, names, MODELS_RULES if modern else RULES, resolved, head)


def _layout(bundle: Bundle, names: Names) -> Layout:
    """What the tensors of google's layout say about their model."""
    sizes = shape_sizes(bundle, names, _SIZES)
    _, kernel = shape_of(bundle, names, f"{_FIRST}ffn_1/intermediate/dense/kernel", 2, 3)
    sliced = len(kernel) == 3
    places = [
        (int(found[1]), int(found[2]))
        for name in names.files
        if (found := re.search(r"/group_(\d{1,6})/inner_group_(\d{1,6})/", name))
    ]
    fixed = {**_BODY, "ffn_groups": kernel[2] if sliced else 1}
    if names.matrices:  # each layer has normalisations of its own
        layers = len(names.matrices)
        sizes["num_hidden_layers"] = (layers, f"the normalisations of layer_{layers - 1}")
        fixed |= {"share": "none", "num_hidden_groups": 1}
    return Layout(
        dialect="google_fast" if sliced else "google",
        sizes=sizes,
        fixed=fixed,
        hints={
            "norm_order": "post",
            "num_hidden_groups": 1 + max(group for group, _ in places),
            "inner_group_num": 1 + max(inner for _, inner in places),
        },
    )


def _models_layout(bundle: Bundle, names: Names) -> Layout:
    """The same for tensorflow/models, which shares all layers and knows no groups."""
    fixed = {**_BODY, "ffn_groups": 1, "num_hidden_groups": 1, "inner_group_num": 1}
    sizes = shape_sizes(bundle, names, _MODELS_SIZES)
    return Layout("google", sizes, {**fixed, "norm_order": "post"})


def _equivalent(config: AlbertConfig) -> AlbertConfig | None:
    """The same model as google's config says it: layers grouped by its formula."""
    counts = (config.num_hidden_groups, len(config.attention_blocks))
    return tf_write.equivalent(config, [{"num_hidden_groups": n, "share": "all"} for n in counts])


def express(checkpoint: Checkpoint) -> tuple[Checkpoint, list[str]]:
    """The equal model that google's program has: no projection where E = H, groups by its formula.

    A projection between unequal widths always has a bias there.
    """
    checkpoint, notes = without_identity(checkpoint)
    if checkpoint.config.embedding_order == "norm_then_project":  # else refused
        checkpoint, more = with_doubled_embeddings(checkpoint)
        notes += more
    if checkpoint.config.has_projection:
        checkpoint, more = with_projection(checkpoint, bias=True)
        notes += more
    checkpoint, more = with_layer_groups(checkpoint, lambda config: _equivalent(config) is not None)
    return checkpoint, notes + more


def losses(checkpoint: Checkpoint) -> list[Loss]:
    """What google's files have no place for.

    Raises:
        CheckpointError: google's program would compute something else.
    """
    config = checkpoint.config
    fast = config.ffn_groups == tf_write.FAST_GROUPS
    return tf_write.losses(
        checkpoint,
        {
            "albert_zh's own layout": config.embedding_order != "norm_then_project",
            "a projection without bias": config.has_projection and not config.projection_bias,
            "a projection although E = H": config.has_projection
            and config.embedding_size == config.hidden_size,
            "norm_order=pre": config.norm_order != "post",
            "silu, which only google_fast has": config.hidden_act == "silu" and not fast,
            "a feed-forward of slices other than 16": config.ffn_groups != 1 and not fast,
            "layers that are not dealt to groups by int(layer / layers * groups)": (
                _equivalent(config) is None
            ),
        },
    )


def write(checkpoint: Checkpoint, folder: Path, dtype: str) -> None:
    """Write `model.ckpt-best.*`, `albert_config.json` and the vocabulary."""
    losses(checkpoint)
    config = _equivalent(checkpoint.config)
    assert config is not None  # else refused
    values = tf_write.config_values(config)
    values |= {
        "num_hidden_groups": config.num_hidden_groups,
        "inner_group_num": config.inner_group_num,
        "net_structure_type": 0,
        "gap_size": 0,
        "num_memory_blocks": 0,
        "down_scale_factor": 1,
    }
    tf_write.write(checkpoint, config, RULES, values, folder / "model.ckpt-best", dtype)
