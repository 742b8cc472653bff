"""ALBERT in the steps of `Ops`: `model/albert.py` and its heads for inference, layer by layer.

The last layer computes only the tokens that the wanted outputs need.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.graph.layouts import Layout
from albertkit.graph.ops import Ops, Value
from albertkit.model.checks import first_segment

POOLED = ("pooled", "sentence_order")  # outputs that read the pooled vector


def outputs_of(checkpoint: Checkpoint) -> frozenset[str]:
    """Outputs of an `Engine` that a graph of this checkpoint can have."""
    head = checkpoint.head
    there = {
        "hidden": True,
        "pooled": checkpoint.has_pooler,
        "masked_lm": checkpoint.has_masked_lm,
        "sentence_order": checkpoint.has_sentence_order,
        "task": head is not None and not _not_in_graphs(checkpoint),
    }
    return frozenset(name for name, is_there in there.items() if is_there)


def require_task(checkpoint: Checkpoint, *, exporting: bool = False) -> None:
    """Refuse a head that graphs cannot compute; exporting: an exporter asks, not an engine.

    Raises:
        PredictionError: beam search, or the pooling of UER-py.
    """
    problem = _not_in_graphs(checkpoint)
    if problem:
        way, typed = "leave engine out", "leave --engine out"
        if exporting:
            way, typed = "open the checkpoint itself", "give --model the checkpoint itself"
        raise PredictionError(
            "Only PyTorch computes this head.",
            expected="classes, numbers, choices, tags or a span",
            found=problem,
            fix=f"{way} to compute it with PyTorch",
            command_fix=f"{typed} to compute it with PyTorch",
        )


def _not_in_graphs(checkpoint: Checkpoint) -> str:
    head = checkpoint.head
    if head is None:
        return ""
    if head.kind == "beam_span":
        return "the beam search of SQuAD 2 (beam_span)"
    return "" if head.pooling == "first" else f"pooling={head.pooling}"


def pick_of(checkpoint: Checkpoint, want: Collection[str]) -> str:
    """Which tokens the last layer must give; see `layouts.py`."""
    head = checkpoint.head
    pooled = {*POOLED, *({"task"} if head is not None and head.needs_pooler else ())}
    if set(want) <= pooled:
        return "first"
    return "targets" if set(want) == {"masked_lm"} else "all"


def plan_of(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Names of attention and feed-forward of each layer, inner ones too; shared ones return."""
    config = checkpoint.config
    return [
        (
            f"albert.encoder.attention.{config.attention_block(layer)}.{inner}",
            f"albert.encoder.feed_forward.{config.feed_forward_block(layer)}.{inner}",
        )
        for layer in range(config.num_hidden_layers)
        for inner in range(config.inner_group_num)
    ]


