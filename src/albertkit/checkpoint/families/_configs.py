"""How config files describe an ALBERT: albertkit's own way, and those of five other programs.

`huggingface` transformers; `google` google-research/albert and what follows it; `google_fast` and
`brightmart` the two layouts of albert_zh; `paddle` PaddleNLP, old nested files too; `uer` UER-py
and TencentPretrain. The same word may mean different things: "gelu" is the tanh formula for
google and albert_zh, and the erf formula for all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from albertkit.checkpoint.families._config_keys import (
    DEAD_BRIGHTMART,
    DEAD_GOOGLE,
    DEAD_HUGGINGFACE,
    DEAD_UER,
    NOTED,
    ONLY_VALUE,
    OWN,
    PLAIN,
    REQUIRED,
    UER_KEYS,
    UER_ONLY_VALUE,
    require,
    sort_keys,
)
from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError, shown
from albertkit.files import strict_json


@dataclass(frozen=True)
class ReadConfig:
    """A config, the dialect of its file, and which keys of that were left out, with reasons."""

    config: AlbertConfig
    dialect: str
    ignored: dict[str, str]


SAME_ACTS = {"relu": "relu", "tanh": "tanh", "linear": "linear"}
GOOGLE_ACTS = {**SAME_ACTS, "gelu": "gelu_tanh"}
ERF_ACTS = {
    **SAME_ACTS,
    **dict.fromkeys(["gelu", "gelu_python"], "gelu_erf"),
    **dict.fromkeys(["gelu_new", "gelu_fast", "gelu_pytorch_tanh"], "gelu_tanh"),
    **dict.fromkeys(["silu", "swish"], "silu"),
}
ACTS = {
    "google": GOOGLE_ACTS,
    "brightmart": GOOGLE_ACTS,
    "google_fast": {**GOOGLE_ACTS, "swish": "silu"},
    "huggingface": ERF_ACTS,
    "paddle": ERF_ACTS,
    "uer": ERF_ACTS,
}
HUGGINGFACE_ACT = {**SAME_ACTS, "gelu_tanh": "gelu_new", "gelu_erf": "gelu", "silu": "silu"}


def read_file(path: Path, *, dialect: str | None, vocab_size: int | None) -> ReadConfig:
    """Read a config file; see `read`, and `strict_json` for what is refused before."""
    try:
        return read(strict_json(path), dialect=dialect, vocab_size=vocab_size)
    except ConfigError as error:
        raise error.at(path) from error.__cause__


def read(
    values: object, *, dialect: str | None = None, vocab_size: int | None = None
) -> ReadConfig:
    """Config from a parsed JSON object.

    Args:
        values: the object.
        dialect: whose file it is; detected from the keys if left out.
        vocab_size: for files that name none (UER).

    Raises:
        ConfigError: not an ALBERT config, an unknown key, a wrong value, or a dialect that
            cannot be detected and matters.
    """
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        what = "A config must be a dict of keys and values."
        raise ConfigError(what, found=shown(values), fix="pass the JSON object of a config file")
    if dialect is not None and dialect not in READERS:
        what = f"dialect must be one of {', '.join(READERS)}."
        raise ConfigError(what, found=dialect, fix="leave it out: the keys of the config show it")
    values = dict(values)
    if vocab_size is not None:
        values.setdefault("vocab_size", vocab_size)
    dialect = dialect or detect_dialect(values)
    return READERS[dialect](values, dialect)


def detect_dialect(values: Mapping[str, Any]) -> str:
    """Whose file this is, by keys that only one of them writes."""
    keys = set(values)
    if values.get("model_type", "albert") not in ("albert", "albertkit"):
        raise _not_albert(f"model_type {shown(values['model_type'])}")
    if values.get("model_type") == "albertkit":
        return "albertkit"
    if keys & {"init_args", "paddlenlp_version"}:
        return "paddle"
    if keys & {"emb_size", "layers_num", "heads_num"}:
        return "uer"
    if "embedding_size" not in keys:
        raise _not_albert("no embedding_size, as in BERT")
    if keys & {"model_type", "architectures", "transformers_version", "layer_norm_eps"}:
        return "huggingface"
    if keys & {"ln_type", *DEAD_BRIGHTMART}:
        return "brightmart"
    if keys & set(DEAD_GOOGLE):
        return "google"
    same_width = values["embedding_size"] == values.get("hidden_size")
    if values.get("hidden_act") == "gelu" or same_width:
        raise ConfigError(
            "The config does not show which program wrote it, and here that changes the model.",
            expected="a key such as model_type (Hugging Face) or net_structure_type (google)",
            found='hidden_act "gelu": tanh formula for google, erf for Hugging Face'
            if not same_width
            else "embedding_size = hidden_size: google then makes no projection, others do",
            fix="pass dialect=, one of: " + ", ".join(READERS),
        )
    return "google"


def _not_albert(found: str) -> ConfigError:
    return ConfigError(
        "This is not the config of an ALBERT, which has embedding_size.",
        found=found,
        fix="give an ALBERT; other architectures are not read",
    )


def _act(value: object, dialect: str) -> str:
    acts = ACTS[dialect]
    if not isinstance(value, str) or value not in acts:
        raise ConfigError(
            f"hidden_act must be one of {', '.join(acts)} in a config of {dialect}.",
            found=shown(value),
            fix="use the config file that came with the weights, or correct hidden_act in it",
        )
    return acts[value]


def _read_own(values: dict[str, Any], dialect: str) -> ReadConfig:
    dead = {
        "model_type": "names the dialect",
        "architectures": "seen in the weights",
        "task_head": "read with the weights",
    }
    ignored = sort_keys(values, OWN, dead, {})
    require(values, REQUIRED, "write the config again with to_json")
    config = AlbertConfig(**{key: value for key, value in values.items() if key in OWN})
    return ReadConfig(config, dialect, ignored)


def _read_google(values: dict[str, Any], dialect: str) -> ReadConfig:
    known = {*PLAIN, "hidden_act"} | ({"ln_type"} if dialect == "brightmart" else set())
    dead = {**DEAD_GOOGLE, **DEAD_BRIGHTMART, **NOTED}
    if dialect != "brightmart" and values.get("ln_type") == "postln":
        dead["ln_type"] = "postln is what google's layout always is"
    ignored = sort_keys(values, known, dead, {})
    require(values, REQUIRED, "use the config file that came with the weights")
    chosen: dict[str, Any] = {key: values[key] for key in PLAIN if key in values}
    chosen["hidden_act"] = _act(values["hidden_act"], dialect)
    if dialect == "google_fast":
        chosen["ffn_groups"] = 16
    if dialect == "brightmart":
        orders = {"postln": "post", "preln": "pre"}
        kind = values.get("ln_type", "postln")
        if not isinstance(kind, str) or kind not in orders:
            what, fix = "ln_type must be postln or preln.", "correct it in the config file"
            raise ConfigError(what, found=shown(kind), fix=fix)
        chosen |= {
            "norm_order": orders[kind],
            "embedding_order": "project_then_norm",
            "position_width": "hidden",
            "projection_bias": False,
            "project_equal_width": values["embedding_size"] == values["hidden_size"],
        }
    return ReadConfig(AlbertConfig(**chosen), dialect, ignored)


def _read_huggingface(values: dict[str, Any], dialect: str) -> ReadConfig:
    if "init_args" in values:
        values = _flatten_paddle(values)
    kind = values.get("model_type", "albert")
    if kind != "albert":
        raise _not_albert(f"model_type {shown(kind)}: this is a {str(kind)[:40].upper()}")
    if "embedding_size" not in values:
        raise _not_albert("no embedding_size, as in BERT")
    known = {*PLAIN, "hidden_act", "layer_norm_eps", "classifier_dropout_prob"}
    known.add("tie_word_embeddings")
    ignored = sort_keys(values, known, {**DEAD_HUGGINGFACE, **NOTED}, ONLY_VALUE)
    require(values, REQUIRED, "use the config file that came with the weights")
    chosen: dict[str, Any] = {key: values[key] for key in known if key in values}
    chosen["tied_decoder"] = chosen.pop("tie_word_embeddings", True)
    chosen["hidden_act"] = _act(values["hidden_act"], dialect)
    eps = values.get("layer_norm_eps", 1e-12)
    # PaddleNLP builds the norm of its masked-LM head with the framework's default.
    chosen["head_layer_norm_eps"] = 1e-5 if dialect == "paddle" else eps
    chosen["project_equal_width"] = values["embedding_size"] == values["hidden_size"]
    config = AlbertConfig(**chosen, group_formula="huggingface")
    google = AlbertConfig(**chosen)
    if config.layer_plan == google.layer_plan:
        config = google
    return ReadConfig(config, dialect, ignored)


def _flatten_paddle(values: dict[str, Any]) -> dict[str, Any]:
    """Old PaddleNLP: the body's arguments stand in the first object of init_args."""
    arguments = values["init_args"]
    body = arguments[0] if isinstance(arguments, list) and arguments else arguments
    if isinstance(body, Mapping) and isinstance(body.get("init_args"), list):
        return _flatten_paddle({**values, "init_args": body["init_args"]})
    if not isinstance(body, Mapping) or not all(isinstance(key, str) for key in body):
        raise ConfigError(
            "init_args holds no named arguments.",
            expected='[{"hidden_size": ..., "init_class": "AlbertModel"}]',
            found=shown(arguments),
            fix="use the model_config.json that came with the weights",
        )
    return {**body, **{key: value for key, value in values.items() if key != "init_args"}}


