"""Configs: every dialect of the originals is read exactly, everything else is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albertkit.checkpoint.families._configs import read, read_file
from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError
from albertkit.sizes import SIZES

GOOGLE = {
    "attention_probs_dropout_prob": 0,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0,
    "embedding_size": 128,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "num_hidden_groups": 1,
    "net_structure_type": 0,
    "gap_size": 0,
    "num_memory_blocks": 0,
    "inner_group_num": 1,
    "down_scale_factor": 1,
    "type_vocab_size": 2,
    "vocab_size": 30000,
}
DEAD = ("net_structure_type", "gap_size", "num_memory_blocks", "down_scale_factor")
UNMARKED = {name: value for name, value in GOOGLE.items() if name not in DEAD}
HUGGINGFACE = {**UNMARKED, "model_type": "albert", "layer_norm_eps": 1e-12}


def test_googles_file_of_albert_base_v2_is_the_default() -> None:
    found = read(GOOGLE)
    assert found.config == AlbertConfig() == SIZES["albert-base-v2"]
    assert found.dialect == "google"
    assert set(found.ignored) == set(DEAD)


@pytest.mark.parametrize(
    ("dialect", "word", "meaning"),
    [
        ("google", "gelu", "gelu_tanh"),
        ("brightmart", "gelu", "gelu_tanh"),
        ("google_fast", "gelu", "gelu_tanh"),
        ("google_fast", "swish", "silu"),
        ("huggingface", "gelu", "gelu_erf"),
        ("huggingface", "gelu_new", "gelu_tanh"),
        ("huggingface", "gelu_fast", "gelu_tanh"),
        ("huggingface", "gelu_pytorch_tanh", "gelu_tanh"),
        ("huggingface", "silu", "silu"),
        ("huggingface", "swish", "silu"),
        ("paddle", "gelu", "gelu_erf"),
        ("paddle", "relu", "relu"),
        ("google", "tanh", "tanh"),
        ("google", "linear", "linear"),
    ],
)
def test_an_activation_means_what_its_family_means(dialect: str, word: str, meaning: str) -> None:
    config = AlbertConfig.from_json({**UNMARKED, "hidden_act": word}, dialect=dialect)
    assert config.hidden_act == meaning


def test_gelu_in_a_file_of_nobody_asks_whose_it_is() -> None:
    with pytest.raises(ConfigError, match="tanh formula for google, erf for Hugging Face"):
        AlbertConfig.from_json(UNMARKED)
    same_width = {**UNMARKED, "hidden_act": "relu", "embedding_size": 768}
    with pytest.raises(ConfigError, match="no projection"):
        AlbertConfig.from_json(same_width)
    assert AlbertConfig.from_json({**UNMARKED, "hidden_act": "relu"}).hidden_act == "relu"


@pytest.mark.parametrize(
    ("marks", "dialect"),
    [
        ({"model_type": "albert"}, "huggingface"),
        ({"architectures": ["AlbertModel"], "net_structure_type": 0}, "huggingface"),
        ({"layer_norm_eps": 1e-12, "pruned_heads": {}}, "huggingface"),
        ({"model_type": "albert", "paddlenlp_version": None}, "paddle"),
        ({"ln_type": "preln", "directionality": "bidi"}, "brightmart"),
        ({"layers_to_keep": []}, "google"),
    ],
)
def test_the_dialect_is_recognised_by_the_keys(marks: dict[str, object], dialect: str) -> None:
    assert read({**UNMARKED, **marks}).dialect == dialect


def test_albert_zh_s_own_layout_is_spelled_out() -> None:
    config = AlbertConfig.from_json({**UNMARKED, "ln_type": "preln", "pooler_fc_size": 1024})
    assert config == replace(
        AlbertConfig(),
        norm_order="pre",
        embedding_order="project_then_norm",
        position_width="hidden",
        projection_bias=False,
    )
    equal = {**UNMARKED, "embedding_size": 768, "ln_type": "postln"}
    assert AlbertConfig.from_json(equal).has_projection
    with pytest.raises(ConfigError, match="postln or preln"):
        AlbertConfig.from_json({**UNMARKED, "ln_type": "sandwich"})


def test_google_makes_no_projection_at_equal_width_and_transformers_does() -> None:
    equal = {**UNMARKED, "embedding_size": 768}
    assert not AlbertConfig.from_json(equal, dialect="google").has_projection
    assert AlbertConfig.from_json(equal, dialect="huggingface").has_projection


def test_old_paddle_files_hold_the_body_in_init_args() -> None:
    body = {**UNMARKED, "init_class": "AlbertModel", "bos_token_id": 2}
    nested = {"init_args": [body], "init_class": "AlbertForPretraining", "num_classes": 2}
    found = read(nested)
    assert found.dialect == "paddle"
    assert found.config.head_layer_norm_eps == 1e-5  # the framework's default
    assert found.config.layer_norm_eps == 1e-12
    for bad in ([], [3], None, [[body]], [{1: 2}]):
        with pytest.raises(ConfigError):
            AlbertConfig.from_json({**nested, "init_args": bad})


def test_uer_files_need_the_vocabulary_size_from_elsewhere() -> None:
    values = {
        "emb_size": 128,
        "feedforward_size": 3072,
        "hidden_size": 768,
        "hidden_act": "relu",
        "heads_num": 12,
        "layers_num": 12,
        "max_seq_length": 512,
        "dropout": 0.0,
        "data_processor": "albert",
        "embedding": ["word", "pos", "seg"],
        "encoder": "transformer",
        "mask": "fully_visible",
        "factorized_embedding_parameterization": True,
        "parameter_sharing": True,
        "target": ["mlm", "sp"],
    }
    assert AlbertConfig.from_json(values, vocab_size=21128) == SIZES["uer-base"]
    with pytest.raises(ConfigError, match="pass vocab_size"):
        AlbertConfig.from_json(values)
    with pytest.raises(ConfigError, match="parameter_sharing"):
        AlbertConfig.from_json({**values, "parameter_sharing": False}, vocab_size=9)


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("num_hidden_layer", "num_hidden_layers"),
        ("hiden_size", "hidden_size"),
        ("netstructure_type", "net_structure_type"),
    ],
)
def test_an_unknown_key_names_the_nearest(key: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"perhaps '{near}'"):
        AlbertConfig.from_json({**GOOGLE, key: 1})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position_embedding_type", "relative_key"),
        ("pruned_heads", {"0": [1]}),
        ("is_decoder", True),
    ],
)
def test_a_key_that_would_change_the_model_is_not_ignored(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        AlbertConfig.from_json({**HUGGINGFACE, key: value})


def test_a_bert_config_is_refused_as_bert() -> None:
    values = {name: value for name, value in GOOGLE.items() if name != "embedding_size"}
    with pytest.raises(ConfigError, match="as in BERT"):
        AlbertConfig.from_json(values)
    with pytest.raises(ConfigError, match="'bert'"):
        AlbertConfig.from_json({**HUGGINGFACE, "model_type": "bert"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": 5}, "hidden_size a multiple of 5 heads"),
        ({"ffn_groups": 5}, "hidden_size a multiple of ffn_groups=5"),
        ({"ffn_groups": 16, "intermediate_size": 40}, "intermediate_size a multiple of"),
        ({"hidden_dropout_prob": 1.0}, "from 0 to below 1"),
        ({"hidden_dropout_prob": -0.1}, "from 0 to below 1"),
        ({"attention_probs_dropout_prob": float("nan")}, "from 0 to below 1"),
        ({"layer_norm_eps": 0}, "above 0"),
        ({"initializer_range": float("inf")}, "above 0"),
        ({"vocab_size": 0}, "integer from 1"),
        ({"vocab_size": True}, r"True \(bool\)"),
        ({"vocab_size": 30000.0}, r"30000\.0 \(float\)"),
        ({"vocab_size": "30000"}, r"'30000' \(str\)"),
        ({"vocab_size": None}, "NoneType"),
        ({"vocab_size": 10**5000}, "too large to print"),
        ({"num_hidden_layers": 5000}, "from 1 to 4096"),
        ({"hidden_act": "gelu"}, "gelu_tanh, gelu_erf"),
        ({"hidden_act": ["relu"]}, r"\['relu'\] \(list\)"),
        ({"projection_bias": 1}, "true or false"),
        ({"norm_order": "both"}, "post, pre"),
        ({"position_width": "hidden"}, "position_width='embedding'"),
        ({"embedding_order": "project_then_norm"}, "position_width='hidden'"),
    ],
)
def test_a_value_that_describes_no_albert_is_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        AlbertConfig(**changes)


DEEP = "[" * 100_000
FILES = [
    b"",
    b"[]",
    b"3",
    b"null",
    b'{"vocab_size": NaN}',
    b'{"vocab_size": Infinity}',
    b'{"vocab_size": 1, "vocab_size": 2}',
    b"{'vocab_size': 1}",
    b"\xff\xfe{}",
    b"\x00",
    DEEP.encode(),
    b'{"vocab_size": ' + b"9" * 5000 + b"}",
    json.dumps({**GOOGLE, "vocab_size": [[[1]]]}).encode(),
    json.dumps({**GOOGLE, "hidden_size": "768"}).encode(),
    json.dumps({**GOOGLE, "hidden_act": None}).encode(),
    json.dumps(GOOGLE).replace("0.02", "1e400").encode(),
]


@pytest.mark.parametrize("content", FILES, ids=range(len(FILES)))
def test_a_file_that_is_no_strict_config_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        AlbertConfig.load(path)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.json"):
        AlbertConfig.load(tmp_path / "nowhere.json")
    with pytest.raises(ConfigError, match="directory"):
        AlbertConfig.load(tmp_path)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.sampled_from([{}, [], [{}], {"init_args": []}, "gelu", "preln", "bert", 10**400, -1, 768]),
)
KEYS = [
    *GOOGLE,
    "ln_type",
    "model_type",
    "init_args",
    "emb_size",
    "architectures",
    "layer_norm_eps",
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    base=st.sampled_from([GOOGLE, UNMARKED, HUGGINGFACE, SIZES["uer-base"].to_json()]),
    changes=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
    dialect=st.sampled_from([None, "google", "huggingface", "brightmart", "paddle", "albertkit"]),
)
def test_no_json_value_gives_anything_but_a_config_or_a_config_error(
    base: dict[str, object], changes: dict[str, object], dialect: str | None
) -> None:
    try:
        config = AlbertConfig.from_json({**base, **changes}, dialect=dialect)
    except ConfigError:
        return
    assert AlbertConfig.from_json(config.to_json()).layer_plan == config.layer_plan


@pytest.mark.parametrize("name", SIZES)
def test_a_config_survives_its_own_json(name: str) -> None:
    config = SIZES[name]
    text = json.dumps(config.to_json(), allow_nan=False)
    assert AlbertConfig.from_json(json.loads(text)) == config
    expected = "albert" if not config.fits_huggingface else "albertkit"
    assert config.to_json()["model_type"] == expected


def test_groups_are_dealt_by_googles_rounding() -> None:
    # Python's own float arithmetic, as in the original: int(15 / 22 * 22) is 14 and so on.
    config = AlbertConfig(num_hidden_layers=22, num_hidden_groups=22)
    assert [config.group_of_layer(n) for n in (14, 15, 16)] == [14, 14, 16]
    assert 15 not in config.attention_blocks
    theirs = replace(config, group_formula="huggingface")
    assert theirs.attention_blocks == list(range(22))
    few = AlbertConfig(num_hidden_layers=4, num_hidden_groups=12)
    assert few.attention_blocks == [0, 3, 6, 9]
    uneven = AlbertConfig(num_hidden_layers=5, num_hidden_groups=3)
    assert [uneven.group_of_layer(n) for n in range(5)] == [0, 0, 1, 1, 2]


@pytest.mark.shared
def test_every_real_config_file_is_read(shared: Path) -> None:
    files = sorted((shared / "configs").glob("*/*.json"))
    assert len(files) >= 24
    for path in files:
        if path.name == "bert_config.json":
            with pytest.raises(ConfigError, match="as in BERT"):
                AlbertConfig.load(path)
            continue
        native = "tencentpretrain" in path.parts
        found = read_file(path, dialect=None, vocab_size=21128 if native else None)
        dialect = {"albert_zh": "brightmart", "lonepatient_pytorch": "brightmart"}.get(
            path.parent.name, "google"
        )
        if "google" in path.stem:
            dialect = "google"
        if path.stem == "large_hf_style":
            dialect = "huggingface"
        assert found.dialect == ("uer" if native else dialect), path
        raw = json.loads(path.read_text())
        pairs = {"hidden_size": "hidden_size", "num_hidden_layers": "num_hidden_layers"}
        if native:
            pairs = {"hidden_size": "hidden_size", "layers_num": "num_hidden_layers"}
        for theirs, ours in pairs.items():
            assert getattr(found.config, ours) == raw[theirs]
        assert (found.config.norm_order == "pre") == (raw.get("ln_type") == "preln")
        if "dropout0.1" in path.stem:
            assert found.config.hidden_dropout_prob == 0.1


def test_a_depth_that_no_model_has_is_refused_before_names_are_made() -> None:
    AlbertConfig(num_hidden_layers=64, num_hidden_groups=64, inner_group_num=64)
    with pytest.raises(ConfigError, match="deeper than any ALBERT"):
        AlbertConfig(num_hidden_layers=4096, num_hidden_groups=4096, inner_group_num=2)
