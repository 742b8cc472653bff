"""The engine that is the Keras model in a graph of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.batch import Batch, Ints
from albertkit.data.padded import Padded
from albertkit.errors import PredictionError
from albertkit.infer.engine import Floats
from albertkit.model.keras_folding import fold_projection
from albertkit.model.keras_loading import build_models, precision
from albertkit.model.outputs import SpanBeam, TaskOutput

Tensor = Any


class TensorflowEngine:
    """A checkpoint as a Keras model; one graph for each set of wanted outputs, of any shape.

    device: cpu, cuda, cuda:1, or auto (cuda when it is there). policy: dtype policy of Keras.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", policy: str = "float32"):
        self.config, self.head = checkpoint.config, checkpoint.head
        self.device = choose_device(device)
        with tf.device(self.device), precision(policy):
            models = build_models(checkpoint)
            fold_projection(models.body)
        self._body, self._pretrained, self._task = models.body, models.pretrained, models.task
        self._graphs: dict[tuple[frozenset[str], bool], Callable[..., dict[str, Tensor]]] = {}
        outputs = {
            "hidden": True,
            "all_layers": True,
            "pooled": checkpoint.has_pooler,
            "masked_lm": models.pretrained is not None,
            "sentence_order": models.pretrained is not None and checkpoint.has_sentence_order,
            "task": self.head is not None,
            "unanswerable": self.head is not None and self.head.kind == "beam_span",
        }
        self.outputs = frozenset(name for name, there in outputs.items() if there)

    def run(
        self, batch: Batch, want: Collection[str], positions: Ints | None = None
    ) -> dict[str, Floats]:
        """See `Engine.run`."""
        padded = Padded.of(batch)
        places = padded.positions(np.zeros(0, np.int64) if positions is None else positions)
        wanted = frozenset(want), bool(padded.real.all())
        if wanted not in self._graphs:
            self._graphs[wanted] = self._graph(*wanted)
        with tf.device(self.device):
            found = self._graphs[wanted](
                *(tf.constant(x, tf.int32) for x in (padded.ids, padded.segment_ids)),
                tf.constant(padded.real),
                tf.constant(places, tf.int32),
                tf.constant(padded.answer_places),
            )
        arrays: dict[str, Floats] = {name: x.numpy() for name, x in found.items()}
        tokens = {"hidden": padded.real}
        if self.head is not None and self.head.kind in ("token_classification", "span"):
            tokens["task"] = padded.real
        for name, real in tokens.items():
            if name in arrays:
                arrays[name] = arrays[name][real]
        if "all_layers" in arrays:
            arrays["all_layers"] = arrays["all_layers"][:, padded.real]
        return arrays

    def span_scores(self, batch: Batch) -> dict[str, Floats]:
        """See `TorchEngine.span_scores`."""
        assert self._task is not None  # asked only of such a head
        padded = Padded.of(batch)
        first = np.zeros(len(batch), np.int32)
        beam = self._task(padded.ids, padded.segment_ids, mask=padded.real, start_places=first).beam
        return {
            "starts": beam.starts.numpy()[padded.real],
            "ends": beam.ends.numpy()[padded.real],
            "unanswerable": beam.unanswerable.numpy(),
        }

    def _graph(self, want: frozenset[str], full: bool) -> Callable[..., dict[str, Tensor]]:
        """The function that computes these outputs, for rows of any number and length.

        full: for batches without padding.
        """
        integers, flags = (tf.TensorSpec([None, None], kind) for kind in (tf.int32, tf.bool))
        places = tf.TensorSpec([None], tf.int32)
        function: Callable[..., dict[str, Tensor]] = tf.function(
            partial(self._compute, want, full),
            input_signature=[integers, integers, flags, places, flags],
        )
        return function

    def _compute(
        self,
        want: frozenset[str],
        full: bool,
        ids: Tensor,
        segment_ids: Tensor,
        real: Tensor,
        places: Tensor,
        allowed: Tensor,
    ) -> dict[str, Tensor]:
        """The wanted outputs; those for tokens still padded."""
        every, task = "all_layers" in want, None
        mask = None if full else real
        # Positions are named for masked_lm alone: else a graph leaves out what is not read.
        whole = every or "hidden" in want or "masked_lm" not in want
        if self._task is not None and {"task", "unanswerable"} & want:
            task = self._run_task(ids, segment_ids, mask, allowed, every)
            encoder, whole = task.encoder, True
        else:
            encoder = self._body(
                ids,
                segment_ids,
                mask=mask,
                positions=None if whole else places,
                return_all=every,
                packed=True,
            )
        found: dict[str, Tensor] = {}
        if "hidden" in want:
            found["hidden"] = encoder.hidden
        if every:
            found["all_layers"] = tf.stack(encoder.hidden_states)
        if "pooled" in want:
            found["pooled"] = encoder.pooled
        if "masked_lm" in want and self._pretrained is not None:
            targets = encoder.hidden  # (M, H)
            if whole:
                targets = tf.gather(tf.reshape(targets, [-1, self.config.hidden_size]), places)
            embeddings = self._body.embeddings
            found["masked_lm"] = self._pretrained.masked_lm(targets, embeddings=embeddings)
        if "sentence_order" in want and self._pretrained is not None:
            found["sentence_order"] = self._pretrained.sentence_order(encoder.pooled)
        if task is not None:
            found |= _task_outputs(task)
        return {name: tf.cast(x, tf.float32) for name, x in found.items()}

    def _run_task(
        self, ids: Tensor, segment_ids: Tensor, mask: Tensor | None, allowed: Tensor, every: bool
    ) -> TaskOutput:
        """What the head gives; a batch of an engine has each choice as a row of its own."""
        assert self._task is not None
        assert self.head is not None
        if self.head.kind == "multiple_choice":
            ids, segment_ids = ids[:, None], segment_ids[:, None]
            mask = None if mask is None else mask[:, None]
        places = {"allowed": allowed} if self.head.kind == "beam_span" else {}
        output: TaskOutput = self._task(
            ids, segment_ids, mask=mask, return_all=every, packed=True, **places
        )
        return output


