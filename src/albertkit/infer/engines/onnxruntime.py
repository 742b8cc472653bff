"""ONNX Runtime on a CPU: packed graphs of a checkpoint, or what was exported."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.graph.onnx_graph import packed_model
from albertkit.infer.engine import Engine
from albertkit.infer.engines._cpus import threads_or_cpus
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.infer.exported import Manifest
from albertkit.infer.graph_engines import Arrays, PackedEngine, PaddedEngine
from albertkit.plugins import need_package

TITLE = "ONNX Runtime"
PRECISIONS = ("fp32", "fp16", "int8")
MODEL_FILE = "model.onnx"


def make(checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
    """See `EngineKind.make`; auto is fp32."""
    precision = "fp32" if settings.precision == "auto" else settings.precision
    need_package("onnxruntime", "onnx")

    def compile(want: tuple[str, ...]) -> partial[dict[str, np.ndarray]]:
        model = packed_model(checkpoint, want, precision)
        return partial(_run, _session(model.SerializeToString(), settings))

    return PackedEngine(checkpoint, compile)


def open_exported(folder: Path, settings: EngineSettings) -> Engine:
    """See `EngineKind.open_exported`; the precision is that of the file."""
    manifest = Manifest.load(folder, TITLE, MODEL_FILE, settings.precision)
    return PaddedEngine(manifest, partial(_run, _session(str(folder / MODEL_FILE), settings)))


def _session(model: bytes | str, settings: EngineSettings) -> Any:
    if settings.device not in ("auto", "cpu"):
        raise PredictionError(
            "ONNX Runtime computes on the CPU only.",
            expected="cpu",
            found=settings.device,
            fix="use device='cpu', or engine='torch'",
            command_fix="leave --device out, or take --engine torch",
        )
    runtime = need_package("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads_or_cpus(settings.threads)
    options.log_severity_level = 3
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _run(session: Any, inputs: Arrays) -> dict[str, np.ndarray]:
    names = [output.name for output in session.get_outputs()]
    known = {each.name for each in session.get_inputs()}  # what no node reads was left out
    given = {name: x for name, x in inputs.items() if name in known}
    return dict(zip(names, session.run(names, given), strict=True))
