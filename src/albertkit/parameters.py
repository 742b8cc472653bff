"""Names, shapes, exact counts and memory of an ALBERT's parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, listed
from albertkit.tasks.head import TaskHead

HEADS = ("albert.pooler.", "masked_lm.", "sentence_order.")


def parameter_shapes(
    config: AlbertConfig, head: TaskHead | None = None
) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that a model of this config with all heads has.

    That is the body with its pooler, both pretraining heads, and the head of a task if given.
    """
    c = config
    narrow, wide, inside = c.embedding_size, c.hidden_size, c.intermediate_size
    width = wide if c.position_width == "hidden" else narrow
    shapes: dict[str, tuple[int, ...]] = {
        "albert.embeddings.word.weight": (c.vocab_size, narrow),
        "albert.embeddings.position.weight": (c.max_position_embeddings, width),
        "albert.embeddings.segment.weight": (c.type_vocab_size, width),
        **_norm("albert.embeddings.norm", width),
    }
    if c.has_projection:
        shapes["albert.embeddings.projection.weight"] = (wide, narrow)
        if c.projection_bias:
            shapes["albert.embeddings.projection.bias"] = (wide,)
    for inner in range(c.inner_group_num):
        for block in c.attention_blocks:
            name = f"albert.encoder.attention.{block}.{inner}"
            for part in ("query", "key", "value", "output"):
                shapes |= _dense(f"{name}.{part}", wide, wide)
            shapes |= _norm(f"{name}.norm", wide)
        for block in c.feed_forward_blocks:
            name = f"albert.encoder.feed_forward.{block}.{inner}"
            shapes |= _dense(f"{name}.up", wide, inside, c.ffn_groups)
            shapes |= _dense(f"{name}.down", inside, wide, c.ffn_groups)
            shapes |= _norm(f"{name}.norm", wide)
    if c.final_norm:
        shapes |= _norm("albert.encoder.norm", wide)
    if not c.tied_decoder:
        shapes["masked_lm.decoder.weight"] = (c.vocab_size, narrow)
    return {
        **shapes,
        **({} if head is None else head.shapes(wide)),
        **_dense("albert.pooler", wide, wide),
        "masked_lm.bias": (c.vocab_size,),
        **_dense("masked_lm.transform", wide, width),
        **_norm("masked_lm.norm", width),
        **_dense("sentence_order", wide, 2),
    }


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _dense(name: str, source: int, target: int, groups: int = 1) -> dict[str, tuple[int, ...]]:
    if groups > 1:
        return {
            f"{name}.weight": (groups, target // groups, source // groups),
            f"{name}.bias": (target,),
        }
    return {f"{name}.weight": (target, source), f"{name}.bias": (target,)}


def count_parameters(
    config: AlbertConfig,
    *,
    pooler: bool = True,
    masked_lm: bool = False,
    sentence_order: bool = False,
    head: TaskHead | None = None,
    tied: bool | None = None,
) -> int:
    """Exact number of parameters, from their shapes; shared ones count once.

    Args:
        config: the model.
        pooler: count the pooler, H * H + H.
        masked_lm: count the masked-LM head.
        sentence_order: count the sentence-order head.
        head: count this head of a task.
        tied: whether the masked-LM head uses the word table, as the config says if left out;
            untied adds V * E.
    """
    if tied is not None:
        config = replace(config, tied_decoder=tied)
    counted = dict(zip(HEADS, (pooler, masked_lm, sentence_order), strict=True))
    left_out = tuple(part for part, wanted in counted.items() if not wanted)
    shapes = parameter_shapes(config, head)
    return sum(math.prod(x) for name, x in shapes.items() if not name.startswith(left_out))


@dataclass(frozen=True)
class Memory:
    """Bytes by purpose; `total` is what has to fit."""

    weights: int
    activations: int
    gradients: int = 0
    optimizer: int = 0

    @property
    def total(self) -> int:
        """All of it, in bytes."""
        return self.weights + self.activations + self.gradients + self.optimizer


def memory_to_run(
    config: AlbertConfig, *, batch: int, tokens: int, bytes_per_value: int = 4
) -> Memory:
    """Bytes to encode `batch` rows of `tokens` tokens; nothing is kept between layers.

    The peak is inside a feed-forward block: 2 I for each token before and after the activation,
    and 4 H (stream, sum, normalised sum, and one that the allocator has not given back). Base with
    8 rows of 512 and Chinese tiny with 16 rows of 512 measured 1.15 and 1.0 times this.
    """
    places = batch * tokens
    per_place = 4 * config.hidden_size + 2 * config.intermediate_size
    return Memory(
        weights=count_parameters(config, masked_lm=True, sentence_order=True) * bytes_per_value,
        activations=places * per_place * bytes_per_value,
    )


def memory_to_train(
    config: AlbertConfig,
    *,
    batch: int,
    tokens: int,
    targets_per_row: int = 20,
    slots: int = 2,
    bytes_per_value: int = 4,
) -> Memory:
    """Bytes to pretrain with an optimizer of `slots` values for each parameter (LAMB, AdamW: 2).

    Kept for the backward pass by every block, for each token: attention 7 H (input, query, key,
    value, mixed in rows and as tokens, normalised sum), feed-forward H + 2 I (sum, inner values
    before and after the activation), H more for each dropout with its byte mask, and with
    attention dropout the T probabilities of each head three times. The heads keep, for each
    target, V logits and V probabilities, and two gradients of them while they go back.
    """
    c = config
    blocks = c.num_hidden_layers * c.inner_group_num
    values = 8 * c.hidden_size + 2 * c.intermediate_size
    if c.hidden_dropout_prob:
        values += c.hidden_size
    if c.attention_probs_dropout_prob:
        values += 3 * c.num_attention_heads * tokens
    kept = batch * tokens * (blocks * values + 4 * c.embedding_size)
    kept += batch * targets_per_row * 3 * c.vocab_size
    parameters = count_parameters(c, masked_lm=True, sentence_order=True)
    return Memory(
        weights=parameters * bytes_per_value,
        activations=kept * bytes_per_value,
        gradients=parameters * bytes_per_value,
        optimizer=slots * parameters * bytes_per_value,
    )


def check_tensors(
    config: AlbertConfig,
    tensors: Mapping[str, npt.NDArray[np.generic]],
    head: TaskHead | None = None,
) -> None:
    """Refuse tensors that are missing, left over, of another shape or not float32.

    Pooler and pretraining heads are there whole or not at all; the task's head must be there.
    """
    shapes = parameter_shapes(config, head)
    heads = [head for head in HEADS if any(name.startswith(head) for name in tensors)]
    pooled = "sentence_order." in heads or (head is not None and head.needs_pooler)
    if pooled and "albert.pooler." not in heads:
        heads.append("albert.pooler.")
    needed = [n for n in shapes if not n.startswith(HEADS) or n.startswith(tuple(heads))]
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    problems = {
        "missing": [f"{name} {shapes[name]}" for name in needed if name not in found],
        "left over": [f"{name} {found[name]}" for name in found if name not in shapes],
        "of another shape": [
            f"{name} is {found[name]}, not {shapes[name]}"
            for name in needed
            if name in found and found[name] != shapes[name]
        ],
        "not float32": [name for name, tensor in tensors.items() if tensor.dtype != np.float32],
    }
    bad = [f"{kind}: {listed(names)}" for kind, names in problems.items() if names]
    if bad:
        raise CheckpointError(
            "The tensors do not fit the config.",
            expected=f"the {len(needed)} tensors of this config",
            found="; ".join(bad),
            fix="use the config that belongs to the weights",
        )
