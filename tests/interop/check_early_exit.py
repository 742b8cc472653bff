"""Texts leave early in ONNX Runtime and OpenVINO where they leave in PyTorch.

Run by the stage `engines` of run.py with its own Python; no part of the ordinary tests.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import albertkit
from albertkit import Checkpoint, Predictor, export
from albertkit.checkpoint.early_exit import exit_shapes
from albertkit.data.batch import Batch
from albertkit.errors import PredictionError
from albertkit.infer.calibration import sample_texts
from albertkit.infer.engine import ExitsEarly
from albertkit.infer.engines import make_engine
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.model.early_exit import logits_by_depth
from albertkit.model.loading import build_task
from albertkit.tasks.head import TaskHead

BASE = Checkpoint.load(Path(albertkit.__file__).parent / "weights" / "tiny-en")
TEXTS = sample_texts(BASE.tokenizer)[:24]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-en with random classifiers after its layers, each of which finds both labels."""
    head, chance = TaskHead("classification", 2), np.random.default_rng(5)
    shapes = {**head.shapes(BASE.config.hidden_size), **exit_shapes(BASE.config, head)}
    drawn = {name: chance.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    body = {name: x for name, x in BASE.tensors.items() if name.startswith("albert.")}

    def made() -> Checkpoint:
        exits = {name: x for name, x in drawn.items() if name.startswith("exits.")}
        own = {name: x for name, x in drawn.items() if name not in exits}
        return replace(BASE, tensors=body | own, head=head, exits=exits)

    batch = batch_of()
    every = logits_by_depth(
        build_task(made()),
        *(torch.from_numpy(x) for x in (batch.ids, batch.segment_ids)),
        lengths=torch.from_numpy(batch.lengths),
    )
    *below, last = (logits.detach().numpy().mean(0) for logits in every)
    for number, mean in enumerate(below):
        drawn[f"exits.{number}.bias"] -= mean
    drawn[f"{head.part}.bias"] -= last
    place = tmp_path_factory.mktemp("tuned") / "model"
    made().save(place)
    return place


def batch_of() -> Batch:
    return Batch.of([BASE.tokenizer.encode(text) for text in TEXTS])


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("patience", [1, 2])
def test_rows_leave_where_they_leave_in_torch(tuned: Path, engine: str, patience: int) -> None:
    checkpoint, batch, found = Checkpoint.load(tuned), batch_of(), {}
    for name in ("torch", engine):
        made = make_engine(name, checkpoint, EngineSettings())
        assert isinstance(made, ExitsEarly)
        found[name] = made.run_with_patience(batch, patience)
    (logits, depths), (others, expected) = found[engine], found["torch"]
    assert depths.tolist() == expected.tolist()
    assert len(set(depths.tolist())) > 1
    np.testing.assert_allclose(logits, others, atol=1e-4)


def test_fp16_and_int8_of_onnxruntime_leave_early_too(tuned: Path) -> None:
    plain = [answer.labels for answer in Predictor(tuned, patience=2).classify(TEXTS)]
    for precision, most in (("fp16", 0.02), ("int8", 0.3)):
        other = Predictor(tuned, patience=2, engine="onnxruntime", precision=precision)
        apart = [
            abs({x.name: x.probability for x in labels}[answer.label] - answer.probability)
            for labels, answer in zip(plain, other.classify(TEXTS), strict=True)
        ]
        assert np.median(apart) < most
        assert other.used.mean < BASE.config.num_hidden_layers


def test_what_runs_whole_refuses_patience_by_name(tuned: Path, tmp_path: Path) -> None:
    export(tuned, to="onnx", out=tmp_path / "made")
    with pytest.raises(PredictionError, match="no early exit"):
        Predictor(tmp_path / "made", patience=2)
    with pytest.raises(PredictionError, match="no early exit"):
        Predictor(tuned, engine="openvino", precision="int8", patience=2)
