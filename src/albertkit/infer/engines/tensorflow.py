"""TensorFlow: the Keras model of `model/keras_twin.py`, or a SavedModel that was exported."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.infer.engine import Engine
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.infer.exported import Manifest
from albertkit.infer.graph_engines import Arrays, PaddedEngine
from albertkit.plugins import need_keras, need_package

TITLE = "TensorFlow"
PRECISIONS = ("fp32", "bf16")
MODEL_FILE = "saved_model.pb"
TEXT_PACKAGE, TEXT_EXTRA = "tensorflow_text", "tensorflow-text"  # a tokenizer in the graph
_POLICIES = {"auto": "float32", "fp32": "float32", "bf16": "mixed_bfloat16"}


def make(checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
    """See `EngineKind.make`."""
    tensorflow = need_tensorflow()
    if settings.threads is not None:
        _set_threads(tensorflow, settings.threads)
    from albertkit.infer.tensorflow_engine import TensorflowEngine

    return TensorflowEngine(checkpoint, settings.device, _POLICIES[settings.precision])


def open_exported(folder: Path, settings: EngineSettings) -> Engine:
    """See `EngineKind.open_exported`; the precision is that of the file."""
    manifest = Manifest.load(folder, TITLE, MODEL_FILE, settings.precision)
    tensorflow = need_tensorflow()
    if TEXT_PACKAGE in manifest.versions:  # TensorFlow reads no graph with unknown operations
        need_package(TEXT_PACKAGE, TEXT_EXTRA)
    if settings.threads is not None:
        _set_threads(tensorflow, settings.threads)
    from albertkit.infer.tensorflow_engine import choose_device

    device = choose_device(settings.device)
    with tensorflow.device(device):
        model = tensorflow.saved_model.load(str(folder))
    return PaddedEngine(manifest, partial(_run, tensorflow, model, device))


def _run(tensorflow: Any, model: Any, device: str, inputs: Arrays) -> dict[str, np.ndarray]:
    """The usual signature; the model is passed along since it owns the variables."""
    with tensorflow.device(device):
        given = {name: tensorflow.constant(x, tensorflow.int32) for name, x in inputs.items()}
        found = model.signatures["serving_default"](**given)
    return {name: x.numpy() for name, x in found.items()}


def need_tensorflow() -> Any:
    """TensorFlow, with Keras on it.

    Raises:
        AlbertkitError: one of them is not installed, or Keras is older than 3.
        PredictionError: Keras runs on another backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # it greets with its build options
    tensorflow = need_package("tensorflow", "tensorflow")
    keras = need_keras()
    if keras.backend.backend() != "tensorflow":
        raise PredictionError(
            "Keras was started with another backend.",
            expected="tensorflow",
            found=keras.backend.backend(),
            fix="set KERAS_BACKEND=tensorflow before Python starts",
        )
    return tensorflow


def _set_threads(tensorflow: Any, count: int) -> None:
    """Threads of one operation; TensorFlow takes them only before it has computed anything."""
    try:
        tensorflow.config.threading.set_intra_op_parallelism_threads(count)
    except RuntimeError as error:
        raise PredictionError(
            "TensorFlow runs already, with another number of threads.",
            expected="threads chosen before its first use",
            found=str(error),
            fix="open this predictor first, or leave threads out",
        ) from error
