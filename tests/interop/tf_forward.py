"""ALBERT as google's and albert_zh's programs compute it, from variables by their original names.

Written from the inventory of their layouts, in NumPy and float64, for the interop check alone: it
shares no code with albertkit. The config is the JSON file beside the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


def gelu(x: Array) -> Array:
    """The tanh formula, which is all that these programs have."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def softmax(x: Array) -> Array:
    """Over the last axis."""
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


ACTS: dict[str, Callable[[Array], Array]] = {
    "gelu": gelu,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "linear": lambda x: x,
    "swish": lambda x: x / (1 + np.exp(-x)),
}


@dataclass
class Tf:
    """A model: variables by name, and the config file."""

    variables: Mapping[str, Array]
    config: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.used: set[str] = set()
        self.act = ACTS[self.config["hidden_act"]]
        self.own = "bert/embeddings/word_embeddings_2" in self.variables
        self.pre = self.config.get("ln_type") == "preln"

    def get(self, name: str) -> Array:
        """A variable; remembers that it was used."""
        self.used.add(name)
        return self.variables[name].astype(np.float64)

    def dense(self, name: str, x: Array) -> Array:
        """x times a kernel [in, out], or [in / 16, out / 16, 16] of google_fast, plus bias."""
        kernel = self.get(f"{name}/kernel")
        if kernel.ndim == 3:
            slices = x.reshape(*x.shape[:-1], kernel.shape[0], kernel.shape[2])
            parts = [slices[..., n] @ kernel[..., n] for n in range(kernel.shape[2])]
            return np.concatenate(parts, -1) + self.get(f"{name}/bias")
        return x @ kernel + self.get(f"{name}/bias")

    def norm(self, name: str, x: Array) -> Array:
        """Layer normalisation of tensorflow.contrib: epsilon 1e-12 under the root."""
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-12)
        return scaled * self.get(f"{name}/gamma") + self.get(f"{name}/beta")

    def attend(self, scope: str, x: Array, mask: Array) -> Array:
        """Self-attention and its output map."""
        rows, columns, width = x.shape
        heads = self.config["num_attention_heads"]
        shape = (rows, columns, heads, width // heads)
        query, key, value = (
            self.dense(f"{scope}/self/{part}", x).reshape(shape).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(width // heads)
        weights = softmax(scores + (1.0 - mask[:, None, None]) * -10000.0)
        mixed = (weights @ value).transpose(0, 2, 1, 3).reshape(rows, columns, width)
        return self.dense(f"{scope}/output/dense", mixed)

    def google_block(self, scope: str, x: Array, mask: Array) -> Array:
        """One inner layer of google's layout."""
        x = self.norm(f"{scope}/LayerNorm", x + self.attend(f"{scope}/attention_1", x, mask))
        inner = self.act(self.dense(f"{scope}/ffn_1/intermediate/dense", x))
        outer = self.dense(f"{scope}/ffn_1/intermediate/output/dense", inner)
        return self.norm(f"{scope}/LayerNorm_1", x + outer)

    def own_block(self, x: Array, mask: Array) -> Array:
        """One layer of albert_zh's own layout, in the order that ln_type names."""
        scope = "bert/encoder/layer_shared"
        first, second = f"{scope}/attention/output/LayerNorm", f"{scope}/output/LayerNorm"

        def feed(y: Array) -> Array:
            return self.dense(
                f"{scope}/output/dense", self.act(self.dense(f"{scope}/intermediate/dense", y))
            )

        if self.pre:
            x = x + self.attend(f"{scope}/attention", self.norm(first, x), mask)
            return x + feed(self.norm(second, x))
        x = self.norm(first, x + self.attend(f"{scope}/attention", x, mask))
        return self.norm(second, x + feed(x))

    def embed(self, ids: Array, types: Array) -> Array:
        """Vectors of width H."""
        place = "bert/embeddings"
        x = self.get(f"{place}/word_embeddings")[ids]
        if self.own:
            x = x @ self.get(f"{place}/word_embeddings_2")
        x = x + self.get(f"{place}/token_type_embeddings")[types]
        x = x + self.get(f"{place}/position_embeddings")[: ids.shape[1]]
        x = self.norm(f"{place}/LayerNorm", x)
        if self.own or self.config["embedding_size"] == self.config["hidden_size"]:
            return x
        return self.dense("bert/encoder/embedding_hidden_mapping_in", x)

    def run(self, ids: Array, types: Array, mask: Array) -> dict[str, Array]:
        """Hidden states, pooled vectors and pretraining logits."""
        states = [self.embed(ids, types)]
        layers, groups = self.config["num_hidden_layers"], self.config.get("num_hidden_groups", 1)
        for layer in range(layers):
            if self.own:
                states.append(self.own_block(states[-1], mask))
                continue
            group = int(layer / layers * groups)
            for inner in range(self.config.get("inner_group_num", 1)):
                scope = f"bert/encoder/transformer/group_{group}/inner_group_{inner}"
                states.append(self.google_block(scope, states[-1], mask))
        found = {f"hidden_{n:02d}": state for n, state in enumerate(states)}
        last = states[-1]
        if "bert/pooler/dense/kernel" in self.variables:
            found["pooled"] = np.tanh(self.dense("bert/pooler/dense", last[:, 0]))
        if "cls/seq_relationship/output_weights" in self.variables:
            found["sop_logits"] = self.logits("cls/seq_relationship/", found["pooled"])
        if "cls/predictions/output_bias" in self.variables:
            found["mlm_logits"] = self.words(last)
        return found

    def logits(self, scope: str, x: Array) -> Array:
        """A head whose weights are stored [classes, H]."""
        return x @ self.get(f"{scope}output_weights").T + self.get(f"{scope}output_bias")

    def words(self, last: Array) -> Array:
        """The masked-LM head at every position."""
        x = self.act(self.dense("cls/predictions/transform/dense", last))
        x = self.norm("cls/predictions/transform/LayerNorm", x)
        if self.own:
            x = x @ self.get("bert/embeddings/word_embeddings_2").T
        table = self.get("bert/embeddings/word_embeddings")
        return x @ table.T + self.get("cls/predictions/output_bias")

    def beam(self, last: Array, mask: Array) -> dict[str, Array]:
        """SQuAD 2: starts, ends given the first token as start, and the answerable logit."""

        def log_softmax(x: Array) -> Array:
            x = np.where(mask, x, -1e30)
            x = x - x.max(-1, keepdims=True)
            return x - np.log(np.exp(x).sum(-1, keepdims=True))

        starts = log_softmax(self.dense("start_logits/dense", last)[..., 0])
        first = np.broadcast_to(last[:, :1], last.shape)
        pairs = np.concatenate([last, first], -1)
        inner = self.norm("end_logits/LayerNorm", np.tanh(self.dense("end_logits/dense_0", pairs)))
        ends = log_softmax(self.dense("end_logits/dense_1", inner)[..., 0])
        mean = np.einsum("bt,bth->bh", np.exp(starts), last)
        evidence = np.concatenate([mean, last[:, 0]], -1)
        inner = np.tanh(self.dense("answer_class/dense_0", evidence))
        answer = (inner @ self.get("answer_class/dense_1/kernel"))[:, 0]
        return {"start_log_probs": starts, "end_log_probs": ends, "cls_logits": answer}

    def task(self, kind: str, found: Mapping[str, Array], mask: Array) -> dict[str, Array]:
        """What the head of a task gives."""
        last = found[max(name for name in found if name.startswith("hidden_"))]
        if kind == "beam_span":
            return self.beam(last, mask)
        if kind == "span":
            start, end = np.moveaxis(self.logits("cls/squad/", last), -1, 0)
            return {"start_logits": start, "end_logits": end}
        return {"logits": self.logits("", found["pooled"])}
