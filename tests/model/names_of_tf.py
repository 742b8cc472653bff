"""TensorFlow variable names of google-research/albert and albert_zh, as names of this package.

One table for both layouts. Kernels are stored [in, out], or [in/g, out/g, g] for grouped feed-
forwards; the torch order is the reverse of all axes in both cases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

GROUP = r"bert/encoder/transformer/group_(\d+)/inner_group_(\d+)/"
SHARED = r"bert/encoder/layer_shared/"
DENSE = r"(kernel|bias)"
NORM = r"(gamma|beta)"

# Group numbers in the templates count the captures; the last capture is the kind of tensor.
TABLE = [
    (r"bert/embeddings/word_embeddings", "albert.embeddings.word.weight"),
    (r"bert/embeddings/position_embeddings", "albert.embeddings.position.weight"),
    (r"bert/embeddings/token_type_embeddings", "albert.embeddings.segment.weight"),
    (rf"bert/embeddings/LayerNorm/{NORM}", "albert.embeddings.norm"),
    (r"bert/embeddings/word_embeddings_2()", "albert.embeddings.projection"),
    (rf"bert/encoder/embedding_hidden_mapping_in/{DENSE}", "albert.embeddings.projection"),
    (
        rf"{GROUP}attention_1/self/(query|key|value)/{DENSE}",
        r"albert.encoder.attention.\1.\2.\3",
    ),
    (rf"{GROUP}attention_1/output/dense/{DENSE}", r"albert.encoder.attention.\1.\2.output"),
    (rf"{GROUP}LayerNorm/{NORM}", r"albert.encoder.attention.\1.\2.norm"),
    (rf"{GROUP}ffn_1/intermediate/dense/{DENSE}", r"albert.encoder.feed_forward.\1.\2.up"),
    (
        rf"{GROUP}ffn_1/intermediate/output/dense/{DENSE}",
        r"albert.encoder.feed_forward.\1.\2.down",
    ),
    (rf"{GROUP}LayerNorm_1/{NORM}", r"albert.encoder.feed_forward.\1.\2.norm"),
    (rf"{SHARED}attention/self/(query|key|value)/{DENSE}", r"albert.encoder.attention.0.0.\1"),
    (rf"{SHARED}attention/output/dense/{DENSE}", "albert.encoder.attention.0.0.output"),
    (rf"{SHARED}attention/output/LayerNorm/{NORM}", "albert.encoder.attention.0.0.norm"),
    (rf"{SHARED}intermediate/dense/{DENSE}", "albert.encoder.feed_forward.0.0.up"),
    (rf"{SHARED}output/dense/{DENSE}", "albert.encoder.feed_forward.0.0.down"),
    (rf"{SHARED}output/LayerNorm/{NORM}", "albert.encoder.feed_forward.0.0.norm"),
    (rf"bert/pooler/dense/{DENSE}", "albert.pooler"),
    (rf"cls/predictions/transform/dense/{DENSE}", "masked_lm.transform"),
    (rf"cls/predictions/transform/LayerNorm/{NORM}", "masked_lm.norm"),
    (r"cls/predictions/output_bias", "masked_lm.bias"),
    (r"cls/seq_relationship/output_weights", "sentence_order.weight"),
    (r"cls/seq_relationship/output_bias", "sentence_order.bias"),
]
KINDS = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "": "weight"}


def our_name(name: str) -> tuple[str, bool]:
    """Our name of a variable, and whether its axes are reversed."""
    for pattern, template in TABLE:
        match = re.fullmatch(pattern, name)
        if match and not match.re.groups:
            return template, False
        if match:
            kind = match.groups()[-1]
            return f"{match.expand(template)}.{KINDS[kind]}", kind in ("kernel", "")
    raise KeyError(name)


def renamed(variables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Variables (weights or gradients) under our names and in our axis order."""
    tensors = {}
    for name in variables:
        if name != "global_step":
            ours, reverse = our_name(name)
            tensors[ours] = variables[name].T if reverse else variables[name]
    return tensors