def _task_outputs(task: TaskOutput) -> dict[str, Tensor]:
    if task.beam is not None:
        return {"task": _beam_rows(task.beam), "unanswerable": task.beam.unanswerable}
    if task.start is not None:
        return {"task": tf.stack([task.start, task.end], -1)}
    return {"task": task.logits}


def _beam_rows(beam: SpanBeam) -> Tensor:
    """The beams as (B, K * L, 4): start, end, and the logarithm of the probability of each."""
    ends: Tensor = beam.end_places  # (B, K, L)
    zeros = tf.zeros_like(ends)
    rows = [
        beam.start_places[..., None] + zeros,
        ends,
        beam.start_scores[..., None] + tf.cast(zeros, tf.float32),
        beam.end_scores,
    ]
    stacked = tf.stack([tf.cast(x, tf.float32) for x in rows], -1)
    return tf.reshape(stacked, [tf.shape(ends)[0], -1, 4])


def choose_device(name: str) -> str:
    """TensorFlow's name of a device: cpu, cuda, cuda:1; auto takes cuda when it is there.

    Raises:
        PredictionError: unknown, or not on this machine.
    """
    gpus = tf.config.list_logical_devices("GPU")
    kind, _, number = name.partition(":")
    if name == "cpu" or (name == "auto" and not gpus):
        return "/CPU:0"
    index = int(number) if number.isdigit() else 0
    if kind in ("cuda", "auto") and index < len(gpus):
        return f"/GPU:{index}"
    raise PredictionError(
        "This device cannot be used.",
        expected="cpu, cuda, cuda:0 or auto, and the hardware and driver it needs",
        found=f"{name}: TensorFlow sees {len(gpus)} GPUs",
        fix="use device='cpu'",
        command_fix="leave --device out to compute on the CPU",
    )
