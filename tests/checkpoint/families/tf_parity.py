"""Golden cases of TensorFlow 1, and whether a checkpoint gives the numbers of the original."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.model.loading import build

TESTS = Path(__file__).resolve().parents[2]
GOLDEN = TESTS / "golden"
SHARED = TESTS.parents[1] / "shared" / "golden"
VARIANTS = "g1_i1_gelu_index_variants"


def cases(pattern: str) -> list:
    """Index files that match, of the repository and of the shared folder, as parameters."""
    found = []
    for root in (GOLDEN, SHARED):
        for path in sorted(root.glob(f"{pattern}.index")):
            marks = [pytest.mark.shared] if root == SHARED else []
            name = f"{'shared/' if marks else ''}{path.parent.name}/{path.stem}"
            found.append(pytest.param(path.with_suffix(""), id=name, marks=marks))
    return found


def with_data(prefix: Path, folder: Path) -> Path:
    """A prefix whose data files are there; the repository keeps one copy for several indexes."""
    if list(prefix.parent.glob(prefix.name + ".data-*")):
        return prefix
    original = prefix.parents[1] / "g1_i1_gelu" / "model.ckpt-best.data-00000-of-00001"
    shutil.copy(prefix.with_name(prefix.name + ".index"), folder)
    shutil.copy(original, folder / f"{prefix.name}.data-00000-of-00001")
    return folder / prefix.name


def plain(folder: Path) -> dict[str, np.ndarray]:
    """Variables of a case as TensorFlow read them, without the counter of steps."""
    with np.load(folder / "weights.npz") as weights:
        return {name: weights[name] for name in weights if name != "global_step"}


def same(a: Checkpoint, b: Checkpoint) -> bool:
    return set(a.tensors) == set(b.tensors) and all(
        np.array_equal(tensor, b.tensors[name]) for name, tensor in a.tensors.items()
    )


def close(
    found: torch.Tensor, expected: np.ndarray, real: np.ndarray | None = None, least: float = 1.0
) -> None:
    """At real positions within 3e-5 of the largest value, which counts as `least` at least."""
    assert found.shape == expected.shape
    where = np.ones(expected.shape, dtype=bool) if real is None else real
    largest = max(least, np.abs(expected[where]).max())
    assert np.abs(found.detach().numpy() - expected)[where].max() <= 3e-5 * largest


def check_pretraining(checkpoint: Checkpoint, folder: Path, least: float = 1.0) -> None:
    """Every output of the original that a checkpoint with both heads has."""
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
        given = {name: torch.from_numpy(inputs[name]).long() for name in inputs}
        expected = dict(outputs)
    columns = given["input_ids"].shape[1]
    positions = given["masked_lm_positions"]
    model = build(checkpoint)
    normalised = []
    model.albert.embeddings.norm.register_forward_hook(
        lambda module, inputs, output: normalised.append(output)
    )
    output = model(
        given["input_ids"],
        given["segment_ids"],
        mask=given["input_mask"].bool(),
        target_positions=(positions + columns * torch.arange(len(positions))[:, None]).flatten(),
        return_all=True,
    )
    tokens = {
        "embedding_output": normalised[-1].view(*given["input_ids"].shape, -1),
        "word_embedding_output": model.albert.embeddings.word(given["input_ids"]),
        "sequence_output": output.encoder.hidden,
    }
    tokens |= {f"encoder_layer_{n:02}": x for n, x in enumerate(output.encoder.hidden_states[1:])}
    rows = {
        "pooled_output": output.encoder.pooled,
        "masked_lm_log_probs": output.mlm_logits.log_softmax(-1),
        "sop_log_probs": output.sop_logits.log_softmax(-1),
    }
    real = given["input_mask"].bool().numpy()
    compared = {name for name in expected if "loss" not in name}
    assert compared <= {*tokens, *rows}
    for name in compared:
        if name in tokens:
            close(tokens[name], expected[name], real, least)
        else:
            close(rows[name], expected[name], None, least)
