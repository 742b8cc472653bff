"""What trained the shipped models (bench/shipped), on the CPU."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from albertkit.config import AlbertConfig
from albertkit.data.loader import PretrainingBatch
from albertkit.model.heads import AlbertForPretraining
from albertkit.train.losses import pretraining_loss
from albertkit.train.stages import micro_batch_of

BENCH = Path(__file__).resolve().parents[2] / "bench" / "shipped"
CONFIG = AlbertConfig(
    vocab_size=60,
    embedding_size=8,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=24,
    max_position_embeddings=16,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    initializer_range=0.3,
)


@pytest.fixture
def gpu_step(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("gpu_step")


@pytest.fixture
def batch() -> PretrainingBatch:
    """Rows of 16, 9 and 12 tokens with 2, 1 and 2 targets."""
    random = np.random.default_rng(0)
    lengths = np.array([16, 9, 12])
    return PretrainingBatch(
        ids=random.integers(5, 60, 37),
        segment_ids=random.integers(0, 2, 37),
        lengths=lengths,
        target_positions=np.array([3, 15, 20, 25, 36]),
        targets=random.integers(5, 60, 5),
        swapped=np.array([1, 0, 1]),
    )


def rows_of(batch: PretrainingBatch) -> tuple[torch.Tensor, ...]:
    made = importlib.import_module("padded_rows").padded(batch, 16)
    return type(made)(*(torch.from_numpy(x) for x in made))


def test_padded_rows_have_the_losses_of_packed_ones(
    gpu_step: ModuleType, batch: PretrainingBatch
) -> None:
    torch.manual_seed(0)
    model = AlbertForPretraining(CONFIG)
    found = gpu_step.Network(model, compiled=False).losses(rows_of(batch)).tolist()
    packed = micro_batch_of(batch, 0, 3, torch.device("cpu"))
    output = model(
        packed.ids,
        packed.segment_ids,
        lengths=packed.lengths,
        target_positions=packed.target_positions,
    )
    loss = pretraining_loss(
        output.mlm_logits,
        output.sop_logits,
        packed.targets,
        packed.swapped,
        step_targets=5,
        step_rows=3,
    )
    names = ("mlm_loss", "sop_loss", "mlm_accuracy", "sop_accuracy")
    wanted = [float(loss.parts[name]) / loss.counts[name] for name in names]
    assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("shape", [(32, 32), (64, 16), (16, 64)])
def test_muon_moves_by_nearly_orthogonal_matrices(
    gpu_step: ModuleType, shape: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) + torch.eye(*shape)
    strengths = torch.linalg.svdvals(gpu_step.orthogonal(matrix))
    middle = strengths[: len(strengths) * 3 // 4]  # the weakest take more than five rounds
    assert 0.5 < middle.min() <= middle.max() < 1.3


def test_a_step_at_rate_zero_moves_nothing_and_forgetting_begins_again(
    gpu_step: ModuleType, batch: PretrainingBatch
) -> None:
    torch.manual_seed(0)
    model = AlbertForPretraining(CONFIG)
    start = {name: x.clone() for name, x in model.state_dict().items()}
    step = gpu_step.Stepper(
        gpu_step.Network(model, compiled=False), gpu_step.Optimizer(model, muon=True)
    )
    rows = rows_of(batch)
    step(rows, 0.0)
    assert all(torch.equal(x, start[name]) for name, x in model.state_dict().items())
    step.optimizer.forget()
    first = [step(rows, 1e-2).tolist() for _ in range(3)]
    assert first[-1][0] < first[0][0]
    step.optimizer.forget()
    model.load_state_dict(start)
    assert [step(rows, 1e-2).tolist() for _ in range(3)] == first
