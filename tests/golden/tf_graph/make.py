"""Make the graph files of this folder with TensorFlow (2.21.0, in graph mode).

    python tests/golden/tf_graph/make.py

The graphs are written here after the descriptions of both original programs: the names of their
scopes, what each operation reads, their two ways to split heads. They have the forward pass of two
layers, in one case with gradients. Of each only what tells something is kept: operations of the
encoder, and of their attributes the values of constants; then it is packed (NAME.meta.gz).
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import tensorflow as tf

HERE = Path(__file__).resolve().parent
v1 = tf.compat.v1
HIDDEN, INSIDE, BATCH, LENGTH = 24, 32, 2, 6


def gelu(x: tf.Tensor) -> tf.Tensor:
    """The tanh formula as both programs write it."""
    return x * (0.5 * (1.0 + tf.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * tf.pow(x, 3)))))


ACTS = {
    "gelu_tanh": gelu,
    "relu": tf.nn.relu,
    "tanh": tf.tanh,
    "gelu_erf": lambda x: x * 0.5 * (1.0 + tf.math.erf(x / math.sqrt(2.0))),
    "silu": lambda x: x * tf.sigmoid(x),
    "linear": lambda x: x,
}


def dense(x: tf.Tensor, width: int, name: str = "dense", act=lambda x: x) -> tf.Tensor:
    """Like tf.layers.dense: the activation runs inside the scope of the layer."""
    with v1.variable_scope(name):
        kernel = v1.get_variable("kernel", [x.shape[-1], width])
        bias = v1.get_variable("bias", [width])
        return act(tf.nn.bias_add(tf.matmul(x, kernel), bias))


def norm(x: tf.Tensor, name: str = "LayerNorm") -> tf.Tensor:
    """Like tf.contrib.layers.layer_norm."""
    with v1.variable_scope(name):
        beta = v1.get_variable("beta", [x.shape[-1]])
        gamma = v1.get_variable("gamma", [x.shape[-1]])
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-12)


def heads_of_google(x: tf.Tensor, heads: int, name: str) -> tf.Tensor:
    """A kernel in three axes, and an einsum: (B, F, N, D)."""
    width = HIDDEN // heads
    with v1.variable_scope(name):
        kernel = tf.reshape(v1.get_variable("kernel", [HIDDEN, HIDDEN]), [HIDDEN, heads, width])
        bias = tf.reshape(v1.get_variable("bias", [HIDDEN]), [heads, width])
        return tf.einsum("BFH,HND->BFND", x, kernel) + bias


def scores(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Attention of (B, N, F, D)."""
    products = tf.matmul(query, key, transpose_b=True)
    products = tf.multiply(products, 1.0 / math.sqrt(float(query.shape[-1])))
    return tf.matmul(tf.nn.softmax(products, name="attention_probs"), value)


def google(x: tf.Tensor, layers: int, groups: int, heads: int, act) -> tf.Tensor:
    """google-research/albert: normalisation after each block."""
    for layer in range(layers):
        group = int(layer / layers * groups)
        with (
            v1.variable_scope("transformer", reuse=v1.AUTO_REUSE),
            v1.variable_scope(f"group_{group}"),
            tf.name_scope(f"layer_{layer}"),
            v1.variable_scope("inner_group_0"),
        ):
            with v1.variable_scope("attention_1"):
                with v1.variable_scope("self"):
                    parts = [heads_of_google(x, heads, n) for n in ("query", "key", "value")]
                    seen = scores(*[tf.transpose(part, [0, 2, 1, 3]) for part in parts])
                    seen = tf.transpose(seen, [0, 2, 1, 3])
                with v1.variable_scope("output"), v1.variable_scope("dense"):
                    kernel = v1.get_variable("kernel", [HIDDEN, HIDDEN])
                    kernel = tf.reshape(kernel, [heads, HIDDEN // heads, HIDDEN])
                    bias = v1.get_variable("bias", [HIDDEN])
                    seen = tf.einsum("BFND,NDH->BFH", seen, kernel) + bias
            x = norm(seen + x)
            with v1.variable_scope("ffn_1"), v1.variable_scope("intermediate"):
                inside = act(dense(x, INSIDE))
                with v1.variable_scope("output"):
                    inside = dense(inside, HIDDEN)
            x = norm(inside + x, "LayerNorm_1")
    return x


def brightmart(x: tf.Tensor, layers: int, heads: int, act, before: bool) -> tf.Tensor:
    """albert_zh's own layout, rows of tokens in two axes; `before`: ln_type preln."""
    x = tf.reshape(x, [-1, HIDDEN])
    shape = [BATCH, LENGTH, heads, HIDDEN // heads]
    for layer in range(layers):
        with v1.variable_scope("layer_shared", reuse=layer > 0):
            with v1.variable_scope("attention"):
                if before:
                    with v1.variable_scope("output"):
                        read = norm(x)
                else:
                    read = x
                with v1.variable_scope("self"):
                    parts = [dense(read, HIDDEN, name) for name in ("query", "key", "value")]
                    parts = [tf.transpose(tf.reshape(p, shape), [0, 2, 1, 3]) for p in parts]
                    seen = tf.transpose(scores(*parts), [0, 2, 1, 3])
                    seen = tf.reshape(seen, [BATCH * LENGTH, HIDDEN])
                with v1.variable_scope("output"):
                    seen = dense(seen, HIDDEN) + x
                    x = seen if before else norm(seen)
            if before:
                with v1.variable_scope("output"):
                    read = norm(x)
            else:
                read = x
            with v1.variable_scope("intermediate"):
                inside = dense(read, INSIDE, act=act)
            with v1.variable_scope("output"):
                inside = dense(inside, HIDDEN) + x
                x = inside if before else norm(inside)
    return tf.reshape(x, [BATCH, LENGTH, HIDDEN])


def save(name: str, body, gradients: bool = False) -> None:
    """Write NAME.meta.gz, without what tells nothing."""
    with tf.Graph().as_default():
        with v1.variable_scope("bert"):
            with v1.variable_scope("embeddings"):
                x = norm(v1.placeholder(tf.float32, [BATCH, LENGTH, HIDDEN]))
            with v1.variable_scope("encoder"):
                x = body(x)
        if gradients:
            tf.gradients(tf.reduce_sum(x), v1.trainable_variables())
        meta = v1.train.export_meta_graph(clear_devices=True)
    kept = [n for n in meta.graph_def.node if "encoder/" in n.name and "nitializer" not in n.name]
    del meta.graph_def.node[:]
    meta.graph_def.node.extend(kept)
    for node in meta.graph_def.node:
        for key in [k for k in node.attr if k != "value"]:
            del node.attr[key]
    for part in ("meta_info_def", "saver_def", "collection_def"):
        meta.ClearField(part)
    content = gzip.compress(meta.SerializeToString(deterministic=True), mtime=0)
    (HERE / f"{name}.meta.gz").write_bytes(content)


def main() -> None:
    """All files of this folder."""
    v1.disable_v2_behavior()
    for act in ("gelu_tanh", "relu", "tanh", "gelu_erf", "silu", "linear"):
        save(f"google_{act}", lambda x, act=act: google(x, 2, 1, 4, ACTS[act]))
    save("google_groups", lambda x: google(x, 3, 2, 6, gelu), gradients=True)
    save("google_one_head", lambda x: google(x, 2, 1, 1, gelu))
    save("brightmart_post", lambda x: brightmart(x, 2, 3, gelu, before=False))
    save("brightmart_pre", lambda x: brightmart(x, 3, 4, tf.nn.relu, before=True), gradients=True)


if __name__ == "__main__":
    main()
