"""OpenVINO's intermediate representation, inputs and outputs named as in Optimum's exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.batch import Batch
from albertkit.graph.openvino_graph import padded_model
from albertkit.graph.tasks import is_multiple_choice
from albertkit.infer.calibration import calibration_batches
from albertkit.infer.engines._quantized import quantize_with_nncf
from albertkit.infer.graph_engines import padded_inputs
from albertkit.plugins import need_package

TITLE = "OpenVINO"
ENGINE = "openvino"
PRECISIONS = ("fp32", "fp16", "int8")
PACKAGES = ("openvino",)
CALIBRATED = ("int8",)
FIXES_LENGTH = False
TOKENIZER_PACKAGE = None
MODEL_FILE = "openvino_model.xml"
EXAMPLE = '''"""Runs the model of this folder: python example.py"""

from pathlib import Path

import openvino
from albertkit import Tokenizer

folder = Path(__file__).resolve().parent
# Without the hint OpenVINO computes in bfloat16 on processors that have it.
hints = {"INFERENCE_PRECISION_HINT": "f32"}
model = openvino.Core().compile_model(folder / "openvino_model.xml", "CPU", hints)
tokenizer = Tokenizer.load(folder)
{inputs}
found = model(inputs)
for output in model.outputs:
    print(output.get_any_name(), found[output].shape, found[output].reshape(-1)[:4])
'''


def write(
    checkpoint: Checkpoint,
    folder: Path,
    task: str,
    precision: str,
    calibrate: str | Path | None,
    length: int | None,
    tokenize: str | Path | None,
) -> None:
    """See `Exporter.write`; int8 is NNCF's, fp16 stores weights in half precision."""
    openvino = need_package("openvino", "openvino")
    model = padded_model(checkpoint, task)
    if precision == "int8":
        longest = checkpoint.config.max_position_embeddings
        batches = calibration_batches(checkpoint.tokenizer, calibrate, longest)
        choices = is_multiple_choice(task)

        def inputs_of(batch: Batch) -> dict[str, np.ndarray]:
            return padded_inputs(batch, choices)[0]

        model = quantize_with_nncf(model, batches, inputs_of)
    openvino.save_model(model, folder / MODEL_FILE, compress_to_fp16=precision == "fp16")
