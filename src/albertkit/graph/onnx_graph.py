"""A checkpoint as an ONNX model, built node by node: each tensor is in the file once.

The padded form has the inputs and outputs of Optimum's exports; the packed one is for our engine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.graph.layouts import (
    EMBEDDING_INPUTS,
    LAYER_INPUTS,
    PACKED_INPUTS,
    TARGET_INPUTS,
    PackedLayout,
    PaddedLayout,
)
from albertkit.graph.network import Network, pick_of, plan_of
from albertkit.graph.onnx_ops import OPSET, OnnxOps
from albertkit.graph.tasks import INPUTS, file_names, is_multiple_choice
from albertkit.plugins import need_package

_IR_VERSION = 9  # what onnxruntime reads since 1.17
_AXES = ("batch_size", "num_choices", "sequence_length")
_SHAPES = {
    "mask": ("batch", "longest"),
    "to_rows": ("batch", "longest"),
    "chosen": ("chosen",),
    "chosen_to_rows": ("batch", "most_chosen"),
    "chosen_from_rows": ("chosen",),
}


def padded_model(checkpoint: Checkpoint, task: str, precision: str = "fp32") -> Any:
    """A ModelProto with padded inputs, for a task of `tasks.py`."""
    onnx = need_package("onnx", "onnx")
    ops = _ops(checkpoint, precision)
    choices = is_multiple_choice(task)
    inputs = [
        _info(name, onnx.TensorProto.INT64, _AXES if choices else _AXES[::2]) for name in INPUTS
    ]
    edges = {name: ops.node("Flatten", name, axis=2) if choices else name for name in INPUTS}
    mask = ops.node("Cast", edges["attention_mask"], to=onnx.TensorProto.BOOL)
    names = file_names(checkpoint, task)
    layout = PaddedLayout(
        ops, pick_of(checkpoint, names), edges["input_ids"], edges["token_type_ids"], mask
    )
    found = Network(checkpoint, ops, layout).outputs(names)
    if choices:
        rows = ops.node("Shape", "input_ids", start=0, end=2)
        found["task"] = ops.node("Reshape", found["task"], rows)
    outputs = []
    for output, edge in found.items():
        shape = axes_of(checkpoint, output, [_AXES[0], _AXES[2]])
        if choices:
            shape = [*_AXES[:2]]
        span = len(names[output]) > 1
        parts = _halves(ops, edge) if span else [edge]
        outputs += [
            _output(ops, part, name, shape[:-1] if span else shape)
            for part, name in zip(parts, names[output], strict=True)
        ]
    return _model(ops, inputs, outputs)


def packed_model(checkpoint: Checkpoint, want: Collection[str], precision: str = "fp32") -> Any:
    """A ModelProto with the inputs of `packed_inputs`; outputs named as those of `Engine`."""
    ops, pick = _ops(checkpoint, precision), pick_of(checkpoint, want)
    names = PACKED_INPUTS + (TARGET_INPUTS if pick == "targets" else ())
    inputs = [_packed_info(ops, name) for name in names]
    layout = PackedLayout(ops, pick, **{name: name for name in names})
    found = Network(checkpoint, ops, layout).outputs(want)
    outputs = [
        _output(ops, edge, name, axes_of(checkpoint, name, [f"{name}_tokens"]))
        for name, edge in found.items()
    ]
    return _model(ops, inputs, outputs)


def packed_part(checkpoint: Checkpoint, number: int | None, precision: str = "fp32") -> Any:
    """A part of the network as a ModelProto: a layer, see `Network.after_layer`.

    Its inputs are x, the output of the part before it, and LAYER_INPUTS; its outputs hidden and
    pooled. None: the embeddings, from EMBEDDING_INPUTS to hidden.
    """
    ops, width = _ops(checkpoint, precision), checkpoint.config.hidden_size
    names = EMBEDDING_INPUTS if number is None else LAYER_INPUTS
    inputs = [_packed_info(ops, name) for name in names]
    is_last = number == len(plan_of(checkpoint)) - 1
    layout = PackedLayout(ops, "first" if is_last else "all", **{name: name for name in names})
    network = Network(checkpoint, ops, layout)
    if number is None:
        found = {"hidden": network.embeddings()}
    else:
        inputs.append(_info("x", ops.types.FLOAT, ("tokens", width)))
        x = ops.node("Cast", "x", to=ops.types.FLOAT16) if precision == "fp16" else "x"
        found = network.after_layer(x, number)
    outputs = [_output(ops, edge, name, [f"{name}_rows", width]) for name, edge in found.items()]
    return _model(ops, inputs, outputs)


def _packed_info(ops: OnnxOps, name: str) -> Any:
    kind = ops.types.BOOL if name == "mask" else ops.types.INT32
    return _info(name, kind, _SHAPES.get(name, ("tokens",)))


def _ops(checkpoint: Checkpoint, precision: str) -> OnnxOps:
    back = checkpoint.config.embedding_order == "project_then_norm" and checkpoint.has_masked_lm
    both_ways = ("albert.embeddings.projection",) if back else ()
    return OnnxOps(checkpoint.tensors, precision, both_ways)


def _halves(ops: OnnxOps, edge: str) -> list[str]:
    """The start and end of answers, (B, T, 2), apart."""
    parts = ops.nodes_of("Split", 2, edge, axis=-1, num_outputs=2)
    return [ops.node("Squeeze", part, ops.ints(-1)) for part in parts]


def axes_of(checkpoint: Checkpoint, output: str, per_token: list[str]) -> list[str | int]:
    """Axes of an output of `Engine`; per_token: those before the width, for one of tokens."""
    config, head = checkpoint.config, checkpoint.head
    if output == "task":
        assert head is not None
        lead = per_token if head.traits.reads == "tokens" else per_token[:1]
        return [*lead, head.num_labels]
    width = {"masked_lm": config.vocab_size, "sentence_order": 2}.get(output, config.hidden_size)
    return [*(per_token if output in ("hidden", "masked_lm") else per_token[:1]), width]


def _output(ops: OnnxOps, edge: str, name: str, axes: list[str | int]) -> Any:
    """An output in float32 under its name."""
    if ops.precision == "fp16":
        edge = ops.node("Cast", edge, to=ops.types.FLOAT)
    ops.nodes.append(ops.helper.make_node("Identity", [edge], [name], name=f"output_{name}"))
    return _info(name, ops.types.FLOAT, axes)


def _info(name: str, kind: int, axes: Iterable[str | int]) -> Any:
    helper = need_package("onnx", "onnx").helper
    return helper.make_tensor_value_info(name, kind, list(axes))


def _model(ops: OnnxOps, inputs: list[Any], outputs: list[Any]) -> Any:
    graph = ops.helper.make_graph(
        ops.nodes, "albert", inputs, outputs, list(ops.initializers.values())
    )
    return ops.helper.make_model(
        graph,
        opset_imports=[ops.helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="albertkit",
    )
