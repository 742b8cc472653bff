"""TensorFlow: the Keras model of `model/keras_twin.py`."""

from __future__ import annotations

import os
from pathlib import Path

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.infer.engine import Engine
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.plugins import need_package

TITLE = "TensorFlow"
PRECISIONS = ("fp32", "bf16")
_POLICIES = {"auto": "float32", "fp32": "float32", "bf16": "mixed_bfloat16"}


def make(checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
    """See `EngineKind.make`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # it greets with its build options
    tensorflow = need_package("tensorflow", "tensorflow")
    keras = need_package("keras", "tensorflow")
    if keras.backend.backend() != "tensorflow":
        raise PredictionError(
            "Keras was started with another backend.",
            expected="tensorflow",
            found=keras.backend.backend(),
            fix="set KERAS_BACKEND=tensorflow before Python starts",
        )
    if settings.threads is not None:
        _set_threads(tensorflow, settings.threads)
    from albertkit.infer.tensorflow_engine import TensorflowEngine

    return TensorflowEngine(checkpoint, settings.device, _POLICIES[settings.precision])


def _set_threads(tensorflow: object, count: int) -> None:
    """Threads of one operation; TensorFlow takes them only before it has computed anything."""
    try:
        tensorflow.config.threading.set_intra_op_parallelism_threads(count)  # type: ignore[attr-defined]
    except RuntimeError as error:
        raise PredictionError(
            "TensorFlow runs already, with another number of threads.",
            expected="threads chosen before its first use",
            found=str(error),
            fix="open this predictor first, or leave threads out",
        ) from error


def open_exported(folder: Path, settings: EngineSettings) -> Engine:
    """Nothing is exported for this engine: a checkpoint folder is what it opens."""
    raise PredictionError(
        "The engine tensorflow does not open exported folders.",
        expected="a checkpoint folder",
        found="an exported model",
        where=folder,
        fix="leave engine out, or name the checkpoint that was exported",
        command_fix="leave --engine out, or name the checkpoint that was exported",
    )
