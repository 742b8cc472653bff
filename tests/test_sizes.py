"""Named sizes: exact parameter counts, by formula and by building the modules."""

from __future__ import annotations

import pytest
import torch

from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError
from albertkit.model.albert import Albert
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.task_heads import AlbertForTask
from albertkit.parameters import count_parameters, memory_to_run, memory_to_train
from albertkit.sizes import SIZES, size
from albertkit.tasks.head import TaskHead

# encoder, with pooler, masked-LM model (no pooler), full pretraining model. Sources: the sizes of
# the data files of released checkpoints (bytes / 4), and arithmetic from the tensor shapes.
ENGLISH = {
    "base": (11_092_992, 11_683_584, 11_221_680, 11_813_810),
    "large": (16_634_368, 17_683_968, 16_795_824, 17_847_474),
    "xlarge": (54_528_512, 58_724_864, 54_821_040, 59_021_490),
    "xxlarge": (205_814_272, 222_595_584, 206_368_944, 223_158_450),
}
COUNTS = {
    **{f"albert-{name}-v1": counts for name, counts in ENGLISH.items()},
    **{f"albert-{name}-v2": counts for name, counts in ENGLISH.items()},
    "albert-chinese-tiny": (3_982_864, 4_080_520, 4_044_312, 4_142_594),
    "albert-chinese-small": (4_594_432, 4_742_272, 4_665_096, 4_813_706),
    "albert-chinese-base": (9_957_376, 10_547_968, 10_077_192, 10_669_322),
    "albert-chinese-large": (15_498_752, 16_548_352, 15_651_336, 16_702_986),
    "albert-chinese-xlarge": (53_392_896, 57_589_248, 53_676_552, 57_877_002),
    "albert-chinese-xxlarge": (204_678_656, 221_459_968, 205_224_456, 222_013_962),
    "brightmart-tiny": (4_077_496, 4_175_152, 4_196_904, 4_295_186),
    "brightmart-base": (10_286_848, 10_877_440, 10_900_104, 11_492_234),
    "brightmart-large": (15_960_064, 17_009_664, 17_032_840, 18_084_490),
    "brightmart-xlarge": (54_381_568, 58_577_920, 58_603_144, 62_803_594),
    "brightmart-xxlarge": (206_722_048, 223_503_360, 223_532_680, 240_322_186),
    "uer-base": (None, None, None, 10_669_450),
    "uer-large": (None, None, None, 16_703_114),
}
COLUMNS = (
    {"pooler": False},
    {},
    {"pooler": False, "masked_lm": True},
    {"masked_lm": True, "sentence_order": True},
)


def built(module: torch.nn.Module) -> int:
    """Parameters of a module, each once."""
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", COUNTS)
def test_each_size_has_its_exact_count(name: str) -> None:
    for options, expected in zip(COLUMNS, COUNTS[name], strict=True):
        if expected is not None:
            assert count_parameters(size(name), **options) == expected, options


@pytest.mark.parametrize("name", COUNTS)
def test_each_size_has_its_exact_count_when_built(name: str) -> None:
    config = size(name)
    with torch.device("meta"):
        modules = (
            Albert(config, pooler=False),
            Albert(config),
            AlbertForPretraining(config, sentence_order=False, pooler=False),
            AlbertForPretraining(config),
        )
    for module, options, expected in zip(modules, COLUMNS, COUNTS[name], strict=True):
        assert built(module) == (expected or count_parameters(config, **options))


@pytest.mark.parametrize(
    ("name", "expected"), [("uer-base", 13_373_834), ("uer-large", 19_407_498)]
)
def test_an_untied_decoder_adds_a_second_word_table(name: str, expected: int) -> None:
    options = {"masked_lm": True, "sentence_order": True, "tied": False}
    assert count_parameters(size(name), **options) == expected


def test_every_size_is_counted_here() -> None:
    assert set(COUNTS) == set(SIZES)


def by_formula(c: AlbertConfig) -> int:
    """Parameters of a body with its pooler, by arithmetic instead of from its tensors."""
    wide = c.hidden_size
    width = wide if c.position_width == "hidden" else c.embedding_size
    embeddings = c.vocab_size * c.embedding_size
    embeddings += (c.max_position_embeddings + c.type_vocab_size + 2) * width
    projection = c.has_projection * (c.embedding_size + c.projection_bias) * wide
    attention = 4 * (wide**2 + wide) + 2 * wide
    feed_forward = 2 * wide * c.intermediate_size // c.ffn_groups + c.intermediate_size + 3 * wide
    blocks = len(c.attention_blocks) * attention + len(c.feed_forward_blocks) * feed_forward
    pooler = wide**2 + wide
    norm = 2 * wide * c.final_norm
    return embeddings + projection + c.inner_group_num * blocks + norm + pooler


