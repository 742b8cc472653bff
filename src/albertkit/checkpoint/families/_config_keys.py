"""The keys of config files of six programs, and of the tools around them: what becomes of each.

A key is read, has no effect (DEAD), is a tool's note that changes no number (NOTED), or may have
one value only, which is what every ALBERT has. What is empty says nothing. Every other key is
refused: nothing is ignored silently.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError, shown


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
    **_reasons("seen in the weights", "architectures add_pooling_layer dtype torch_dtype"),
    **_reasons(
        "as the tokenizer says",
        "pad_token_id bos_token_id eos_token_id eos_token_ids sep_token_id cls_token_id"
        " mask_token_id unk_token_id tokenizer_class",
    ),
    **_reasons(
        "belongs to a task, not to the body",
        "num_labels _num_labels id2label label2id finetuning_task problem_type num_choices"
        " task_specific_params num_classes type_sequence_label_size loss_type no_answer_threshold",
    ),
    **_reasons(
        "about the program that wrote the file",
        "model_type transformers_version paddlenlp_version _name_or_path name language init_class"
        " _commit_hash _auto_class from_tf from_flax",
    ),
    **_reasons(
        "no effect on the function of an encoder",
        "output_attentions output_hidden_states output_past return_dict use_return_dict torchscript"
        " use_bfloat16 tf_legacy_loss chunk_size_feed_forward use_cache gradient_checkpointing"
        " xla_device prefix decoder_start_token_id cross_attention_hidden_size"
        " _attn_implementation _attn_implementation_autoset _attn_implementation_internal"
        " is_composition max_length max_new_tokens min_length do_sample penalty_alpha"
        " early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p"
        " typical_p repetition_penalty length_penalty no_repeat_ngram_size"
        " encoder_no_repeat_ngram_size bad_words_ids num_return_sequences output_scores"
        " return_dict_in_generate forced_bos_token_id forced_eos_token_id remove_invalid_values"
        " exponential_decay_length_penalty suppress_tokens begin_suppress_tokens",
    ),
}
# Keys of tools that change no number; a note names them.
NOTED = {
    **_reasons("written by neural-compressor", "framework inc_config"),
    **_reasons("written by optimum", "optimum_version ort_config onnx_config bettertransformer"),
    **_reasons("written by AutoTrain", "autotrain padding"),
    **_reasons("written by unsloth", "unsloth_version unsloth_fixed"),
    **_reasons("for transformers.js", "transformers.js_config"),
    **_reasons("sharing is seen in the weights", "shared_type share_type"),
    "auto_map": "names code of its own, which is not run: the ALBERT of this config is",
    "custom_pipelines": "names code of its own, which is not run",
    **_reasons(
        "of the tokenizer",
        "model_max_length vocab_type do_lower_case do_basic_tokenize vocab_file spm_file"
        " tokenizer_file special_tokens_map_file tokenizer_type",
    ),
    **_reasons("of sentence-transformers", "sentence_transformers __version__"),
    **_reasons("a note", "license model_name backend attn_implementation pipeline_tag"),
    **_reasons(
        "of a head that no ALBERT has",
        "summary_type summary_use_proj summary_activation summary_proj_to_labels"
        " summary_first_dropout summary_last_dropout",
    ),
    **_reasons("of training", "training initializer_factor label_smoothing"),
    **_reasons(
        "the numbers of the file are read as they are",
        "quantization_config _pre_quantization_dtype",
    ),
}
# Keys that change the function unless they have this value, which is what every ALBERT has.
ONLY_VALUE: dict[str, object] = {
    "position_embedding_type": "absolute",
    "pruned_heads": {},
    **dict.fromkeys(["is_decoder", "is_encoder_decoder", "add_cross_attention"], False),
    "tie_encoder_decoder": False,
    "classifier_dropout": None,
    "is_causal": False,
    "ln_type": "postln",
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
    "layernorm": "normal",
    "feed_forward": "dense",
    **dict.fromkeys(["remove_embedding_layernorm", "relative_position_embedding"], False),
    **dict.fromkeys(["remove_attention_scale", "remove_transformer_bias"], False),
    **dict.fromkeys(["has_residual_attention", "share_embedding", "bidirectional"], False),
}
DEAD_UER = {
    **_reasons("belongs to training", "data_processor target"),
    **_reasons("seen in the weights", "tie_weights"),
}
_KNOWN = {
    *("layer_norm_eps", "tie_word_embeddings", "dropout", "init_args", "task_head"),
    *(OWN | set(PLAIN) | set(DEAD_HUGGINGFACE) | set(ONLY_VALUE)),
    *(set(UER_KEYS) | set(UER_ONLY_VALUE) | set(DEAD_UER)),
}

_EMPTY = "empty: it says nothing"


def notes_on(values: Mapping[str, Any]) -> list[str]:
    """A sentence for each key of a tool, and each unknown one without content, in a config file."""
    reasons = {
        key: NOTED.get(key) or (None if key in _KNOWN or not is_empty(key, value) else _EMPTY)
        for key, value in values.items()
    }
    return [
        f"config key {key[:80]} is passed over: {reason}"
        for key, reason in reasons.items()
        if reason
    ]


def is_empty(key: str, value: object, depth: int = 3) -> bool:
    """Whether a key says nothing: null, no text, a count of 0, containers with nothing inside."""
    if isinstance(value, Mapping) and depth:
        return all(is_empty("", inner, depth - 1) for inner in value.values())
    return value in (None, "", [], {}) or (type(value) is int and not value and key[:4] == "num_")


def sort_keys(
    values: Mapping[str, Any], known: set[str], dead: Mapping[str, str], only: Mapping[str, object]
) -> dict[str, str]:
    """The keys to leave out, with reasons.

    Args:
        values: the content of the file.
        known: keys that are read.
        dead: keys without effect: the reason of each.
        only: keys that may have one value: that value.

    Raises:
        ConfigError: an unknown key, or a value that no ALBERT has.
    """
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
        elif is_empty(key, value):
            ignored[key] = _EMPTY
        else:
            near = difflib.get_close_matches(key, [*known, *dead, *only], n=1, cutoff=0.5)
            raise ConfigError(
                f"Unknown key {key[:80]!r} in the config.",
                expected=f"perhaps {near[0]!r}" if near else "a key of an ALBERT config",
                found=key[:80],
                fix="correct or remove the key: nothing is skipped silently",
            )
    return ignored


def require(values: Mapping[str, Any], names: list[str], fix: str) -> None:
    """Raise ConfigError where a key is missing."""
    missing = [name for name in names if name not in values]
    if missing:
        raise ConfigError(
            "The config is incomplete.",
            expected=", ".join(names),
            found="no " + ", no ".join(missing),
            fix=fix,
        )
