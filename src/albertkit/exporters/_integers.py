"""LiteRT files that multiply integers: ranges of activations are measured on texts beforehand."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from albertkit.data.batch import Batch
from albertkit.graph.tasks import INPUTS

CALIBRATION_TOKENS = 128  # of a row, where the model takes rows of any length
# Kept in float32: sums, normalisation, softmax, the pooler's tanh, and the products of attention.
# With 256 steps between the smallest and the largest number of a tensor, variances and the mask of
# attention (-1e30 for padding) leave no step to the others; a probability shared by a hundred
# tokens has two or three.
_FLOAT = (
    *("ADD", "SUB", "MUL", "DIV", "NEG", "MEAN", "SUM", "SQUARE", "SQUARED_DIFFERENCE"),
    *("SQRT", "RSQRT", "SOFTMAX", "SELECT", "SELECT_V2", "TANH", "LOGISTIC"),
    "BATCH_MATMUL",
    # These move numbers. As integers the mask would be lost: it is 0 in rows without padding.
    *("EXPAND_DIMS", "RESHAPE", "TRANSPOSE", "STRIDED_SLICE"),
)
_NO_INT16 = ("GELU",)  # LiteRT has it for float32 and int8

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
    tensorflow: Any,
    converter: Any,
    signature: str,
    rows: Sequence[dict[str, np.ndarray]],
    activations: str,
) -> bytes:
    """The file of a converter, with ranges measured on some rows; inputs and outputs stay.

    Weights are int8. activations: int8 or int16, of what goes into the products and comes out.
    """
    # Not the converter alone: it cannot leave operations out of the quantization.
    from tensorflow.lite.python import convert
    from tensorflow.lite.tools import flatbuffer_utils

    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ((signature, row) for row in rows)
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter._experimental_calibrate_only = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of TensorFlow, of its own interpreter
        measured = converter.convert()
    (graph,) = flatbuffer_utils.convert_bytearray_to_object(bytearray(measured)).subgraphs
    outputs = [graph.tensors[place] for place in graph.outputs]
    made: bytes = convert.mlir_quantize(
        measured,
        inference_type=convert.convert_inference_tf_type_to_tflite_type(
            getattr(tensorflow, activations)
        ),
        denylisted_ops=[*_FLOAT, *(_NO_INT16 if activations == "int16" else ())],
        denylisted_nodes=[x.name.decode() for x in outputs if x.shape[-1] <= _FEW_OUTPUTS],
    )
    return made if activations == "int8" else _made_symmetric(made)


def _made_symmetric(made: bytes) -> bytes:
    """A file whose int16 has zero points of 0, as LiteRT wants it; TensorFlow 2.21 sets some to -1.

    A number moves by one step of 65,536.
    """
    from tensorflow.lite.python.schema_py_generated import TensorType
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(made))
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.type == TensorType.INT16 and tensor.quantization is not None:
                tensor.quantization.zeroPoint = np.zeros(1, np.int64)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
