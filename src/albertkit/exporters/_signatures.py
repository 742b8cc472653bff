"""A checkpoint as a SavedModel: functions of TensorFlow over one set of variables."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.graph.tasks import INPUTS, file_names, is_multiple_choice
from albertkit.model.keras_loading import Models, build_models, parameters

Tensor = Any
Outputs = dict[str, Tensor]
Shape = list[int | None]
Encode = Callable[..., Outputs]
HUB_INPUTS = ("input_ids", "input_mask", "segment_ids")
SERVING = "serving_default"  # the signature that TensorFlow's own programs run if none is named


def save(
    checkpoint: Checkpoint,
    folder: Path,
    task: str,
    *,
    hub: bool,
    length: int | None = None,
    texts: Any = None,
    int8_tables: bool = False,
) -> None:
    """Write a SavedModel whose usual signature is a task's, by the names of `graph/tasks.py`.

    hub: also the signatures of TF-Hub's ALBERT, and the task's under the name `task`. length: the
    usual signature takes one row of so many tokens; None: any number of both. texts: a `TextGraph`,
    whose ids the signature `texts` gives to the usual one. int8_tables: see `_round_table`.

    Raises:
        OSError: the disk is full.
    """
    models = build_models(checkpoint)
    if int8_tables:
        embeddings = models.body.embeddings
        for layer in (embeddings.word, embeddings.position, embeddings.segment):
            _round_table(layer)
    encode = _encoder(models)
    shape: Shape = [None, None] if length is None else [1, length]
    signatures = {SERVING: _of_task(checkpoint, models, encode, task, shape)}
    if hub:
        signatures |= _of_hub(models, encode)
        if checkpoint.head is not None:
            own = checkpoint.head.traits.pipeline
            same = signatures[SERVING] if own == task else None
            signatures["task"] = same or _of_task(checkpoint, models, encode, own, shape)
    module = tf.Module()
    if texts is not None:
        module.tokenizer = texts
        signatures["texts"] = _of_texts(checkpoint, texts, signatures[SERVING])
    module.parameters = {
        name: variable.value
        for model in (models.pretrained, models.body, models.task)
        if model is not None
        for name, variable in parameters(model, "albert." if model is models.body else "")
    }
    try:
        tf.saved_model.save(module, str(folder), signatures=signatures)
    except tf.errors.ResourceExhaustedError as error:  # TensorFlow's own error for a full disk
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def _round_table(layer: Any) -> None:
    """Let a table be read as int8 and a factor for each column.

    LiteRT's own int8 has one step for a whole table: a few large columns leave the others few.
    """
    table = layer.embeddings.numpy()
    largest = np.abs(table).max(0)
    factors = (np.where(largest > 0, largest, 1) / 127).astype(np.float32)
    rows = tf.constant(np.rint(table / factors).astype(np.int8))
    layer.call = lambda ids: tf.cast(tf.gather(rows, ids), tf.float32) * factors


def _encoder(models: Models) -> Encode:
    """The body, recorded once for all signatures: (ids, mask, segments) to hidden and pooled."""

    def encode(ids: Tensor, mask: Tensor, segments: Tensor) -> Outputs:
        output = models.body(ids, segments, mask=tf.cast(mask, tf.bool))
        found = {"hidden": output.hidden, "pooled": output.pooled}
        return {name: x for name, x in found.items() if x is not None}

    function: Encode = tf.function(encode)
    return function


def _of_task(
    checkpoint: Checkpoint, models: Models, encode: Encode, task: str, shape: Shape
) -> Callable[..., Outputs]:
    """Integers (B, T) by Optimum's names, (B, choices, T) for multiple choice, to its outputs."""
    names = file_names(checkpoint, task)

    def compute(input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Outputs:
        if "task" in names:
            output = models.task(input_ids, token_type_ids, mask=tf.cast(attention_mask, tf.bool))
            span = len(names["task"]) == 2
            found = {"task": (output.start, output.end) if span else (output.logits,)}
        else:
            batch = input_ids, attention_mask, token_type_ids
            found = {x: (y,) for x, y in _pretrained(models, encode, names, *batch).items()}
        return {
            file: tf.cast(x, tf.float32)
            for name, files in names.items()
            for file, x in zip(files, found[name], strict=True)
        }

    rows, columns = shape
    whole = [rows, rows, columns] if is_multiple_choice(task) else shape
    return _function(compute, dict.fromkeys(INPUTS, whole))


def _of_texts(
    checkpoint: Checkpoint, to_ids: Callable[[Tensor], Tensor], run: Callable[..., Outputs]
) -> Callable[..., Outputs]:
    """Texts (B,) to what `run` gives for them, with ids and mask (B, T) beside it."""
    tokenizer, room = checkpoint.tokenizer, checkpoint.config.max_position_embeddings - 2
    assert tokenizer is not None

    def compute(texts: Tensor) -> Outputs:
        ids, side = to_ids(texts)[:, :room], tf.ones([tf.size(texts), 1], tf.int32)
        rows = tf.concat([tokenizer.cls_id * side, ids, tokenizer.sep_id * side], 1)
        padded = rows.to_tensor(tokenizer.pad_id)
        mask = tf.sequence_mask(rows.row_lengths(), dtype=tf.int32)
        given = dict(zip(INPUTS, (padded, mask, tf.zeros_like(padded)), strict=True))
        return {**run(**given), "input_ids": padded, "attention_mask": mask}

    texts = tf.TensorSpec([None], tf.string, "texts")
    function: Callable[..., Outputs] = tf.function(compute, input_signature=[texts])
    return function


def _pretrained(models: Models, encode: Encode, want: Any, *batch: Tensor) -> Outputs:
    """Outputs of body and pretraining heads, by the names of an `Engine`."""
    found = encode(*batch)
    if "masked_lm" in want:
        head = models.pretrained.masked_lm
        found["masked_lm"] = head(found["hidden"], embeddings=models.body.embeddings)
    if "sentence_order" in want:
        found["sentence_order"] = models.pretrained.sentence_order(found["pooled"])
    return {name: found[name] for name in want}


def _of_hub(models: Models, encode: Encode) -> dict[str, Callable[..., Outputs]]:
    """The signatures of TF-Hub's ALBERT, as far as the model has their outputs.

    Source: google-research/albert, export_to_tfhub.py; `pooled` is the pooled vector alone.
    """
    any_shape: Shape = [None, None]
    inputs = dict.fromkeys(HUB_INPUTS, any_shape)

    def body(ids: Tensor, mask: Tensor, segments: Tensor) -> Outputs:
        names = {"hidden": "sequence_output", "pooled": "pooled_output"}
        return {names[name]: x for name, x in encode(ids, mask, segments).items()}

    def pooled(ids: Tensor, mask: Tensor, segments: Tensor) -> Outputs:
        return {"pooled_output": encode(ids, mask, segments)["pooled"]}

    def mlm(ids: Tensor, mask: Tensor, segments: Tensor, positions: Tensor) -> Outputs:
        found = body(ids, mask, segments)
        chosen = tf.gather(found["sequence_output"], positions, batch_dims=1)  # (B, M, H)
        rows = tf.reshape(chosen, [-1, chosen.shape[-1]])
        logits = models.pretrained.masked_lm(rows, embeddings=models.body.embeddings)
        return {**found, "mlm_logits": logits}  # (B * M, V)

    def sop(ids: Tensor, mask: Tensor, segments: Tensor) -> Outputs:
        found = body(ids, mask, segments)
        logits = models.pretrained.sentence_order(found["pooled_output"])
        return {**found, "sop_log_probs": tf.nn.log_softmax(logits)}

    made = {"tokens": _function(body, inputs)}
    if models.body.pooler is not None:
        made["pooled"] = _function(pooled, inputs)
    if models.pretrained is not None:
        made["mlm"] = _function(mlm, {**inputs, "mlm_positions": any_shape})
        if models.pretrained.sentence_order is not None:
            made["sop"] = _function(sop, inputs)
    return made


def _function(compute: Callable[..., Outputs], inputs: dict[str, Shape]) -> Callable[..., Outputs]:
    """A signature: integers of these shapes."""
    specs = [tf.TensorSpec(shape, tf.int32, name) for name, shape in inputs.items()]
    function: Callable[..., Outputs] = tf.function(compute, input_signature=specs)
    return function
