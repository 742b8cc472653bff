"""A pooled vector alone: the last layer without keys and values of tokens, and the same numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from albertkit.config import AlbertConfig
from albertkit.model import albert
from albertkit.model.albert import Albert
from albertkit.model.first_token import first_token_attention
from albertkit.model.packing import Layout

IDS = torch.arange(40).view(4, 10)
NONE = torch.empty(0, dtype=torch.long)
ROW_LENGTHS = torch.tensor([1, 7, 30, 12, 3])
BATCHES: dict[str, dict[str, Any]] = {
    "packed, parts of one length": {"ids": torch.arange(53) % 50, "lengths": ROW_LENGTHS},
    "packed, all of one length": {"ids": torch.arange(40), "lengths": torch.tensor([20, 20])},
    "padded": {"ids": torch.arange(150).view(5, 30) % 50, "lengths": ROW_LENGTHS},
    "full": {"ids": IDS},
    "holes": {
        "ids": IDS,
        "mask": torch.rand(4, 10, generator=torch.Generator().manual_seed(1)) < 0.5,
    },
}


def body(**changes: object) -> Albert:
    torch.manual_seed(0)
    small = {
        **{"vocab_size": 50, "embedding_size": 16, "hidden_size": 32, "intermediate_size": 64},
        **{"num_attention_heads": 4, "num_hidden_layers": 2, "max_position_embeddings": 40},
    }
    model = Albert(AlbertConfig(**{**small, "initializer_range": 0.3, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():  # biases that are not 0
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(
    "changes",
    [{}, {"norm_order": "pre", "final_norm": True}, {"num_hidden_layers": 1}],
    ids=str,
)
def test_vectors_and_gradients_are_those_of_a_whole_last_layer(
    changes: dict[str, object], batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = body(**changes).eval()
    inputs = BATCHES[batch]
    weights = torch.randn(len(inputs.get("lengths", inputs["ids"])), 32)
    found = []
    for positions in (NONE, None):
        model.zero_grad()
        pooled = model(**inputs, positions=positions).pooled
        (pooled * weights).sum().backward()
        found.append((pooled, [p.grad for p in model.parameters()]))
        monkeypatch.setattr(albert, "first_token_attention", None)  # the other has no use for it
    (alone, gradients), (whole, expected) = found
    torch.testing.assert_close(alone, whole, atol=2e-6, rtol=2e-5)
    torch.testing.assert_close(gradients, expected, atol=2e-5, rtol=2e-4)


def test_dropped_probabilities_leave_neither_value_nor_bias() -> None:
    model = body().train()
    attention = model.encoder.attention["0"][0]
    attention.probability_dropout = 1.0  # all of them
    layout = Layout.of(model.config, IDS, None, None, None)
    context = first_token_attention(attention, torch.randn(40, 32), layout)
    assert torch.equal(context, torch.zeros(4, 32))


def test_half_of_the_probabilities_are_dropped_in_training() -> None:
    model = body(attention_probs_dropout_prob=0.5)
    inputs = BATCHES["full"]
    some = [model.train()(**inputs, positions=NONE).pooled for _ in range(2)]
    assert not torch.equal(some[0], some[1])
    model.eval()
    assert torch.equal(*(model(**inputs, positions=NONE).pooled for _ in range(2)))


def test_bfloat16_is_close() -> None:
    model = body().eval()
    inputs = BATCHES["packed, parts of one length"]
    wanted = model(**inputs).pooled
    with torch.autocast("cpu", torch.bfloat16):
        found = model(**inputs, positions=NONE).pooled
    torch.testing.assert_close(found.float(), wanted, atol=0.06, rtol=0.06)


def test_it_compiles_as_one_graph() -> None:
    model = body().eval()
    inputs = BATCHES["full"]
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    found = compiled(**inputs, positions=NONE).pooled
    torch.testing.assert_close(found, model(**inputs, positions=NONE).pooled)


@pytest.mark.parametrize("autocast", [False, True])
def test_in_bfloat16_products_of_new_shapes_are_in_float32(autocast: bool) -> None:
    """oneDNN would compile and keep four of them for every number of rows and columns."""
    kinds = set()

    class Products(TorchDispatchMode):
        def __torch_dispatch__(
            self, called: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if called is torch.ops.aten.bmm.default:
                kinds.add(args[0].dtype)
            return called(*args, **(kwargs or {}))

    model = body(num_hidden_layers=1)
    inputs = BATCHES["packed, all of one length"]
    wanted = model(**inputs, positions=NONE).pooled
    model = model if autocast else model.to(torch.bfloat16)
    with Products():
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            found = model(**inputs, positions=NONE).pooled
        found.float().square().sum().backward()
    assert kinds == {torch.float32}
    assert (found - wanted).norm() < 0.02 * wanted.norm()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
