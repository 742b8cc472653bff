"""Weights that are laid out for oneDNN give what they gave before."""

from __future__ import annotations

import copy
import pickle
import platform

import pytest
import torch
from torch import Tensor, nn

from albertkit.config import AlbertConfig
from albertkit.model import packed_linear
from albertkit.model.albert import ACTIVATIONS, Albert
from albertkit.model.kernels import padded_count
from albertkit.model.packed_linear import FUSED, PackedLinear, pack

DTYPES = {torch.float32: 1e-5, torch.bfloat16: 0.05}
LENGTHS = torch.tensor([40, 3, 22, 9, 41, 30, 1])
pytestmark = pytest.mark.skipif(
    not packed_linear._can_pack(torch.float32), reason="torch packs on x86 alone"
)


def body(**changes: object) -> Albert:
    torch.manual_seed(0)
    settings = {
        "vocab_size": 50,
        "embedding_size": 16,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "max_position_embeddings": 48,
        "initializer_range": 0.3,
    }
    return Albert(AlbertConfig(**{**settings, **changes})).eval()


def close(found: Tensor, wanted: Tensor, dtype: torch.dtype) -> bool:
    """To so many parts of the largest number."""
    same = (
        torch.zeros(0) if not len(wanted) else (found - wanted).float().abs() / wanted.abs().max()
    )
    return found.shape == wanted.shape and bool((same <= DTYPES[dtype]).all())


def test_every_activation_can_be_fused() -> None:
    assert set(FUSED) == set(ACTIVATIONS)


@pytest.mark.parametrize("activation", FUSED)
@pytest.mark.parametrize("dtype", DTYPES)
@torch.inference_mode()
def test_a_packed_map_is_the_map_and_its_activation(activation: str, dtype: torch.dtype) -> None:
    if not packed_linear._can_pack(dtype):
        assert dtype == torch.bfloat16  # the processor has no instructions for it
        return
    torch.manual_seed(0)
    linear = nn.Linear(40, 24).to(dtype)
    packed = PackedLinear(linear, activation)
    for count in (1, 7, 8, 9, 128, 129, 1000):
        x = torch.randn(count, 40).to(dtype)
        wanted = ACTIVATIONS[activation](linear(x).float())
        assert packed(x).dtype == dtype
        assert close(packed(x), wanted, dtype), count


@pytest.mark.parametrize("dtype", DTYPES)
@torch.inference_mode()
def test_a_packed_body_can_be_copied_and_pickled(dtype: torch.dtype) -> None:
    model = body().to(dtype)
    pack(model)
    ids = torch.arange(30)[None]
    wanted = model(ids).hidden
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(ids).hidden, wanted)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"projection_bias": False},
        {"embedding_order": "project_then_norm", "position_width": "hidden"},
        {"norm_order": "pre", "final_norm": True},
        {"layer_norm_kind": "uer", "hidden_act": "gelu_erf"},
        {"ffn_groups": 2},
        {"num_hidden_groups": 3},
    ],
    ids=str,
)
@torch.inference_mode()
def test_a_packed_body_computes_the_same(changes: dict[str, object]) -> None:
    ids = torch.arange(int(LENGTHS.sum())) % 50
    asked = [
        {"ids": ids, "lengths": LENGTHS},
        {"ids": ids, "lengths": LENGTHS, "positions": torch.tensor([5, 145])},
        {"ids": ids, "lengths": LENGTHS, "positions": torch.tensor([], dtype=torch.int64)},
        {"ids": ids, "lengths": LENGTHS, "return_all": True},
        {"ids": ids[:90].view(3, 30), "mask": torch.arange(30) < torch.tensor([[30], [9], [1]])},
        {"ids": ids[:33].view(1, 33)},
        {"ids": ids[:44], "lengths": torch.tensor([11, 11, 11, 11])},
    ]
    model = body(**changes)
    wanted = [model(**one) for one in asked]
    pack(model)
    assert model.few_shapes
    for one, other in zip(asked, wanted, strict=True):
        found = model(**one)
        real = one.get("mask", torch.ones(found.hidden.shape[:-1], dtype=torch.bool))
        assert close(found.hidden[real], other.hidden[real], torch.float32)
        assert close(found.pooled, other.pooled, torch.float32)
        for name in ("hidden_states", "attentions"):
            states = zip(getattr(found, name), getattr(other, name), strict=True)
            assert all(close(*pair, torch.float32) for pair in states), name


@torch.inference_mode()
def test_products_are_of_few_numbers_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each new one would take memory: oneDNN keeps what it compiles. None is padded twice."""
    model, asked, seen = body(), [], []
    pack(model)
    multiply = torch.ops.mkldnn._linear_pointwise
    monkeypatch.setattr(
        torch.ops.mkldnn,
        "_linear_pointwise",
        lambda x, *rest: seen.append(len(x)) or multiply(x, *rest),
    )
    for block in (*model.encoder.attention.modules(), *model.encoder.feed_forward.modules()):
        if isinstance(block, PackedLinear):
            block.register_forward_hook(lambda module, given, _: asked.append(len(given[0])))
    for count in range(1, 49):
        for rows in (1, 4):
            ids = torch.arange(rows * count) % 50
            model(ids, lengths=torch.tensor([count] * rows))
    assert set(seen) == {*range(8, 129, 8), 144, 160, 176, 192}
    assert set(asked) == set(seen)
    for rows in range(1, 49):  # of the last layer the first tokens alone
        none = torch.tensor([], dtype=torch.int64)
        model(torch.arange(rows), lengths=torch.ones(rows, dtype=torch.int64), positions=none)
    assert set(seen) == {*range(8, 129, 8), 144, 160, 176, 192}


def test_the_numbers_of_tokens_are_few_and_not_much_larger() -> None:
    counts = [padded_count(count) for count in range(1, 4097)]
    assert all(0 <= after - before < 64 for before, after in enumerate(counts, 1))
    assert all(after - before < 16 for before, after in enumerate(counts[:512], 1))
    assert all(after - before < 8 for before, after in enumerate(counts[:128], 1))
    assert len(set(counts)) == 96
    assert [padded_count(count) for count in set(counts)] == list(set(counts))


def test_elsewhere_a_body_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    packed_linear._can_pack.cache_clear()
    model = body()
    pack(model)
    packed_linear._can_pack.cache_clear()
    assert not model.few_shapes
    assert not [x for x in model.modules() if isinstance(x, PackedLinear)]
    double = body().double()
    pack(double)
    assert not double.few_shapes
