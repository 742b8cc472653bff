"""A text gets the same numbers in ONNX Runtime and OpenVINO by itself and beside others.

Run by the stage `engines` of run.py with its own Python; no part of the ordinary tests.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import albertkit
from albertkit import Checkpoint
from albertkit.data.batch import Batch
from albertkit.infer.calibration import sample_texts
from albertkit.infer.engine import run_checked
from albertkit.infer.engines import make_engine
from albertkit.infer.engines._protocol import EngineSettings

MODEL = Checkpoint.load(Path(albertkit.__file__).parent / "weights" / "tiny-en")


@pytest.mark.parametrize(
    ("engine", "precision", "tolerance"),
    [
        ("onnxruntime", "fp32", 1e-5),
        ("openvino", "fp32", 1e-5),
        # Where a last bit of attention differs, a number may be rounded to the next integer.
        ("onnxruntime", "int8", 1e-2),
    ],
)
def test_a_text_gets_the_same_vector_alone_and_beside_others(
    engine: str, precision: str, tolerance: float
) -> None:
    encodings = MODEL.tokenizer.encode_batch(sample_texts(MODEL.tokenizer))
    made = make_engine(engine, MODEL, EngineSettings(precision=precision, threads=1))

    def pooled(texts: list[int]) -> np.ndarray:
        batch = Batch.of([encodings[n] for n in texts])
        return run_checked(made, batch, ("pooled",))["pooled"]

    alone = np.concatenate([pooled([n]) for n in range(len(encodings))])
    together = pooled(list(range(len(encodings))))
    assert np.abs(alone - together).max() <= tolerance
