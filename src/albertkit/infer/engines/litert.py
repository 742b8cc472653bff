"""LiteRT (TensorFlow Lite): runs what was exported for phones, here on the CPU."""

from __future__ import annotations

import os
import warnings
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.infer.engine import Engine
from albertkit.infer.engines._cpus import threads_or_cpus
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.infer.exported import Manifest
from albertkit.infer.graph_engines import Arrays, PaddedEngine
from albertkit.plugins import need_package

TITLE = "LiteRT"
PRECISIONS = ("fp32", "fp16", "int8", "int16x8")
MODEL_FILE = "model.tflite"


def make(checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
    """LiteRT runs files alone."""
    raise PredictionError(
        "The engine litert opens exported folders only.",
        expected="a folder that export(..., to='litert') wrote",
        found="a checkpoint",
        fix="export the checkpoint first: export(model, to='litert', out='model-litert')",
        command_fix="export the checkpoint first: albertkit export MODEL --to litert "
        "--out model-litert",
    )


def open_exported(folder: Path, settings: EngineSettings) -> Engine:
    """See `EngineKind.open_exported`; the precision is that of the file."""
    manifest = Manifest.load(folder, TITLE, MODEL_FILE, settings.precision)
    if settings.device not in ("auto", "cpu"):
        raise PredictionError(
            "The engine litert computes on the CPU.",
            expected="cpu",
            found=settings.device,
            fix="leave device out, or use engine='torch'",
            command_fix="leave --device out, or give --engine torch",
        )
    threads = threads_or_cpus(settings.threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # TensorFlow's own one moves to LiteRT
        interpreter = _interpreters().Interpreter(str(folder / MODEL_FILE), num_threads=threads)
    columns = int(interpreter.get_input_details()[0]["shape_signature"][-1])
    run = interpreter.get_signature_runner()
    if columns < 0:
        return PaddedEngine(manifest, partial(_run, run))
    return PaddedEngine(manifest, partial(_run_rows, run), columns)


def _interpreters() -> Any:
    """The package for phones if it is there, else the same inside TensorFlow."""
    if find_spec("ai_edge_litert") is None and find_spec("tensorflow") is not None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # it greets with its build options
        return need_package("tensorflow", "tensorflow").lite
    return need_package("ai_edge_litert.interpreter", "litert")


def _run_rows(run: Any, inputs: Arrays) -> dict[str, np.ndarray]:
    """Row by row: a model for one length takes one row."""
    rows = len(inputs["input_ids"])
    found = [_run(run, {name: x[i : i + 1] for name, x in inputs.items()}) for i in range(rows)]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def _run(run: Any, inputs: Arrays) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = run(**{name: x.astype(np.int32) for name, x in inputs.items()})
    return found
