"""Every line of albertkit's side of docs/tensorflow.md runs.

Run by the stage `keras` of run.py with its own Python; no part of the ordinary tests.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import albertkit
from albertkit import Predictor, load_model
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.parameters import parameter_shapes
from albertkit.tasks.head import TaskHead

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tensorflow.md"
MODEL = Path(albertkit.__file__).parent / "weights" / "tiny-en"
TASKS = {
    "classifier_path": TaskHead("classification", 2, ("bad", "good")),
    "tagger_path": TaskHead("token_classification", 3, ("O", "B-PER", "I-PER")),
    "reader_path": TaskHead("span", 2),
    "chooser_path": TaskHead("multiple_choice", 1),
}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page leaves behind when all of it was run."""
    place = tmp_path_factory.mktemp("page")
    base = Checkpoint.load(MODEL)
    known: dict[str, Any] = {"path": str(MODEL)}
    draws = np.random.default_rng(0)
    for name, head in TASKS.items():
        shapes = parameter_shapes(base.config, head)
        own = {
            key: draws.normal(0, 0.2, shape).astype(np.float32)
            for key, shape in shapes.items()
            if key.startswith(head.part)
        }
        body = {key: x for key, x in base.tensors.items() if key.startswith("albert.")}
        replace(base, tensors={**body, **own}, head=head).save(place / name)
        known[name] = str(place / name)
    os.chdir(place)
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), known)
    return known


def test_the_page_gives_what_torch_gives(names: dict[str, Any]) -> None:
    tokenizer = names["tokenizer"]
    encoded = tokenizer("The cat sat.", return_tensors="pt")
    expected = load_model(MODEL)(**encoded).encoder.hidden.detach().numpy()
    np.testing.assert_allclose(names["features"], expected, atol=2e-5)
    np.testing.assert_allclose(names["vectors"], expected, atol=2e-5)
    best = Predictor(MODEL)("The [MASK] sat on the mat.")[0]
    assert names["best"]["token"] == best["token"]
    assert names["word"].strip() == best["token_str"].strip()
    assert names["words"].shape[-1] == 30000 or names["words"].shape[-1] == len(tokenizer)
    assert names["order"].shape == (1, 2)


def test_each_task_of_the_page_answers(names: dict[str, Any]) -> None:
    assert names["tags"].shape[0] == 1
    assert isinstance(names["answer"], str)
    assert names["chosen"].shape == (1,)  # of multiple choice, the last
    assert load_model("trained").config == load_model(MODEL).config
    assert load_model("learned").head == TASKS["classifier_path"]
    assert np.isfinite(names["history"].history["loss"]).all()


def test_the_old_names_are_the_same_classes() -> None:
    from albertkit import keras

    old = set(re.findall(r"TF(Albert\w+)", PAGE.read_text("utf-8")))
    assert len(old) == 7
    for name in old:
        assert getattr(keras, f"TF{name}") is getattr(keras, name)
