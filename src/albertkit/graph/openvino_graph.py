"""A checkpoint as an OpenVINO model: packed for our engine, padded for the exporter."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

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
from albertkit.graph.openvino_ops import OpenvinoOps
from albertkit.graph.tasks import INPUTS, file_names, is_multiple_choice
from albertkit.plugins import need_package

_RECTANGLES = ("mask", "to_rows", "chosen_to_rows")


def packed_model(checkpoint: Checkpoint, want: Collection[str]) -> Any:
    """A model with the inputs of `packed_inputs`; outputs named as those of `Engine`."""
    ops, pick = OpenvinoOps(checkpoint.tensors), pick_of(checkpoint, want)
    names = PACKED_INPUTS + (TARGET_INPUTS if pick == "targets" else ())
    inputs = {name: _packed_parameter(ops, name) for name in names}
    layout = PackedLayout(ops, pick, **inputs)
    found = Network(checkpoint, ops, layout).outputs(want)
    return _model(inputs, {(name,): [value] for name, value in found.items()})


def packed_part(checkpoint: Checkpoint, number: int | None) -> Any:
    """A part of the network, as that of `onnx_graph.packed_part`."""
    ops, width = OpenvinoOps(checkpoint.tensors), checkpoint.config.hidden_size
    names = EMBEDDING_INPUTS if number is None else LAYER_INPUTS
    inputs = {name: _packed_parameter(ops, name) for name in names}
    is_last = number == len(plan_of(checkpoint)) - 1
    network = Network(checkpoint, ops, PackedLayout(ops, "first" if is_last else "all", **inputs))
    if number is None:
        found = {"hidden": network.embeddings()}
    else:
        inputs["x"] = _parameter(ops, "x", [-1, width], np.float32)
        found = network.after_layer(inputs["x"], number)
    return _model(inputs, {(name,): [value] for name, value in found.items()})


def padded_model(checkpoint: Checkpoint, task: str) -> Any:
    """A model with padded inputs and outputs as Optimum Intel has them."""
    ops, choices = OpenvinoOps(checkpoint.tensors), is_multiple_choice(task)
    op = ops.op
    inputs = {
        name: _parameter(ops, name, [-1] * (3 if choices else 2), np.int64) for name in INPUTS
    }
    edges = dict(inputs)
    if choices:
        last = op.gather(op.shape_of(inputs["input_ids"]), np.array([2], np.int64), np.int32(0))
        shape = op.concat([np.array([-1], np.int64), last], 0)
        edges = {name: op.reshape(x, shape, False) for name, x in inputs.items()}
    mask = op.not_equal(edges["attention_mask"], np.int64(0))
    names = file_names(checkpoint, task)
    layout = PaddedLayout(
        ops, pick_of(checkpoint, names), edges["input_ids"], edges["token_type_ids"], mask
    )
    found = Network(checkpoint, ops, layout).outputs(names)
    if choices:
        rows = op.slice(
            op.shape_of(inputs["input_ids"]), *(np.array([n], np.int64) for n in (0, 2, 1))
        )
        found["task"] = op.reshape(found["task"], rows, False)
    outputs = {}
    for name, value in found.items():
        span = len(names[name]) > 1
        outputs[names[name]] = op.split(value, np.int32(-1), 2).outputs() if span else [value]
        if span:
            outputs[names[name]] = [
                op.squeeze(part, np.array([-1], np.int32)) for part in outputs[names[name]]
            ]
    return _model(inputs, outputs)


def _packed_parameter(ops: OpenvinoOps, name: str) -> Any:
    shape = [-1, -1] if name in _RECTANGLES else [-1]
    return _parameter(ops, name, shape, np.bool_ if name == "mask" else np.int32)


def _parameter(ops: OpenvinoOps, name: str, shape: list[int], dtype: type) -> Any:
    made = ops.op.parameter(shape, dtype, name=name)
    made.output(0).get_tensor().set_names({name})
    return made


def _model(inputs: dict[str, Any], outputs: dict[tuple[str, ...], list[Any]]) -> Any:
    openvino = need_package("openvino", "openvino")
    op = need_package("openvino.opset15", "openvino")
    results = []
    for names, values in outputs.items():
        for name, value in zip(names, values, strict=True):
            result = op.result(value)
            result.output(0).get_tensor().set_names({name})
            results.append(result)
    return openvino.Model(results, list(inputs.values()), "albert")