@dataclass
class Network:
    """One checkpoint, ready to be laid out in a framework."""

    checkpoint: Checkpoint
    ops: Ops
    layout: Layout

    def outputs(self, want: Collection[str]) -> dict[str, Value]:
        """The wanted outputs: hidden and masked_lm for the picked tokens, as `Engine.run` else."""
        ops, head = self.ops, self.checkpoint.head
        x = self.encode()
        found: dict[str, Value] = {"hidden": x}
        needs_pooled = set(want) & set(POOLED) or (head is not None and head.needs_pooler)
        if needs_pooled and self.checkpoint.has_pooler:
            pooled = ops.linear(self.layout.first(x), "albert.pooler")
            found["pooled"] = ops.activate(pooled, "tanh")
        if "masked_lm" in want:
            found["masked_lm"] = self._masked_lm(self.layout.targets(x))
        if "sentence_order" in want:
            found["sentence_order"] = ops.linear(found["pooled"], "sentence_order")
        if "task" in want and head is not None:
            source = found["pooled"] if head.needs_pooler else x
            found["task"] = ops.linear(source, head.part)
        return {name: found[name] for name in want}

    def encode(self) -> Value:
        """The last layer's vectors of the picked tokens."""
        plan = plan_of(self.checkpoint)
        x = self.embeddings()
        for number, blocks in enumerate(plan):
            x = self._layer(x, blocks, last=number == len(plan) - 1)
        return self._finished(x)

    def after_layer(self, x: Value, number: int) -> dict[str, Value]:
        """For early exit: a layer's output from that of the one before it, and its pooled vectors.

        hidden: of all tokens; after the last layer it is left out. pooled: see `outputs`.
        """
        plan = plan_of(self.checkpoint)
        last = number == len(plan) - 1
        x = self._layer(x, plan[number], last)
        first = self._finished(self.layout.first(x))
        pooled = self.ops.activate(self.ops.linear(first, "albert.pooler"), "tanh")
        return {"pooled": pooled} if last else {"hidden": x, "pooled": pooled}

    def _layer(self, x: Value, blocks: tuple[str, str], last: bool) -> Value:
        attention, feed_forward = blocks
        return self._feed_forward(self._attention(x, attention, last), feed_forward)

    def _finished(self, x: Value) -> Value:
        final_norm = self.checkpoint.config.final_norm
        return self._norm(x, "albert.encoder.norm") if final_norm else x

    def _norm(self, x: Value, name: str, eps: float | None = None) -> Value:
        config = self.checkpoint.config
        step = self.ops.uer_norm if config.layer_norm_kind == "uer" else self.ops.norm
        return step(x, name, config.layer_norm_eps if eps is None else eps)

    def embeddings(self) -> Value:
        """What the first layer reads."""
        config, ops, layout = self.checkpoint.config, self.ops, self.layout
        name = "albert.embeddings"
        project_first = config.embedding_order == "project_then_norm"
        x = ops.lookup(f"{name}.word", layout.ids)
        if project_first and config.has_projection:
            x = ops.linear(x, f"{name}.projection")
        x = ops.add(x, layout.position_vectors(f"{name}.position"))
        x = ops.add(x, ops.lookup(f"{name}.segment", layout.segments, first_segment(config)))
        x = self._norm(x, f"{name}.norm")
        if config.has_projection and not project_first:
            x = ops.linear(x, f"{name}.projection")
        return x

    def _attention(self, x: Value, name: str, last: bool) -> Value:
        config, ops, layout = self.checkpoint.config, self.ops, self.layout
        pre = config.norm_order == "pre"
        source = self._norm(x, f"{name}.norm") if pre else x
        key, value = (
            layout.as_rows(ops.linear(source, f"{name}.{part}")) for part in ("key", "value")
        )
        if last:
            x = layout.picked(x)
            source = layout.picked(source) if pre else x
            query = layout.picked_as_rows(ops.linear(source, f"{name}.query"))
        else:
            query = layout.as_rows(ops.linear(source, f"{name}.query"))
        mixed = ops.attend(
            query, key, value, layout.mask, config.num_attention_heads, config.hidden_size
        )
        mixed = layout.picked_from_rows(mixed) if last else layout.from_all_rows(mixed)
        x = ops.add(x, ops.linear(mixed, f"{name}.output"))
        return x if pre else self._norm(x, f"{name}.norm")

    def _feed_forward(self, x: Value, name: str) -> Value:
        config, ops = self.checkpoint.config, self.ops
        pre = config.norm_order == "pre"
        source = self._norm(x, f"{name}.norm") if pre else x
        inner = ops.activate(ops.linear(source, f"{name}.up"), config.hidden_act)
        x = ops.add(x, ops.linear(inner, f"{name}.down"))
        return x if pre else self._norm(x, f"{name}.norm")

    def _masked_lm(self, x: Value) -> Value:
        config, ops = self.checkpoint.config, self.ops
        x = ops.activate(ops.linear(x, "masked_lm.transform"), config.hidden_act)
        x = self._norm(x, "masked_lm.norm", config.head_layer_norm_eps)
        if config.embedding_order == "project_then_norm" and config.has_projection:
            x = ops.linear_back(x, "albert.embeddings.projection")
        table = "albert.embeddings.word" if config.tied_decoder else "masked_lm.decoder"
        return ops.scores(x, table, "masked_lm")