@pytest.mark.parametrize(
    "changes",
    [
        {"share": "none"},
        {"share": "attention"},
        {"share": "ffn", "inner_group_num": 2},
        {"num_hidden_groups": 3},
        {"num_hidden_layers": 22, "num_hidden_groups": 22},
        {"num_hidden_layers": 4, "num_hidden_groups": 12},
        {"ffn_groups": 16},
        {"embedding_size": 64},
        {"embedding_size": 64, "project_equal_width": True},
        {"embedding_size": 64, "embedding_order": "project_then_norm", "position_width": "hidden"},
        {"norm_order": "pre", "projection_bias": False, "layer_norm_kind": "uer"},
        {"norm_order": "pre", "final_norm": True, "tied_decoder": False},
    ],
    ids=str,
)
def test_every_variant_has_the_count_of_the_formula_and_of_its_modules(
    changes: dict[str, object],
) -> None:
    small = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128}
    config = AlbertConfig(**{**small, "embedding_size": 16, "vocab_size": 50, **changes})
    assert built(Albert(config)) == count_parameters(config) == by_formula(config)
    both = {"masked_lm": True, "sentence_order": True}
    assert built(AlbertForPretraining(config)) == count_parameters(config, **both)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        # H = 64: C (H + 1); and for the beam 2 (2 H H + H) + 2 H + 2 (H + 1) + H by hand.
        (TaskHead("classification", 3), 195),
        (TaskHead("token_classification", 5), 325),
        (TaskHead("span", 2), 130),
        (TaskHead("beam_span", 2), 16_834),
    ],
    ids=lambda x: getattr(x, "kind", ""),
)
def test_a_head_adds_what_it_builds(head: TaskHead, expected: int) -> None:
    config = AlbertConfig(
        hidden_size=64,
        num_attention_heads=4,
        intermediate_size=128,
        embedding_size=16,
        vocab_size=50,
    )
    assert count_parameters(config, head=head) - count_parameters(config) == expected
    assert built(AlbertForTask(config, head)) == count_parameters(config, head=head)


def test_sharing_by_halves_costs_what_the_paper_says() -> None:
    # Lan et al. 2019, table 4, E = 128: 12M, 64M, 38M, 89M parameters.
    base = {"vocab_size": 30000, "embedding_size": 128}
    counts = {
        share: count_parameters(AlbertConfig(**base, share=share)) / 1e6
        for share in ("all", "attention", "ffn", "none")
    }
    expected = {"all": 12, "attention": 64, "ffn": 38, "none": 89}
    assert all(abs(counts[share] - expected[share]) <= 1 for share in expected), counts


def test_an_unknown_size_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="albert-base-v2"):
        size("albert-base-v3")


def test_memory_to_train_is_what_a_backward_pass_really_keeps() -> None:
    config = AlbertConfig(
        vocab_size=2000,
        hidden_size=128,
        num_attention_heads=4,
        intermediate_size=512,
        num_hidden_layers=6,
    )
    rows, columns, targets = 8, 64, 8
    model = AlbertForPretraining(config)
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}
    held = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            held.append(tensor)  # alive, so that no address is used twice
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(0, 2000, (rows, columns))
    positions = torch.arange(rows * targets)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(ids, target_positions=positions)
        torch.nn.functional.cross_entropy(output.mlm_logits, positions).backward()
    estimate = memory_to_train(config, batch=rows, tokens=columns, targets_per_row=targets)
    measured = sum(kept.values())
    assert measured / 1.5 < estimate.activations < measured * 1.5, (measured, estimate)
    parameters = 4 * built(model)
    assert estimate.weights == estimate.gradients == parameters
    assert estimate.optimizer == 2 * parameters
    assert estimate.total == 4 * parameters + estimate.activations


def test_memory_to_run_needs_no_more_for_more_layers() -> None:
    shallow = memory_to_run(AlbertConfig(num_hidden_layers=2), batch=4, tokens=128)
    deep = memory_to_run(AlbertConfig(num_hidden_layers=24), batch=4, tokens=128)
    assert shallow == deep
    # Base, 4 x 128 tokens: 512 * (4 * 768 + 2 * 3072) values of 4 bytes.
    assert deep.activations == 512 * 9216 * 4
