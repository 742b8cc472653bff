"""OpenVINO, on a CPU: packed graphs of a checkpoint in fp32, bf16 or int8, or what was exported."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.graph.openvino_graph import packed_model, packed_part
from albertkit.infer.calibration import calibration_batches
from albertkit.infer.engine import Engine
from albertkit.infer.engines._cpus import threads_or_cpus
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.infer.engines._quantized import quantized_model
from albertkit.infer.exiting_engine import ExitingEngine
from albertkit.infer.exported import Manifest
from albertkit.infer.graph_engines import Arrays, PackedEngine, PaddedEngine
from albertkit.plugins import need_package

TITLE = "OpenVINO"
PRECISIONS = ("fp32", "bf16", "int8")
MODEL_FILE = "openvino_model.xml"
Outputs = dict[str, np.ndarray]


def make(checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
    """See `EngineKind.make`; auto is fp32, and int8 has no early exit."""
    core = _core(settings)
    if settings.precision == "int8":
        longest = checkpoint.config.max_position_embeddings
        batches = calibration_batches(checkpoint.tokenizer, settings.calibrate, longest)

    def compile(want: tuple[str, ...]) -> Callable[[Arrays], Outputs]:
        model = (
            quantized_model(checkpoint, want, batches)
            if settings.precision == "int8"
            else packed_model(checkpoint, want)
        )
        return _compiled(core, model, settings)

    if settings.precision == "int8":
        return PackedEngine(checkpoint, compile)

    def compile_part(number: int | None) -> Callable[[Arrays], Outputs]:
        return _compiled(core, packed_part(checkpoint, number), settings)

    return ExitingEngine(checkpoint, compile, compile_part)


def open_exported(folder: Path, settings: EngineSettings) -> Engine:
    """See `EngineKind.open_exported`; bf16 may be asked for, int8 is a matter of the file."""
    asked = "auto" if settings.precision == "bf16" else settings.precision
    manifest = Manifest.load(folder, TITLE, MODEL_FILE, asked)
    core = _core(settings)
    model = core.read_model(folder / MODEL_FILE)
    return PaddedEngine(manifest, _compiled(core, model, settings))


def _core(settings: EngineSettings) -> Any:
    """OpenVINO itself.

    Raises:
        PredictionError: a device that it does not use here, or a processor without bf16.
    """
    core = need_package("openvino", "openvino").Core()
    if settings.device not in ("cpu", "auto"):
        raise PredictionError(
            "The engine openvino computes on the CPU.",
            expected="cpu",
            found=settings.device,
            fix="leave device out, or use engine='torch'",
            command_fix="leave --device out, or give --engine torch",
        )
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if settings.precision == "bf16" and "BF16" not in capabilities:
        raise PredictionError(
            "This processor has no instructions for bf16.",
            expected="a processor with AVX512_BF16 or AMX",
            found=", ".join(capabilities),
            fix="use precision='fp32' or precision='int8'",
            command_fix="give --precision fp32 or --precision int8",
        )
    return core


def _compiled(core: Any, model: Any, settings: EngineSettings) -> Callable[[Arrays], Outputs]:
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads_or_cpus(settings.threads),
        "INFERENCE_PRECISION_HINT": "bf16" if settings.precision == "bf16" else "f32",
    }
    return partial(_run, core.compile_model(model, "CPU", hints))


def _run(compiled: Any, inputs: Arrays) -> Outputs:
    found = compiled(dict(inputs))
    return {output.get_any_name(): np.array(found[output]) for output in compiled.outputs}
