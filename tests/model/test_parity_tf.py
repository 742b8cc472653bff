"""The model gives the numbers that google-research/albert and albert_zh gave."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from names_of_tf import renamed
from torch.nn import functional as F

from albertkit.config import AlbertConfig
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.outputs import PretrainingOutput

TESTS = Path(__file__).resolve().parents[1]
SHARED = TESTS.parents[1] / "shared" / "golden"
FAMILIES = ("google_tf", "brightmart_tf")


def cases(root: Path) -> list:
    """Folders of this root that hold weights and outputs, as parameters named family/case."""
    found = sorted(
        path.parent for family in FAMILIES for path in root.glob(f"{family}/*/weights.npz")
    )
    return [pytest.param(path, id=f"{path.parent.name}/{path.name}") for path in found]


KEPT = cases(TESTS / "golden")
ALL = [
    *KEPT,
    *(
        pytest.param(*p.values, id=f"shared/{p.id}", marks=pytest.mark.shared)
        for p in cases(SHARED)
    ),
]
WITH_GRADIENTS = [p for p in ALL if (p.values[0] / "gradients.npz").exists()]


@dataclass
class Case:
    """One run of an original program: weights, inputs, and what it gave."""

    folder: Path
    config: AlbertConfig
    model: AlbertForPretraining
    inputs: dict[str, torch.Tensor]
    expected: dict[str, np.ndarray]

    @property
    def targets(self) -> torch.Tensor:
        """Flat positions of the masked words."""
        positions = self.inputs["masked_lm_positions"].long()
        columns = self.inputs["input_ids"].shape[1]
        return (positions + columns * torch.arange(len(positions))[:, None]).flatten()

    def run(self, **options: object) -> PretrainingOutput:
        """The model on the inputs, padded, with the mask of the original."""
        return self.model(
            self.inputs["input_ids"],
            self.inputs["segment_ids"],
            mask=self.inputs["input_mask"].bool(),
            target_positions=self.targets,
            **options,
        )

    def close(self, found: torch.Tensor, expected: np.ndarray) -> None:
        """Largest difference at most 2e-5 of the largest value, which counts as 1 at least."""
        largest = np.abs(expected).max()
        if "eps_probe" not in self.folder.name:
            largest = max(1.0, largest)
        assert found.shape == expected.shape
        assert np.abs(found.detach().numpy() - expected).max() <= 2e-5 * largest


def open_case(folder: Path) -> Case:
    dialect = "google_fast" if folder.name.startswith("google_fast") else None
    config = AlbertConfig.load(folder / "albert_config.json", dialect=dialect)
    model = AlbertForPretraining(config).eval()
    with np.load(folder / "weights.npz") as weights:
        tensors = renamed(weights)
    model.load_state_dict({name: torch.from_numpy(x.copy()) for name, x in tensors.items()})
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
        return Case(
            folder=folder,
            config=config,
            model=model,
            inputs={name: torch.from_numpy(inputs[name]) for name in inputs},
            expected=dict(outputs),
        )


def losses(case: Case, output: PretrainingOutput) -> dict[str, torch.Tensor]:
    """The losses as google's run_pretraining.py forms them."""
    weights = case.inputs["masked_lm_weights"].flatten()
    words = F.cross_entropy(
        output.mlm_logits, case.inputs["masked_lm_ids"].flatten().long(), reduction="none"
    )
    order = F.cross_entropy(
        output.sop_logits, case.inputs["next_sentence_labels"].flatten().long(), reduction="none"
    )
    masked_lm = (words * weights).sum() / (weights.sum() + 1e-5)
    return {
        "masked_lm_example_loss": words,
        "masked_lm_loss": masked_lm,
        "sop_example_loss": order,
        "sop_loss": order.mean(),
        "total_loss": masked_lm + order.mean(),
    }


@pytest.mark.parametrize("folder", ALL)
def test_every_output_is_that_of_the_original(folder: Path) -> None:
    case = open_case(folder)
    normalised = []
    case.model.albert.embeddings.norm.register_forward_hook(
        lambda module, inputs, output: normalised.append(output)
    )
    for return_all in (True, False):
        output = case.run(return_all=return_all)
        encoder = output.encoder
        found = {
            "embedding_output": normalised[-1].view(*case.inputs["input_ids"].shape, -1),
            "word_embedding_output": case.model.albert.embeddings.word(case.inputs["input_ids"]),
            "sequence_output": encoder.hidden,
            "pooled_output": encoder.pooled,
            "masked_lm_log_probs": output.mlm_logits.log_softmax(-1),
            "sop_log_probs": output.sop_logits.log_softmax(-1),
            **losses(case, output),
        }
        found |= {
            f"encoder_layer_{number:02}": state
            for number, state in enumerate(encoder.hidden_states[1:])
        }
        if return_all:
            assert set(case.expected) <= set(found)
        for name in set(case.expected) & set(found):
            case.close(found[name], case.expected[name])


@pytest.mark.parametrize("folder", WITH_GRADIENTS)
def test_gradients_are_those_of_the_original(folder: Path) -> None:
    case = open_case(folder)
    losses(case, case.run())["total_loss"].backward()
    with np.load(folder / "gradients.npz") as gradients:
        expected = renamed(gradients)
    found = {name: parameter.grad for name, parameter in case.model.named_parameters()}
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        largest = max(1.0, np.abs(gradient).max())
        assert np.abs(found[name].numpy() - gradient).max() <= 1e-4 * largest, name


@pytest.mark.parametrize("folder", KEPT)
def test_packed_rows_give_the_numbers_of_padded_rows(folder: Path) -> None:
    case = open_case(folder)
    ids, types = case.inputs["input_ids"], case.inputs["segment_ids"]
    lengths = torch.tensor([ids.shape[1], 1, 5, ids.shape[1] - 1][: len(ids)])
    real = torch.arange(ids.shape[1]) < lengths[:, None]
    starts = lengths.cumsum(0) - lengths
    columns = ids.shape[1] * torch.arange(len(ids))
    padded = case.model(ids, types, lengths=lengths, target_positions=columns, return_all=True)
    packed = case.model(
        ids[real], types[real], lengths=lengths, target_positions=starts, return_all=True
    )
    for one, other in zip(padded.encoder.hidden_states, packed.encoder.hidden_states, strict=True):
        case.close(one[real], other.detach().numpy())
    case.close(padded.encoder.pooled, packed.encoder.pooled.detach().numpy())
    case.close(padded.mlm_logits, packed.mlm_logits.detach().numpy())
    case.close(padded.sop_logits, packed.sop_logits.detach().numpy())
