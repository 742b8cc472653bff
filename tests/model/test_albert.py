"""The body: dropout, layouts, requests it must refuse, initial values."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from torch import nn

from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError
from albertkit.model import kernels
from albertkit.model.albert import Albert, Attention, FeedForward, GroupedLinear, UerLayerNorm
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.packing import Layout

SMALL = {
    "vocab_size": 50,
    "embedding_size": 16,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "max_position_embeddings": 12,
}
IDS = torch.arange(20).view(2, 10)


def body(**changes: object) -> Albert:
    torch.manual_seed(0)
    return Albert(AlbertConfig(**{**SMALL, "initializer_range": 0.3, **changes}))


def test_dropout_stands_where_google_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # Once on the embeddings, then in each of 3 layers after attention and after the feed-forward.
    model = body(hidden_dropout_prob=0.5).train()
    places = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(
                lambda m, inputs, output, name=name: places.append((name, inputs[0], output))
            )
    model(IDS)
    names = [name for name, _, _ in places]
    layer = ["encoder.attention.0.0.dropout", "encoder.feed_forward.0.0.dropout"]
    assert names == ["embeddings.dropout", *layer * 3]
    for name, before, after in places:
        kept = after != 0
        assert torch.allclose(after[kept], 2 * before[kept]), name
        assert 0.3 < kept.float().mean() < 0.7, name


def test_feed_forward_dropout_changes_the_output_of_the_block() -> None:
    model = body(hidden_dropout_prob=0.5)
    block = model.encoder.feed_forward["0"][0]
    x = torch.randn(6, 32)
    still = block.eval()(x)
    torch.manual_seed(3)
    moved = block.train()(x)
    torch.manual_seed(3)
    inner = block.down(block.activation(block.up(x)))
    by_hand = block.norm(x + torch.dropout(inner, 0.5, train=True))
    assert torch.allclose(moved, by_hand, atol=1e-6)
    assert not torch.allclose(moved, still)


def test_attention_dropout_drops_probabilities_only_in_training() -> None:
    model = body(attention_probs_dropout_prob=0.5)
    model.eval()
    weights = model(IDS, return_all=True).attentions[0]
    assert torch.allclose(weights.sum(-1), torch.ones(2, 4, 10))
    model.train()
    weights = model(IDS, return_all=True).attentions[0]
    assert 0.3 < (weights == 0).float().mean() < 0.7
    torch.manual_seed(1)
    one = model(IDS).hidden
    torch.manual_seed(2)
    assert not torch.allclose(one, model(IDS).hidden)


def test_asking_for_all_states_does_not_change_the_result() -> None:
    model = body(inner_group_num=2, num_hidden_groups=2).eval()
    mask = torch.rand(2, 10) > 0.3
    plain, full = model(IDS, mask=mask), model(IDS, mask=mask, return_all=True)
    assert torch.allclose(plain.hidden, full.hidden, atol=1e-5)
    assert len(full.hidden_states) == 1 + 3 * 2
    assert len(full.attentions) == 3 * 2
    assert full.attentions[0].shape == (2, 4, 10, 10)
    assert float(full.attentions[0].detach()[~mask[:, None, None].expand(2, 4, 10, 10)].max()) == 0
    assert torch.equal(full.hidden_states[-1], full.hidden)


def test_all_forms_of_one_batch_give_one_result() -> None:
    model = body().eval()
    lengths = torch.tensor([10, 4])
    real = torch.arange(10) < lengths[:, None]
    by_mask = model(IDS, mask=real)
    by_lengths = model(IDS, lengths=lengths)
    packed = model(IDS[real], lengths=lengths)
    alone = model(IDS[1:, :4])
    assert torch.equal(by_mask.hidden, by_lengths.hidden)
    assert torch.allclose(by_mask.hidden[real], packed.hidden, atol=1e-5)
    assert torch.allclose(packed.hidden[10:], alone.hidden[0], atol=1e-5)
    assert torch.allclose(packed.pooled[1], alone.pooled[0], atol=1e-5)
    full = model(IDS.flatten(), lengths=torch.tensor([10, 10]), return_all=True)
    assert torch.allclose(full.hidden, model(IDS).hidden.flatten(0, 1), atol=1e-5)
    assert full.hidden_states[0].shape == (20, 32)
    assert full.attentions[0].shape == (2, 4, 10, 10)


def test_types_left_out_are_segment_zero() -> None:
    model = body().eval()
    assert torch.equal(model(IDS).hidden, model(IDS, torch.zeros_like(IDS)).hidden)
    assert not torch.allclose(model(IDS).hidden, model(IDS, torch.ones_like(IDS)).hidden)


def test_gradients_flow_alike_through_packed_and_padded_rows() -> None:
    model = body()
    lengths = torch.tensor([10, 4])
    real = torch.arange(10) < lengths[:, None]
    model(IDS, lengths=lengths).hidden[real].square().sum().backward()
    padded = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model(IDS[real], lengths=lengths).hidden.square().sum().backward()
    for name, gradient in padded.items():
        found = dict(model.named_parameters())[name].grad
        assert torch.allclose(found, gradient, atol=1e-3, rtol=1e-4), name


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        (torch.zeros(1, 13, dtype=torch.long), {}, "at most max_position_embeddings=12"),
        (torch.full((1, 3), 50), {}, "0 to 49"),
        (torch.full((1, 3), -1), {}, "found: -1"),
        (torch.zeros(0, 3, dtype=torch.long), {}, "nothing to encode"),
        (torch.zeros(2, 0, dtype=torch.long), {}, "nothing to encode"),
        (torch.zeros(1, 1, 3, dtype=torch.long), {}, "nothing to encode"),
        (IDS, {"segment_ids": torch.full((2, 10), 2)}, "no row for this segment"),
        (
            IDS,
            {"segment_ids": torch.zeros(2, 9, dtype=torch.long)},
            "segment_ids must have the shape",
        ),
        (IDS, {"mask": torch.ones(2, 9, dtype=torch.bool)}, "mask does not fit"),
        (IDS, {"mask": torch.ones(2, 10)}, "mask does not fit"),
        (IDS, {"lengths": torch.tensor([3])}, "one length for each of 2 rows"),
        (IDS, {"lengths": torch.tensor([3, 11])}, "impossible length"),
        (IDS, {"lengths": torch.tensor([0, 3])}, "impossible length"),
        (IDS, {"lengths": torch.tensor([3, 3]), "mask": IDS > 1}, "same thing twice"),
        (IDS.flatten(), {}, "packed batch"),
        (IDS.flatten(), {"lengths": torch.tensor([10, 9])}, "do not add up"),
        (IDS.flatten(), {"lengths": torch.tensor([20])}, "max_position_embeddings"),
    ],
)
def test_a_batch_the_model_has_no_room_for_is_refused(
    ids: torch.Tensor, options: dict[str, torch.Tensor], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        body()(ids, **options)


def test_initial_values_are_googles() -> None:
    config = AlbertConfig(vocab_size=3000, initializer_range=0.02)
    for name, parameter in AlbertForPretraining(config).state_dict().items():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif parameter.ndim == 1:
            assert torch.all(parameter == 1), name
        else:
            # A normal cut at two deviations keeps 0.8796 of its deviation.
            assert float(parameter.abs().max()) <= 0.04, name
            if parameter.numel() > 20000:
                assert abs(float(parameter.std()) / (0.02 * 0.8796) - 1) < 0.03, name


def test_uer_normalisation_is_its_formula() -> None:
    # Values 1, 2, 3, 6: mean 3, sum of squares about it 14, deviation of n - 1 sqrt(14 / 3).
    norm = UerLayerNorm(4, eps=0.5)
    found = norm(torch.tensor([[1.0, 2.0, 3.0, 6.0]]))
    deviation = math.sqrt(14 / 3) + 0.5
    expected = torch.tensor([[-2.0, -1.0, 0.0, 3.0]]) / deviation
    assert torch.allclose(found, expected)


def test_grouped_linear_interleaves_its_input_and_joins_its_output() -> None:
    # 2 groups of 2 features: group 0 sums features 0 and 2, group 1 takes feature 3 only.
    layer = GroupedLinear(4, 4, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[1.0, 1.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 10.0]]]))
        layer.bias.copy_(torch.tensor([0.0, 0.5, 0.0, 0.0]))
    found = layer(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    assert found.tolist() == [[4.0, 0.5, 4.0, 40.0]]


def test_layers_share_what_the_config_says() -> None:
    def blocks(share: str) -> tuple[int, int]:
        encoder = body(share=share).encoder
        return len(encoder.attention), len(encoder.feed_forward)

    assert [blocks(share) for share in ("all", "attention", "ffn", "none")] == [
        (1, 1),
        (1, 3),
        (3, 1),
        (3, 3),
    ]


def test_masked_words_are_judged_only_where_asked() -> None:
    model = AlbertForPretraining(AlbertConfig(**SMALL)).eval()
    output = model(IDS, target_positions=torch.tensor([3, 12]))
    everywhere = model(IDS, target_positions=torch.arange(20))
    assert output.mlm_logits.shape == (2, 50)
    assert torch.allclose(output.mlm_logits, everywhere.mlm_logits[[3, 12]], atol=1e-6)
    none = model(IDS, target_positions=torch.tensor([], dtype=torch.long))
    assert none.mlm_logits.shape == (0, 50)


def test_a_row_without_any_token_to_look_at_gives_numbers() -> None:
    # Batches of a fixed number of rows are filled up with such rows.
    model = body().eval()
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[1] = False
    for return_all in (False, True):
        tokens = model(IDS, mask=mask, return_all=return_all).hidden
        assert torch.isfinite(tokens).all()
        assert torch.allclose(tokens[0], model(IDS).hidden[0], atol=1e-5)


def test_rows_of_many_lengths_are_padded_in_parts_and_are_those_of_each_row_by_itself() -> None:
    model = body(max_position_embeddings=48).eval()
    ids, lengths = many_lengths()
    rows = ids.split(lengths.tolist())
    layout = Layout.of(model.config, ids, None, None, lengths)
    assert sorted(torch.cat([part.tokens for part in layout.parts]).tolist()) == [*range(len(ids))]
    # Up to 9 tokens, then from 2 ** (k / 2 - 1/4) to 2 ** (k / 2 + 1/4): 19 to 26, 27 to 38, to 53.
    assert [part.layout.max_length for part in layout.parts] == [9, 22, 30, 41]
    found = []
    for tokens in (
        model(ids, lengths=lengths).hidden,
        torch.cat([model(x[None]).hidden[0] for x in rows]),
    ):
        model.zero_grad()
        tokens.square().sum().backward()
        found.append([tokens, *(p.grad for p in model.parameters() if p.grad is not None)])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"layer_norm_kind": "uer"}], ids=str)
def test_padding_to_a_multiple_changes_nothing(
    changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = body(max_position_embeddings=48, **changes)
    ids, lengths = many_lengths()
    found = []
    for padded in (False, True):
        monkeypatch.setattr(kernels, "computes_in_bfloat16", lambda weight, yes=padded: yes)
        model.zero_grad()
        some = model(ids, lengths=lengths, positions=torch.tensor([5, 145]))
        every = model(ids, lengths=lengths)
        tokens = torch.cat([some.hidden, some.pooled, every.hidden, every.pooled])
        tokens.square().sum().backward()
        found.append([tokens, *(p.grad for p in model.parameters() if p.grad is not None)])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-3, rtol=1e-4)


def test_bfloat16_sees_products_of_few_sizes_and_attends_to_short_rows_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = body(max_position_embeddings=80)
    ids, lengths = many_lengths()  # 146 tokens
    ids, lengths = torch.cat([ids, ids[:70]]), torch.cat([lengths, torch.tensor([70])])
    sizes, kinds = [], set()
    model.encoder.feed_forward["0"][0].up.register_forward_hook(
        lambda module, given, found: sizes.append(len(given[0]))
    )
    mixed = Attention.mix
    monkeypatch.setattr(
        Attention,
        "mix",
        lambda self, query, *rest: (
            kinds.add((query.shape[2], query.dtype)) or mixed(self, query, *rest)
        ),
    )
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model(ids, lengths=lengths).hidden
        hidden.float().square().sum().backward()
    assert hidden.shape == (216, 32)
    assert sizes == [224] * 3  # the next multiple of 16
    short = {(length, torch.float32) for length in (9, 22, 30, 41)}
    assert kinds == short | {(70, torch.bfloat16)}
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
    full = model(ids, lengths=lengths).hidden
    assert sizes[3:] == [216] * 3
    assert (hidden - full).norm() < 0.02 * full.norm()


def many_lengths() -> tuple[torch.Tensor, torch.Tensor]:
    """Packed ids of rows that attention pads in several parts, and their lengths."""
    lengths = torch.tensor([40, 3, 22, 9, 41, 30, 1])
    return torch.arange(int(lengths.sum())) % 50, lengths


def test_attention_written_out_is_the_fused_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = torch.tensor([10, 4])
    real = torch.arange(10) < lengths[:, None]
    found = []
    for written_out in (True, False):
        monkeypatch.setattr(kernels, "is_faster_written_out", lambda query, yes=written_out: yes)
        model = body()
        tokens = model(IDS[real], lengths=lengths).hidden
        tokens.square().sum().backward()
        found.append([tokens, *(p.grad for p in model.parameters() if p.grad is not None)])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-3, rtol=1e-4)


def test_attention_is_written_out_where_torch_is_slow() -> None:
    query = torch.zeros(1, 1, 256, 8, dtype=torch.bfloat16)
    assert kernels.is_faster_written_out(query)
    assert not kernels.is_faster_written_out(query.float())
    assert not kernels.is_faster_written_out(torch.zeros(1, 1, 257, 8, dtype=torch.bfloat16))
    with torch.no_grad():
        assert not kernels.is_faster_written_out(query)


@pytest.mark.parametrize("changes", [{}, {"ffn_groups": 16}, {"layer_norm_kind": "uer"}], ids=str)
def test_half_precision_runs_packed_and_padded(changes: dict[str, object]) -> None:
    model = AlbertForPretraining(AlbertConfig(**{**SMALL, **changes}))
    lengths = torch.tensor([10, 4])
    real = torch.arange(10) < lengths[:, None]
    targets = torch.tensor([1, 11])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        padded = model(IDS, lengths=lengths, target_positions=targets)
        packed = model(IDS[real], lengths=lengths, target_positions=targets)
    full = model(IDS, lengths=lengths, target_positions=targets)
    for found in (padded, packed):
        assert torch.allclose(found.mlm_logits.float(), full.mlm_logits, atol=0.05)
        assert torch.allclose(found.sop_logits.float(), full.sop_logits, atol=0.05)


@pytest.mark.parametrize("act", ["gelu_tanh", "linear"])
def test_a_model_can_be_pickled(act: str) -> None:
    model = AlbertForPretraining(AlbertConfig(**{**SMALL, "hidden_act": act})).eval()
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again.albert(IDS).hidden, model.albert(IDS).hidden)


def test_the_model_is_one_graph_for_a_compiler() -> None:
    model = body().eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    lengths = torch.tensor([10, 4])
    found = compiled(IDS, lengths=lengths).hidden
    assert torch.allclose(found, model(IDS, lengths=lengths).hidden, atol=1e-5)


def test_the_last_layer_computes_the_needed_tokens_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same vectors and gradients as of all tokens, from fewer rows of the feed-forward."""
    model = body(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    ids, lengths, needed = torch.arange(17), torch.tensor([7, 10]), torch.tensor([9, 3, 16])
    rows: list[int] = []
    original = FeedForward.forward

    def counted(self: FeedForward, x: torch.Tensor) -> torch.Tensor:
        rows.append(len(x))
        return original(self, x)

    monkeypatch.setattr(FeedForward, "forward", counted)
    found, gradients = [], []
    for positions in (None, needed):
        output = model(ids, lengths=lengths, positions=positions)
        hidden = output.hidden if positions is not None else output.hidden[needed]
        model.zero_grad()
        (hidden.square().sum() + output.pooled.sum()).backward()
        found.append((hidden, output.pooled))
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(gradients[0], gradients[1])
    assert rows == [17, 17, 17, 17, 17, 5]
    with pytest.raises(ConfigError, match="positions"):
        model(ids, lengths=lengths, positions=needed, return_all=True)
