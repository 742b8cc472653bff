"""State dicts of one's own programs: prefixes, wrappers, heads that are not ALBERT's, NaN."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from albertkit.checkpoint.checkpoint import open_checkpoint
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.checkpoint.formats.safetensors_file import read_weights, write_tensors
from albertkit.errors import CheckpointError


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the small model."""
    return Path(shutil.copytree(tiny_model / "model", tmp_path / "model"))


def named(folder: Path, rename: Callable[[str], str]) -> dict[str, np.ndarray]:
    """The tensors of a folder under other names."""
    tensors = read_weights(folder / "model.safetensors").tensors
    return {rename(name): np.array(tensor) for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    "prefix",
    ["module.", "model.", "_orig_mod.", "module._orig_mod.", "bert.module.", "encoder.", "a.b."],
)
def test_a_prefix_of_all_names_is_taken_off_and_named(prefix: str, model: Path) -> None:
    before = {n: np.array(x) for n, x in open_checkpoint(model).checkpoint.tensors.items()}
    write_tensors(model / "model.safetensors", named(model, lambda name: prefix + name))
    opened = open_checkpoint(model)
    assert any(prefix in problem for problem in opened.result.problems)
    assert opened.checkpoint.tensors.keys() == before.keys()
    for name, tensor in before.items():
        assert np.array_equal(opened.checkpoint.tensors[name], tensor)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "around",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer_states": [{"state": {}}]},
        lambda state: {"model_state_dict": state, "loss": torch.tensor(0.5)},
        lambda state: {"module": {"module." + name: x for name, x in state.items()}},
        lambda state: {"model": {"state_dict": state}, "ema": dict(state)},
        lambda state: {"weights": state},
    ],
)
def test_tensors_inside_a_wrapper_are_found_and_their_place_is_named(
    around: Callable[[dict[str, Any]], dict[str, Any]], legacy: bool, model: Path
) -> None:
    before = open_checkpoint(model).checkpoint
    state = {name: torch.from_numpy(x) for name, x in named(model, str).items()}
    (model / "model.safetensors").unlink()
    torch.save(around(state), model / "last.ckpt", _use_new_zipfile_serialization=not legacy)
    opened = open_checkpoint(model)
    assert any(next(iter(around(state))) in problem for problem in opened.result.problems)
    for name, tensor in before.tensors.items():
        assert np.array_equal(opened.checkpoint.tensors[name], tensor)


def test_of_several_state_dicts_without_a_usual_name_one_must_be_chosen(model: Path) -> None:
    state = {name: torch.from_numpy(x) for name, x in named(model, str).items()}
    torch.save({"teacher": state, "student": dict(state)}, model / "pytorch_model.bin")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(model / "pytorch_model.bin")
    assert caught.value.facts["found"] == "student, teacher"


def test_a_foreign_head_is_left_out_by_choice(model: Path) -> None:
    tensors = named(model, lambda name: "model." + name)
    tensors |= {"model.fc.weight": np.zeros((2, 3), np.float32)}
    write_tensors(model / "model.safetensors", tensors)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(model)
    assert caught.value.facts["found"] == "model.fc.weight"
    assert "--head none" in (caught.value.command_fix or "")
    opened = open_checkpoint(model, overrides=Overrides(head="none"))
    assert list(opened.result.report.ignored) == ["model.fc.weight"]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite_is_a_problem(number: float, model: Path) -> None:
    tensors = named(model, str)
    name = next(name for name in tensors if name.endswith("ffn.bias"))
    tensors[name][0] = number
    write_tensors(model / "model.safetensors", tensors)
    problems = open_checkpoint(model).result.problems
    assert any("up.bias (1 of" in problem for problem in problems)


def test_a_sum_that_overflows_is_no_problem(model: Path) -> None:
    tensors = named(model, str)
    name = next(name for name in tensors if name.endswith("ffn.bias"))
    tensors[name][:] = 3e38
    write_tensors(model / "model.safetensors", tensors)
    assert open_checkpoint(model).result.problems == []


@pytest.mark.parametrize("key", ["license", "model_name", "backend", "attn_implementation"])
def test_a_key_that_changes_no_number_is_passed_over_and_named(key: str, model: Path) -> None:
    values = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(values | {key: "x", "classifier_dropout": None}))
    assert any(key in problem for problem in open_checkpoint(model).result.problems)
