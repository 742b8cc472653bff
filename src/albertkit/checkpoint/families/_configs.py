"""How config files spell an ALBERT: albertkit's own way, and those of five other programs.

`huggingface` transformers; `google` google-research/albert and what follows it; `google_fast` and
`brightmart` the two layouts of albert_zh; `paddle` PaddleNLP, old nested files too; `uer` UER-py
and TencentPretrain. The same word may mean different things: "gelu" is the tanh formula for
google and albert_zh, and the erf formula for everybody else.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError, shown
from albertkit.files import strict_json


@dataclass(frozen=True)
class ReadConfig:
    """A config with how it was spelled and which keys of its file were left out, and why."""

    config: AlbertConfig
    dialect: str
    ignored: dict[str, str]


def _reasons(reason: str, keys: str) -> dict[str, str]:
    return dict.fromkeys(keys.split(), reason)


REQUIRED = [
    *["vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "num_attention_heads"],
    *["intermediate_size", "hidden_act"],
]
PLAIN = [
    *REQUIRED[:-1],
    *["num_hidden_groups", "inner_group_num", "max_position_embeddings", "type_vocab_size"],
    *["hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"],
]
OWN = {field.name for field in fields(AlbertConfig)}

DEAD_GOOGLE = _reasons(
    "no effect in the released code",
    "down_scale_factor gap_size net_structure_type num_memory_blocks layers_to_keep",
)
DEAD_BRIGHTMART = _reasons(
    "no effect in the released code",
    "directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers"
    " pooler_size_per_head pooler_type",
)
DEAD_HUGGINGFACE = {
    **DEAD_GOOGLE,
    **DEAD_BRIGHTMART,
    **_reasons("told by the weights", "architectures add_pooling_layer dtype torch_dtype"),
    **_reasons(
        "told by the tokenizer",
        "pad_token_id bos_token_id eos_token_id eos_token_ids sep_token_id tokenizer_class",
    ),
    **_reasons(
        "belongs to a task, not to the body",
        "num_labels _num_labels id2label label2id finetuning_task problem_type num_choices"
        " task_specific_params num_classes",
    ),
    **_reasons(
        "about the program that wrote the file",
        "model_type transformers_version paddlenlp_version _name_or_path name language init_class",
    ),
    **_reasons(
        "no effect on the function of an encoder",
        "output_attentions output_hidden_states output_past return_dict use_return_dict torchscript"
        " use_bfloat16 tf_legacy_loss chunk_size_feed_forward use_cache gradient_checkpointing"
        " xla_device prefix decoder_start_token_id cross_attention_hidden_size"
        " _attn_implementation _attn_implementation_autoset max_length min_length do_sample"
        " early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p"
        " typical_p repetition_penalty length_penalty no_repeat_ngram_size"
        " encoder_no_repeat_ngram_size bad_words_ids num_return_sequences output_scores"
        " return_dict_in_generate forced_bos_token_id forced_eos_token_id remove_invalid_values"
        " exponential_decay_length_penalty suppress_tokens begin_suppress_tokens",
    ),
}
# Keys of tools that change no number; whoever reads the file is told of them.
NOTED = {
    "framework": "written by neural-compressor",
    "transformers.js_config": "for transformers.js",
    **dict.fromkeys(["shared_type", "share_type"], "sharing is seen in the weights"),
    "auto_map": "names code of its own, which is not run: the ALBERT of this config is",
    **dict.fromkeys(["model_max_length", "vocab_type", "do_lower_case"], "of the tokenizer"),
    **dict.fromkeys(["sentence_transformers", "__version__"], "of sentence-transformers"),
    **dict.fromkeys(["license", "model_name", "backend", "attn_implementation"], "a note"),
}
# Keys that change the function unless they have this value, which is what every ALBERT has.
ONLY_VALUE: dict[str, object] = {
    "position_embedding_type": "absolute",
    "pruned_heads": {},
    **dict.fromkeys(["is_decoder", "is_encoder_decoder", "add_cross_attention"], False),
    "tie_encoder_decoder": False,
    "classifier_dropout": None,
}
UER_KEYS = {
    "emb_size": "embedding_size",
    "hidden_size": "hidden_size",
    "layers_num": "num_hidden_layers",
    "heads_num": "num_attention_heads",
    "feedforward_size": "intermediate_size",
    "max_seq_length": "max_position_embeddings",
    "vocab_size": "vocab_size",
    "hidden_act": "hidden_act",
}
UER_ONLY_VALUE: dict[str, object] = {
    "embedding": ["word", "pos", "seg"],
    "encoder": "transformer",
    "mask": "fully_visible",
    "factorized_embedding_parameterization": True,
    "parameter_sharing": True,
    "layernorm_positioning": "post",
}
DEAD_UER = {
    **_reasons("belongs to training", "data_processor target"),
    **_reasons("told by the weights", "tie_weights"),
}

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
        dialect: whose file it is; told from the keys if left out.
        vocab_size: for files that name none (UER).

    Raises:
        ConfigError: not an ALBERT config, an unknown key, a wrong value, or a dialect that
            cannot be told and matters.
    """
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise ConfigError(
            "A config is a JSON object.", expected="key: value pairs", found=shown(values)
        )
    if dialect is not None and dialect not in READERS:
        raise ConfigError("Unknown dialect of configs.", expected=", ".join(READERS), found=dialect)
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
            "The file does not tell whose it is, and here it matters.",
            expected="a key such as model_type (Hugging Face) or net_structure_type (google)",
            found='hidden_act "gelu": tanh formula for google, erf for Hugging Face'
            if not same_width
            else "embedding_size = hidden_size: google then makes no projection, others do",
            fix="name the dialect: " + ", ".join(READERS),
        )
    return "google"


