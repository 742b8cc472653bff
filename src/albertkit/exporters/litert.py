"""LiteRT (TensorFlow Lite): one file for phones, with the layer stored once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.exporters._integers import (
    CALIBRATION_TOKENS,
    convert_to_integers,
    rows_without_padding,
)
from albertkit.graph.tasks import is_multiple_choice
from albertkit.infer.calibration import calibration_batches
from albertkit.infer.checked import QUANTIZED
from albertkit.infer.engines.litert import MODEL_FILE
from albertkit.infer.engines.tensorflow import need_tensorflow

TITLE = "LiteRT"
ENGINE = "litert"
PRECISIONS = ("fp32", "fp16", "int8", "int16x8")
PACKAGES = ("tensorflow", "keras")
CALIBRATED = ("int8", "int16x8")
FIXES_LENGTH = True
TOKENIZER_PACKAGE = None
EXAMPLE = '''"""Runs the model of this folder: python example.py"""

from pathlib import Path

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    import tensorflow as tf

    Interpreter = tf.lite.Interpreter
import numpy as np
from albertkit import Tokenizer

folder = Path(__file__).resolve().parent
run = Interpreter(str(folder / "model.tflite")).get_signature_runner()
tokenizer = Tokenizer.load(folder)
{inputs}
inputs = {name: np.asarray(array, np.int32) for name, array in inputs.items()}
for name, output in run(**inputs).items():
    print(name, output.shape, output.reshape(-1)[:4])
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
    """See `Exporter.write`; int8 without texts quantizes activations while it runs.

    int16x8 is what LiteRT's documents call 16x8: activations of 16 bits, weights of 8.
    """
    if precision == "int16x8" and calibrate is None:
        raise PredictionError(
            "int16x8 needs texts that show the ranges of activations.",
            expected="a file with a text on each line, like those that the model will read",
            found="no texts",
            fix="pass calibrate='texts.txt', or precision='int8'",
            command_fix="give --calibrate texts.txt, or --precision int8",
        )
    tensorflow = need_tensorflow()
    from albertkit.exporters._signatures import SERVING, save

    with tempfile.TemporaryDirectory(dir=folder) as place:  # not on another disk, which may be full
        save(
            checkpoint,
            Path(place),
            task,
            hub=False,
            length=length,
            int8_tables=precision in QUANTIZED,
        )
        converter = tensorflow.lite.TFLiteConverter.from_saved_model(
            place, signature_keys=[SERVING]
        )
        # The built-in operations of LiteRT alone: the others need TensorFlow in the program.
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS]
        if calibrate is None:
            made = _converted(tensorflow, converter, precision)
        else:
            rows = _calibration_rows(checkpoint, task, calibrate, length)
            activations = "int8" if precision == "int8" else "int16"
            made = convert_to_integers(tensorflow, converter, SERVING, rows, activations)
        (folder / MODEL_FILE).write_bytes(made)


def _converted(tensorflow: Any, converter: Any, precision: str) -> bytes:
    """The file without texts to calibrate with."""
    if precision != "fp32":
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    if precision == "fp16":
        converter.target_spec.supported_types = [tensorflow.float16]
    made: bytes = converter.convert()
    return made


def _calibration_rows(
    checkpoint: Checkpoint, task: str, texts: str | Path, length: int | None
) -> list[dict[str, np.ndarray]]:
    """Rows of texts, as long as the model takes them."""
    longest = checkpoint.config.max_position_embeddings
    batches = calibration_batches(checkpoint.tokenizer, texts, longest)
    columns = length or min(longest, CALIBRATION_TOKENS)
    return list(rows_without_padding(batches, columns, is_multiple_choice(task)))
