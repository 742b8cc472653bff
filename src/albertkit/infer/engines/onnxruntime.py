"""ONNX Runtime on a CPU: packed graphs of a checkpoint, or what was exported."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.graph.onnx_graph import packed_model, packed_part
from albertkit.infer.engine import Engine
from albertkit.infer.engines._cpus import threads_or_cpus
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.infer.exiting_engine import ExitingEngine
from albertkit.infer.exported import Manifest, precision_of
from albertkit.infer.graph_engines import Arrays, PaddedEngine
from albertkit.plugins import need_package

TITLE = "ONNX Runtime"
PRECISIONS = ("fp32", "fp16", "int8")
# Where transformers.js looks for them; Optimum finds them there, too.
MODEL_FILES = {
    "fp32": "onnx/model.onnx",
    "fp16": "onnx/model_fp16.onnx",
    "int8": "onnx/model_quantized.onnx",
}


def make(checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
    """See `EngineKind.make`; auto is fp32."""
    precision = "fp32" if settings.precision == "auto" else settings.precision
    need_package("onnxruntime", "onnx")

    def compile(want: tuple[str, ...]) -> partial[dict[str, np.ndarray]]:
        model = packed_model(checkpoint, want, precision)
        return partial(_run, _session(model.SerializeToString(), settings))

    def compile_part(number: int | None) -> partial[dict[str, np.ndarray]]:
        model = packed_part(checkpoint, number, precision)
        return partial(_run, _session(model.SerializeToString(), settings))

    return ExitingEngine(checkpoint, compile, compile_part)


def open_exported(folder: Path, settings: EngineSettings) -> Engine:
    """See `EngineKind.open_exported`; the precision is that of the file."""
    file = MODEL_FILES.get(precision_of(folder), MODEL_FILES["fp32"])
    manifest = Manifest.load(folder, TITLE, file, settings.precision)
    return PaddedEngine(manifest, partial(_run, _session(str(folder / file), settings)))


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