def _not_albert(found: str) -> ConfigError:
    return ConfigError(
        "This config is not of an ALBERT.",
        expected="an ALBERT config, with embedding_size",
        found=found,
        fix="check that the file belongs to the model",
    )


def notes_on(keys: Iterable[str]) -> list[str]:
    """A sentence for each key of a tool that a config file holds."""
    return [f"config key {key} is passed over: {NOTED[key]}" for key in keys if key in NOTED]


def _sort_keys(
    values: Mapping[str, Any], known: set[str], dead: Mapping[str, str], only: Mapping[str, object]
) -> dict[str, str]:
    """Refuse keys nobody knows and values nobody can honour; return the ignored keys."""
    ignored = {}
    for key, value in values.items():
        if key in known:
            continue
        if key in dead:
            ignored[key] = dead[key]
        elif key in only:
            if value != only[key]:
                raise ConfigError(
                    f"No released ALBERT has this {key}, and it would change the model.",
                    expected=shown(only[key]),
                    found=shown(value),
                    fix=f"give an ALBERT without it; remove {key} if the weights do not use it",
                )
            ignored[key] = "the one value that an ALBERT has"
        else:
            near = difflib.get_close_matches(key, [*known, *dead, *only], n=1, cutoff=0.5)
            raise ConfigError(
                f"Unknown key {key[:80]!r} in the config.",
                expected=f"perhaps {near[0]!r}" if near else "a key of an ALBERT config",
                found=key[:80],
                fix="correct or remove the key: nothing is skipped silently",
            )
    return ignored


def _require(values: Mapping[str, Any], names: list[str], fix: str) -> None:
    missing = [name for name in names if name not in values]
    if missing:
        raise ConfigError(
            "The config is incomplete.",
            expected=", ".join(names),
            found="no " + ", no ".join(missing),
            fix=fix,
        )


def _act(value: object, dialect: str) -> str:
    acts = ACTS[dialect]
    if not isinstance(value, str) or value not in acts:
        raise ConfigError(
            f"hidden_act names a function that no {dialect} config has.",
            expected=", ".join(acts),
            found=shown(value),
        )
    return acts[value]


def _read_own(values: dict[str, Any], dialect: str) -> ReadConfig:
    dead = {
        "model_type": "names the dialect",
        "architectures": "told by the weights",
        "task_head": "read with the weights",
    }
    ignored = _sort_keys(values, OWN, dead, {})
    _require(values, REQUIRED, "write the config again with to_json")
    config = AlbertConfig(**{key: value for key, value in values.items() if key in OWN})
    return ReadConfig(config, dialect, ignored)


def _read_google(values: dict[str, Any], dialect: str) -> ReadConfig:
    known = {*PLAIN, "hidden_act"} | ({"ln_type"} if dialect == "brightmart" else set())
    dead = {**DEAD_GOOGLE, **DEAD_BRIGHTMART, **NOTED}
    if dialect != "brightmart" and values.get("ln_type") == "postln":
        dead["ln_type"] = "postln is what google's layout always is"
    ignored = _sort_keys(values, known, dead, {})
    _require(values, REQUIRED, "use the config file that came with the weights")
    chosen: dict[str, Any] = {key: values[key] for key in PLAIN if key in values}
    chosen["hidden_act"] = _act(values["hidden_act"], dialect)
    if dialect == "google_fast":
        chosen["ffn_groups"] = 16
    if dialect == "brightmart":
        orders = {"postln": "post", "preln": "pre"}
        kind = values.get("ln_type", "postln")
        if not isinstance(kind, str) or kind not in orders:
            raise ConfigError("Unknown ln_type.", expected=", ".join(orders), found=shown(kind))
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
    known = {*PLAIN, "hidden_act", "layer_norm_eps", "classifier_dropout_prob"}
    known.add("tie_word_embeddings")
    ignored = _sort_keys(values, known, {**DEAD_HUGGINGFACE, **NOTED}, ONLY_VALUE)
    _require(values, REQUIRED, "use the config file that came with the weights")
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
            "init_args holds no arguments by name.",
            expected='[{"hidden_size": ..., "init_class": "AlbertModel"}]',
            found=shown(arguments),
        )
    return {**body, **{key: value for key, value in values.items() if key != "init_args"}}


def _read_uer(values: dict[str, Any], dialect: str) -> ReadConfig:
    ignored = _sort_keys(values, {*UER_KEYS, "dropout"}, DEAD_UER, UER_ONLY_VALUE)
    _require(values, [*UER_KEYS], "UER files name no vocab_size: pass vocab_size=")
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
