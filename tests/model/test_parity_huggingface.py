"""Folders that transformers wrote are read and give the numbers that transformers gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.model.loading import build, build_body

TESTS = Path(__file__).resolve().parents[1]
SHARED = TESTS.parents[1] / "shared" / "golden"


def cases(root: Path, head: str) -> list:
    return [
        pytest.param(path.parent, id=f"{prefix}{path.parts[-3]}")
        for prefix in ["shared/" if root == SHARED else ""]
        for path in sorted(root.glob(f"huggingface/*/{head}/model.safetensors"))
    ]


def everywhere(head: str) -> list:
    mark = pytest.mark.shared
    outside = [pytest.param(*case.values, id=case.id, marks=mark) for case in cases(SHARED, head)]
    return [*cases(TESTS / "golden", head), *outside]


def load(folder: Path) -> tuple[Checkpoint, dict[str, torch.Tensor], dict[str, np.ndarray]]:
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
        arrays = {name: torch.from_numpy(inputs[name]) for name in inputs}
        return Checkpoint.load(folder), arrays, dict(outputs)


def close(found: torch.Tensor, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    largest = max(1.0, np.abs(expected).max())
    assert np.abs(found.detach().numpy() - expected).max() <= 2e-5 * largest


@pytest.mark.parametrize("folder", everywhere("pretraining"))
def test_pretraining_outputs_are_those_of_transformers(folder: Path) -> None:
    checkpoint, inputs, expected = load(folder)
    ids = inputs["input_ids"]
    output = build(checkpoint)(
        ids,
        inputs["token_type_ids"],
        mask=inputs["attention_mask"].bool(),
        target_positions=torch.arange(ids.numel()),
        return_all=True,
    )
    close(output.mlm_logits, expected["prediction_logits"].reshape(ids.numel(), -1))
    close(output.sop_logits, expected["sop_logits"])
    loss = F.cross_entropy(output.mlm_logits, inputs["labels"].flatten())
    loss = loss + F.cross_entropy(output.sop_logits, inputs["sentence_order_label"])
    close(loss, expected["loss"])
    states = [x for name, x in sorted(expected.items()) if name.startswith("hidden_states_")]
    for found, state in zip(output.encoder.hidden_states, states, strict=True):
        close(found, state)
    weights = [x for name, x in sorted(expected.items()) if name.startswith("attentions_")]
    for found, attention in zip(output.encoder.attentions, weights, strict=True):
        close(found, attention)


@pytest.mark.parametrize("folder", everywhere("masked_lm"))
def test_a_file_without_sentence_order_head_says_so_and_predicts(folder: Path) -> None:
    checkpoint, inputs, expected = load(folder)
    assert checkpoint.has_masked_lm
    assert not checkpoint.has_sentence_order
    ids = inputs["input_ids"]
    output = build(checkpoint)(
        ids,
        inputs["token_type_ids"],
        mask=inputs["attention_mask"].bool(),
        target_positions=torch.arange(ids.numel()),
    )
    assert output.sop_logits is None
    logits = next(x for name, x in expected.items() if name.endswith("logits"))
    close(output.mlm_logits.view(*ids.shape, -1), logits)


@pytest.mark.parametrize("folder", everywhere("model"))
def test_a_bare_body_without_prefix_is_read(folder: Path) -> None:
    checkpoint, inputs, expected = load(folder)
    assert checkpoint.has_pooler
    assert not checkpoint.has_masked_lm
    output = build_body(checkpoint)(
        inputs["input_ids"],
        inputs["token_type_ids"],
        mask=inputs["attention_mask"].bool(),
    )
    close(output.hidden, expected["last_hidden_state"])
    close(output.pooled, expected["pooler_output"])
