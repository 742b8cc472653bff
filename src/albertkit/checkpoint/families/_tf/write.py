"""Writing shared by the two families that TensorFlow 1 wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albertkit.checkpoint.families._protocol import Loss
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.checkpoint.formats.tensor_bundle import write_bundle
from albertkit.checkpoint.mapping import Rule, expand, export_tensors
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError
from albertkit.tasks.head import TaskHead
from albertkit.tasks.kinds import PARTS

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint

FAST_GROUPS = 16
_EPSILON = 1e-12
ACTS = {"gelu_tanh": "gelu", "relu": "relu", "tanh": "tanh", "linear": "linear", "silu": "swish"}
_KEYS = (
    *("vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "max_position_embeddings", "type_vocab_size", "hidden_dropout_prob"),
    *("attention_probs_dropout_prob", "initializer_range"),
)
# What a file does not say about the head that it holds.
_NOT_SAID = {"multi_label": "that any number of the classes may hold (multi_label)"}
_HEAD_TENSORS = tuple(f"{part}." for part in PARTS)
_UER_SEGMENTS = 3
_BEAM = 5  # google's default of start_n_top and end_n_top, which are flags there


def equivalent(config: AlbertConfig, forms: Iterable[Mapping[str, Any]]) -> AlbertConfig | None:
    """The config with the first of these keys under which layers share as they do here; or None.

    Layers are grouped by google's formula, as both families do.
    """
    for form in forms:
        other = replace(config, group_formula="google", **form)
        if other.layer_plan == config.layer_plan:
            return other
    return None


def losses(checkpoint: Checkpoint, reasons: Mapping[str, bool]) -> list[Loss]:
    """What is left out.

    Args:
        checkpoint: the model.
        reasons: what the programs of one family compute otherwise, and whether it is so here.

    Raises:
        CheckpointError: one of the reasons holds, or one of those that both families have.
    """
    _refuse(checkpoint, reasons)
    return _losses(checkpoint)


def _refuse(checkpoint: Checkpoint, reasons: Mapping[str, bool]) -> None:
    config = checkpoint.config
    both = {
        "layer_norm_kind=uer": config.layer_norm_kind != "standard",
        "final_norm": config.final_norm,
        "gelu by erf": config.hidden_act == "gelu_erf",
        f"layer_norm_eps={config.layer_norm_eps}": config.layer_norm_eps != _EPSILON,
        "3 segment rows, of which UER keeps the first for padding": (
            config.type_vocab_size == _UER_SEGMENTS
        ),
    }
    found = [reason for reason, holds in {**both, **reasons}.items() if holds]
    if found:
        raise CheckpointError(
            "The programs of this family would compute something else.",
            expected="a model that they can be",
            found=", ".join(found),
            fix="write another family; the family albertkit holds every model",
        )


def _keeps_masked_lm(checkpoint: Checkpoint) -> bool:
    """Whether the masked-LM head is written: its last matrix has to be the word table."""
    return checkpoint.has_masked_lm and checkpoint.config.tied_decoder


def _keeps_head(head: TaskHead | None) -> bool:
    """Whether a head is written: google's programs have one for every task but tagging."""
    return head is not None and head.traits.task != "tag" and head.pooling == "first"


def _losses(checkpoint: Checkpoint) -> list[Loss]:
    config = checkpoint.config
    lost = []
    if checkpoint.has_masked_lm and not _keeps_masked_lm(checkpoint):
        what = "the masked-LM head (tied_decoder=False): there its decoder is the word table"
        lost.append(Loss(("masked_lm", "tied_decoder"), what))
    elif checkpoint.has_masked_lm and config.head_layer_norm_eps != _EPSILON:
        what = (
            f"head_layer_norm_eps={config.head_layer_norm_eps:g}: these programs take "
            f"{_EPSILON:g} for the masked-LM head, too"
        )
        lost.append(Loss(("head_layer_norm_eps",), what))
    if checkpoint.head is not None:
        lost += _head_losses(checkpoint.head)
    if checkpoint.tokenizer is not None:
        lost += [Loss(("tokenizer",), x) for x in checkpoint.tokenizer.lost_without_settings()]
    return lost


def _head_losses(head: TaskHead) -> list[Loss]:
    """What these programs cannot hold of a task's head."""
    if not _keeps_head(head):
        how = f"{head.kind}, pooling={head.pooling}" if head.pooling != "first" else head.kind
        what = f"the head of the task ({how}): no program of this family has it"
        return [Loss(("head",), what)]
    lost = []
    if head.kind in _NOT_SAID:
        lost.append(Loss(("problem_type",), _NOT_SAID[head.kind]))
    if head.labels:
        lost.append(Loss(("labels",), "names of the labels: " + ", ".join(head.labels[:6])))
    if (head.start_n_top, head.end_n_top) != (_BEAM, _BEAM):
        what = f"start_n_top={head.start_n_top}, end_n_top={head.end_n_top}: flags there"
        lost.append(Loss(("start_n_top", "end_n_top"), what))
    if head.no_answer_threshold is not None:
        what = f"no_answer_threshold={head.no_answer_threshold:g}: a flag there"
        lost.append(Loss(("no_answer_threshold",), what))
    return lost


def config_values(config: AlbertConfig) -> dict[str, Any]:
    """The part of a config file that both families write alike."""
    values = {key: getattr(config, key) for key in _KEYS}
    return {**values, "hidden_act": ACTS[config.hidden_act]}


def write(
    checkpoint: Checkpoint,
    equal: AlbertConfig,
    rules: Sequence[Rule],
    values: Mapping[str, Any],
    prefix: Path,
    dtype: str,
) -> None:
    """Write index, data, config and vocabulary.

    Args:
        checkpoint: the model; what `losses` named is left out.
        equal: its config as this family groups layers.
        rules: names of the tensors.
        values: content of albert_config.json.
        prefix: path of the checkpoint without `.index`.
        dtype: float32, float16 or bfloat16.
    """
    head = checkpoint.head if _keeps_head(checkpoint.head) else None
    kept = {
        name: tensor
        for name, tensor in checkpoint.tensors.items()
        if (_keeps_masked_lm(checkpoint) or not name.startswith("masked_lm."))
        and (head is not None or not name.startswith(_HEAD_TENSORS))
    }
    renamed = _renumbered(kept, checkpoint.config, equal)
    write_bundle(prefix, export_tensors(renamed, expand(rules, equal, head), equal), dtype)
    text = json.dumps(values, indent=2, sort_keys=True) + "\n"
    (prefix.parent / "albert_config.json").write_text(text, encoding="utf-8")
    tokenizer = checkpoint.tokenizer
    vocabulary = None if tokenizer is None else tokenizer.plain_vocabulary()
    if vocabulary is not None:
        name, content = vocabulary
        (prefix.parent / name.replace("spiece", "30k-clean")).write_bytes(content)


def _renumbered(
    tensors: Mapping[str, Array], config: AlbertConfig, equal: AlbertConfig
) -> dict[str, Array]:
    """Tensors under the block numbers of another config with the same plan."""
    blocks = {
        "attention": dict(zip(config.attention_blocks, equal.attention_blocks, strict=True)),
        "feed_forward": dict(
            zip(config.feed_forward_blocks, equal.feed_forward_blocks, strict=True)
        ),
    }

    def name_of(name: str) -> str:
        found = re.match(r"albert\.encoder\.(attention|feed_forward)\.(\d+)(\..*)", name)
        if found is None:
            return name
        return f"albert.encoder.{found[1]}.{blocks[found[1]][int(found[2])]}{found[3]}"

    return {name_of(name): tensor for name, tensor in tensors.items()}
