"""ONNX: one file with every tensor once, its inputs and outputs named as in Optimum's exports."""

from __future__ import annotations

from pathlib import Path

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.graph.onnx_graph import padded_model
from albertkit.infer.engines.onnxruntime import MODEL_FILES
from albertkit.plugins import need_package

TITLE = "ONNX"
ENGINE = "onnxruntime"
PRECISIONS = ("fp32", "fp16", "int8")
PACKAGES = ("onnx", "onnxruntime")
CALIBRATED: tuple[str, ...] = ()
FIXES_LENGTH = False
TOKENIZER_PACKAGE = None
EXAMPLE = '''"""Runs the model of this folder: python example.py"""

from pathlib import Path

import onnxruntime
from albertkit import Tokenizer

folder = Path(__file__).resolve().parent
[file] = folder.glob("onnx/*.onnx")
session = onnxruntime.InferenceSession(str(file))
tokenizer = Tokenizer.load(folder)
{inputs}
names = [output.name for output in session.get_outputs()]
for name, array in zip(names, session.run(names, inputs)):
    print(name, array.shape, array.reshape(-1)[:4])
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
    """See `Exporter.write`."""
    model = padded_model(checkpoint, task, precision)
    need_package("onnx.checker", "onnx").check_model(model)
    file = folder / MODEL_FILES[precision]
    file.parent.mkdir()
    file.write_bytes(model.SerializeToString())
