"""The table of released models against the reference: hand-typed figures of its section 2."""

from __future__ import annotations

import re

import pytest

from albertkit.hub.catalog import all_models, find, near
from albertkit.hub.known import Files, Hub, KnownModel, Nowhere
from albertkit.parameters import count_parameters

MODELS = all_models()

# Table 2.3: body without pooler, body, body with masked-LM head and no pooler, both heads.
ENGLISH = {
    "base": (11_092_992, 11_683_584, 11_221_680, 11_813_810),
    "large": (16_634_368, 17_683_968, 16_795_824, 17_847_474),
    "xlarge": (54_528_512, 58_724_864, 54_821_040, 59_021_490),
    "xxlarge": (205_814_272, 222_595_584, 206_368_944, 223_158_450),
}
CHINESE = {
    "tiny": (3_982_864, 4_080_520, 4_044_312, 4_142_594),
    "small": (4_594_432, 4_742_272, 4_665_096, 4_813_706),
    "base": (9_957_376, 10_547_968, 10_077_192, 10_669_322),
    "large": (15_498_752, 16_548_352, 15_651_336, 16_702_986),
    "xlarge": (53_392_896, 57_589_248, 53_676_552, 57_877_002),
    "xxlarge": (204_678_656, 221_459_968, 205_224_456, 222_013_962),
}
BRIGHTMART = {
    "tiny": (4_077_496, 4_175_152, 4_196_904, 4_295_186),
    "base": (10_286_848, 10_877_440, 10_900_104, 11_492_234),
    "large": (15_960_064, 17_009_664, 17_032_840, 18_084_490),
    "xlarge": (54_381_568, 58_577_920, 58_603_144, 62_803_594),
    "xxlarge": (206_722_048, 223_503_360, 223_532_680, 240_322_186),
}
# Section 2.1 and 2.2: heads, activation, vocabulary.
FACTS = {
    "albert-base-v1": (12, "gelu_tanh", 30000),
    "albert-xlarge-v2": (16, "gelu_tanh", 30000),
    "albert-xxlarge-v2": (64, "gelu_tanh", 30000),
    "albert-chinese-tiny": (12, "gelu_tanh", 21128),
    "albert-chinese-base": (12, "relu", 21128),
    "albert-chinese-xlarge": (16, "relu", 21128),
    "albert-chinese-xxlarge": (16, "relu", 21128),
    "google-albert-xxlarge-zh": (16, "relu", 21128),
    "brightmart-base-36k": (12, "gelu_tanh", 21128),
    "brightmart-xlarge-177k": (32, "gelu_tanh", 21128),
    "brightmart-small-google": (12, "gelu_tanh", 21128),
    "uer/albert-large-chinese-cluecorpussmall": (16, "relu", 21128),
    "voidful/albert_chinese_xxlarge": (16, "relu", 21128),
    "clue/albert_chinese_small": (12, "gelu_tanh", 21128),
}


def expected_counts(model: KnownModel) -> tuple[int, int, int, int] | None:
    """The row of table 2.3 that a model belongs to; None if the table has none."""
    size = re.search(r"tiny|small|base|xxlarge|xlarge|large", model.name)
    assert size is not None
    if model.layout == "google_fast" or model.family == "uer":
        return None
    if model.language == "English":
        return ENGLISH[size[0]]
    return (BRIGHTMART if model.layout == "brightmart" else CHINESE)[size[0]]


@pytest.mark.parametrize("name", [x for x, model in MODELS.items() if expected_counts(model)])
def test_parameters_are_those_of_the_reference(name: str) -> None:
    model = MODELS[name]
    config = model.config
    assert (
        count_parameters(config, pooler=False),
        model.parameters,
        count_parameters(config, pooler=False, masked_lm=True),
        count_parameters(config, masked_lm=True, sentence_order=True),
    ) == expected_counts(model)


def test_the_rows_that_the_reference_lacks_are_four() -> None:
    missing = [name for name, model in MODELS.items() if expected_counts(model) is None]
    assert missing == [
        "brightmart-base-google-fast",
        "brightmart-tiny-google-fast",
        "uer-xlarge",
        "uer-xxlarge",
    ]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("google-albert-base-v2", 47_255_248),
        ("google-albert-large-v1", 71_389_904),
        ("google-albert-base-zh", 42_677_296),
        ("brightmart-tiny", 17_180_744),
        ("brightmart-large", 72_337_960),
    ],
)
def test_bytes_in_files_are_those_of_genuine_index_files(name: str, size: int) -> None:
    """Data sizes of released checkpoints; eight bytes more where they keep global_step."""
    count = MODELS[name].parameters_in_file
    assert count is not None
    assert size - count * 4 in (0, 8)


