"""`albertkit.keras` where TensorFlow is missing. With it: `make check-interop ARGS=keras`."""

from __future__ import annotations

import importlib
import sys

import pytest

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import AlbertkitError
from albertkit.infer.predictor import Predictor


@pytest.fixture(autouse=True)
def _without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # an import of it fails
    monkeypatch.delitem(sys.modules, "albertkit.keras", raising=False)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)


def test_the_door_names_the_extra() -> None:
    with pytest.raises(AlbertkitError, match=r'pip install "albertkit\[tensorflow\]"'):
        importlib.import_module("albertkit.keras")


def test_the_engine_names_the_extra(tiny_model) -> None:
    with pytest.raises(AlbertkitError, match=r'pip install "albertkit\[tensorflow\]"'):
        Predictor(tiny_model / "model", engine="tensorflow")


def test_tensors_of_tensorflow_name_the_extra(tiny_model) -> None:
    tokenizer = Checkpoint.load(tiny_model / "model").tokenizer
    with pytest.raises(AlbertkitError, match=r'pip install "albertkit\[tensorflow\]"'):
        tokenizer("a text", return_tensors="tf")