def _read_uer(values: dict[str, Any], dialect: str) -> ReadConfig:
    ignored = sort_keys(values, {*UER_KEYS, "dropout"}, {**DEAD_UER, **NOTED}, UER_ONLY_VALUE)
    require(values, [*UER_KEYS], "UER files name no vocab_size: pass vocab_size=")
    chosen: dict[str, Any] = {ours: values[theirs] for theirs, ours in UER_KEYS.items()}
    chosen["hidden_act"] = _act(values["hidden_act"], dialect)
    dropout = values.get("dropout", 0.1)  # UER's default
    config = AlbertConfig(
        **chosen,
        type_vocab_size=3,  # row 0 belongs to padding
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        layer_norm_kind="uer",
        layer_norm_eps=1e-6,
        head_layer_norm_eps=1e-6,
        project_equal_width=values["emb_size"] == values["hidden_size"],
    )
    return ReadConfig(config, dialect, ignored)


READERS: dict[str, Callable[[dict[str, Any], str], ReadConfig]] = {
    "albertkit": _read_own,
    "huggingface": _read_huggingface,
    "google": _read_google,
    "google_fast": _read_google,
    "brightmart": _read_google,
    "paddle": _read_huggingface,
    "uer": _read_uer,
}


def write(config: AlbertConfig, *, own: bool = False) -> dict[str, Any]:
    """JSON object in transformers' dialect, or in ours under model_type `albertkit`.

    Ours is taken where transformers cannot express the config, or if `own` asks for it.
    """
    if own or config.fits_huggingface:
        return {"model_type": "albertkit", **asdict(config)}
    names = {*PLAIN, "layer_norm_eps", "classifier_dropout_prob"}
    return {
        "model_type": "albert",
        **{name: value for name, value in asdict(config).items() if name in names},
        "hidden_act": HUGGINGFACE_ACT[config.hidden_act],
        "num_hidden_groups": len(config.attention_blocks),
        "tie_word_embeddings": config.tied_decoder,
    }