@pytest.mark.parametrize(("name", "width"), [("albert-base-v1", 768), ("albert-xxlarge-v2", 4096)])
def test_english_files_of_the_hub_lack_the_sentence_order_head(name: str, width: int) -> None:
    whole = ENGLISH[name.split("-")[1]][3]
    assert MODELS[name].parameters_in_file == whole - (2 * width + 2)


def test_sizes_of_hub_files() -> None:
    """As shown on the hub: MB of xxlarge-v2 and xlarge-v2 (no sentence-order head), of uer base."""
    shown = {
        "albert-xxlarge-v2": 893,
        "albert-xlarge-v2": 236,
        "uer/albert-base-chinese-cluecorpussmall": 43,
    }
    for name, megabytes in shown.items():
        count = MODELS[name].parameters_in_file
        assert count is not None
        assert round(count * 4 / 1e6) == megabytes


@pytest.mark.parametrize("name", FACTS)
def test_heads_activation_and_vocabulary(name: str) -> None:
    config = MODELS[name].config
    assert (config.num_attention_heads, config.hidden_act, config.vocab_size) == FACTS[name]


def test_every_name_of_the_reference_is_there() -> None:
    english = [f"albert-{s}-{v}" for s in ENGLISH for v in ("v1", "v2")]
    archives = [f"albert_{s}_{v}.tar.gz" for s in ENGLISH for v in ("v1", "v2", "zh")]
    paddle = [f"albert-chinese-{s}" for s in CHINESE]
    brightmart = ["albert_tiny", "tiny_489k", "brightmart-base", "base_additional_36k"]
    brightmart += ["brightmart-large", "albert_xlarge_zh_177k", "albert_xlarge_zh_183k"]
    brightmart += ["tiny_google", "small_google", "brightmart-xxlarge"]
    hub = [f"uer/albert-{s}-chinese-cluecorpussmall" for s in ("base", "large")]
    hub += [f"voidful/albert_chinese_{s}" for s in CHINESE]
    hub += [f"clue/albert_chinese_{s}" for s in ("tiny", "small")]
    for name in (*english, *archives, *paddle, *brightmart, *hub):
        assert find(name) is not None, name


def test_names_and_aliases_are_unique() -> None:
    names = [x for model in MODELS.values() for x in (model.name, *model.aliases)]
    assert len(names) == len(set(names))
    for model in MODELS.values():
        assert all(find(x) is model or find(x) == model for x in (model.name, *model.aliases))


def test_a_name_that_two_archives_share_is_nobodys_and_both_are_named() -> None:
    assert find("albert_base_zh") is None
    assert near("albert_base_zh")[:2] == ["google-albert-base-zh", "brightmart-base"]
    assert near("albert-bass-v2")[0] == "albert-base-v2"
    assert near("zzzzzz") == []


def test_every_address_is_whole_and_nobodys_else() -> None:
    seen = set()
    for model in MODELS.values():
        source = model.source
        if isinstance(source, Nowhere):
            assert source.reason
            assert model.addresses == ()
        elif isinstance(source, Hub):
            assert re.fullmatch(r"[\w-]+/[\w-]+", source.repository)
        elif isinstance(source, Files):
            assert all(url.startswith("https://") for url in source.addresses.values())
        assert not seen & set(model.addresses), model.name
        seen |= set(model.addresses)


def test_nothing_is_said_to_be_tried_that_was_not() -> None:
    assert not any(model.tried_live for model in MODELS.values())


def test_every_model_says_what_is_needed_to_use_it() -> None:
    for model in MODELS.values():
        assert model.quirks, model.name
        assert model.licence
        assert all(score.source for score in model.scores)
        if not isinstance(model.source, Nowhere):
            assert any("lower-cased" in quirk for quirk in model.quirks), model.name


def test_families_are_those_that_exist() -> None:
    known = {model.family for model in MODELS.values()}
    assert known == {"huggingface", "google_tf", "brightmart_tf", "paddlenlp", "uer"}


@pytest.mark.parametrize(
    ("name", "task", "value"),
    [
        ("albert-base-v2", "MNLI", "84.6"),
        ("google-albert-xxlarge-v1", "SQuAD 2.0", "90.2/87.4"),
        ("google-albert-large-zh", "AFQMC", "74"),
        ("google-albert-xxlarge-zh", "C3", "73.28"),
        ("brightmart-tiny", "LCQMC test", "85.4"),
        ("brightmart-base-36k", "LCQMC dev/test", "87.8/86.3"),
        ("brightmart-large", "XNLI dev/test", "78.0/77.5"),
    ],
)
def test_scores_are_those_that_were_printed(name: str, task: str, value: str) -> None:
    assert [s.value for s in MODELS[name].scores if s.task == task] == [value]
