"""Small random models of every architecture variant, for the graphs."""

from __future__ import annotations

import torch

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.head import TaskHead

BASE = {
    "vocab_size": 50,
    "embedding_size": 8,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 32,
    "max_position_embeddings": 20,
    "initializer_range": 0.3,
}
CHANGES = {
    "plain": {},
    "gelu_erf": {"hidden_act": "gelu_erf"},
    "silu": {"hidden_act": "silu"},
    "tanh": {"hidden_act": "tanh"},
    "linear": {"hidden_act": "linear"},
    "relu_groups": {"hidden_act": "relu", "num_hidden_groups": 3},
    "inner": {"inner_group_num": 2},
    "pre": {"norm_order": "pre", "final_norm": True},
    "one_layer": {"num_hidden_layers": 1},
    "albert_zh": {
        "embedding_order": "project_then_norm",
        "position_width": "hidden",
        "projection_bias": False,
    },
    "grouped": {"ffn_groups": 4},
    "uer": {"layer_norm_kind": "uer", "type_vocab_size": 3, "layer_norm_eps": 1e-6},
    "share_attention": {"share": "attention"},
    "share_ffn": {"share": "ffn"},
    "no_projection": {"embedding_size": 24},
    "untied": {"tied_decoder": False},
    "eps": {"layer_norm_eps": 1e-3, "head_layer_norm_eps": 1e-5},
}
HEADS = {
    "classification": TaskHead("classification", 3),
    "regression": TaskHead("regression", 1),
    "multi_label": TaskHead("multi_label", 4),
    "multiple_choice": TaskHead("multiple_choice", 1),
    "token_classification": TaskHead("token_classification", 5),
    "span": TaskHead("span", 2),
}


def variant(name: str) -> Checkpoint:
    """A pretraining checkpoint."""
    torch.manual_seed(11)
    config = AlbertConfig(**{**BASE, **CHANGES[name]})
    model = AlbertForPretraining(config)
    return Checkpoint(config, _moved(tensors_of(model)))


def fine_tuned(kind: str) -> Checkpoint:
    """A checkpoint with the head of a task."""
    torch.manual_seed(12)
    config = AlbertConfig(**BASE)
    model = AlbertForTask(config, HEADS[kind])
    return Checkpoint(config, _moved(tensors_of(model)), head=HEADS[kind])


def _moved(tensors: dict) -> dict:
    """Biases and scales that are not 0 and 1, so that none can be forgotten."""
    return {
        name: x + torch.randn(x.shape).numpy() * 0.1 if x.ndim == 1 else x
        for name, x in tensors.items()
    }
