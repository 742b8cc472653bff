"""LiteRT's full integer quantization: matrix products take int8 numbers and give int8 numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from albertkit.data.batch import Batch
from albertkit.graph.tasks import INPUTS

CALIBRATION_TOKENS = 128  # of a row, where the model takes rows of any length
# Kept in float32: sums, normalisation, softmax, the pooler's tanh, and the products of attention.
# With 256 steps between the smallest and the largest number of a tensor, variances and the barrier
# of attention (-1e30 for padding) leave no step to the others; a probability shared by a hundred
# tokens has two or three.
_FLOAT = (
    *("ADD", "SUB", "MUL", "DIV", "NEG", "MEAN", "SUM", "SQUARE", "SQUARED_DIFFERENCE"),
    *("SQRT", "RSQRT", "SOFTMAX", "SELECT", "SELECT_V2", "TANH", "LOGISTIC"),
    "BATCH_MATMUL",
)


# The product that gives a model's outputs stays in float32 up to this many of them: its weights are
# few, and with 256 steps two classes are soon the same.
_FEW_OUTPUTS = 256


def rows_without_padding(
    batches: Sequence[Batch], columns: int, choices: bool
) -> Iterator[dict[str, np.ndarray]]:
    """Inputs (1, columns) for each text: the text, and those after it until the row is full.

    What a model computes for padding is never looked at, so no range is measured on it. choices:
    inputs are (1, 1, columns).
    """
    ids, segments, lengths = (
        np.concatenate(parts)
        for parts in zip(*((b.ids, b.segment_ids, b.lengths) for b in batches), strict=True)
    )
    for start in np.cumsum(lengths) - lengths:
        places = np.arange(start, start + columns)
        arrays = (
            ids.take(places, mode="wrap"),
            np.ones(columns),
            segments.take(places, mode="wrap"),
        )
        shape = (1, 1, columns) if choices else (1, columns)
        yield {
            name: array.astype(np.int32).reshape(shape)
            for name, array in zip(INPUTS, arrays, strict=True)
        }


def convert_to_integers(
    tensorflow: Any, converter: Any, signature: str, rows: Sequence[dict[str, np.ndarray]]
) -> bytes:
    """The file of a converter, with ranges measured on some rows; inputs and outputs stay.

    The tool that TensorFlow has for leaving operations out of the quantization is its debugger.
    """
    lite = tensorflow.lite

    def samples() -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        return ((signature, row) for row in rows)

    converter.optimizations = [lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS_INT8]
    made_options = partial(lite.experimental.QuantizationDebugOptions, denylisted_ops=list(_FLOAT))
    debugger = lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=samples, debug_options=made_options()
    )
    measured = lite.Interpreter(model_content=debugger.calibrated_model)
    few = [x["name"] for x in measured.get_output_details() if x["shape"][-1] <= _FEW_OUTPUTS]
    debugger.options = made_options(denylisted_nodes=few)
    made: bytes = bytes(debugger.get_nondebug_quantized_model())
    return made
