"""KerasHub's config.json and task.json of an ALBERT: a serialized Keras object each.

What they do not say is fixed in KerasHub's code (keras_hub/src/models/albert/): the tanh formula
of GELU, epsilon 1e-12 in the body, and 1e-5, Keras' default, in the masked-LM head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, ConfigError, shown
from albertkit.files import strict_json
from albertkit.tasks.head import TaskHead

BODY_EPS, HEAD_EPS = 1e-12, 1e-5
BODY_CLASS, MASKED_LM, CLASSIFIER = "AlbertBackbone", "AlbertMaskedLM", "AlbertTextClassifier"
KEYS = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "num_groups": "num_hidden_groups",
    "num_inner_repetitions": "inner_group_num",
    "embedding_dim": "embedding_size",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "dropout": "hidden_dropout_prob",
    "max_sequence_length": "max_position_embeddings",
    "num_segments": "type_vocab_size",
}
_DEAD = ("name", "trainable", "dtype", "cls_token_index")
_TASK_KEYS = ("backbone", "preprocessor", "num_classes", "activation", "dropout", *_DEAD)
# What follows the classifier's last matrix, and what the classifier is for.
_ACTIVATIONS = {"linear": "classification", "softmax": "classification", "sigmoid": "multi_label"}


@dataclass(frozen=True)
class Task:
    """task.json: its class, and for a classifier the classes, their kind and the dropout."""

    name: str
    num_classes: int = 0
    kind: str = "classification"
    dropout: float = 0.1

    def head(self, kind: str | None = None) -> TaskHead | None:
        """The head of a classifier; none of the masked-LM task."""
        return TaskHead(kind or self.kind, self.num_classes) if self.name == CLASSIFIER else None


def class_name(values: object) -> str | None:
    """Class of a serialized object; the old name of the classifier counts as the new one."""
    name = values.get("class_name") if isinstance(values, Mapping) else None
    return CLASSIFIER if name == "AlbertClassifier" else name if isinstance(name, str) else None


def read_configs(path: Path, task_path: Path | None) -> tuple[AlbertConfig, Task | None]:
    """The model of a config.json (or the one inside a task.json), and its task.

    Args:
        path: the file of the body, or a task.json.
        task_path: task.json beside it, if there may be one.

    Raises:
        ConfigError: missing, not strict JSON, no ALBERT, unknown keys, or two that contradict.
    """
    values = strict_json(path)
    if class_name(values) != BODY_CLASS:
        return _read_task(values)
    config = _read_body(values)
    if task_path is None or not task_path.is_file():
        return config, None
    inner, task = _read_task(strict_json(task_path))
    if inner != config:
        raise ConfigError(
            "config.json and task.json describe two models.",
            expected="the same sizes",
            found="; ".join(
                f"{theirs}: {getattr(config, ours)} and {getattr(inner, ours)}"
                for theirs, ours in KEYS.items()
                if getattr(config, ours) != getattr(inner, ours)
            ),
            where=task_path,
            fix="take both files from one preset",
        )
    return config, task


def _inside(values: object, known: Mapping[str, object] | tuple[str, ...]) -> Mapping[str, Any]:
    """The arguments of a serialized object, all of them known."""
    inside = values.get("config") if isinstance(values, Mapping) else None
    if not isinstance(inside, Mapping):
        raise ConfigError(
            "This is not a config of KerasHub.",
            expected='{"class_name": ..., "config": {...}}',
            found=shown(values),
            fix="give the config.json that KerasHub wrote beside the weights",
        )
    unknown = [key for key in inside if key not in known and key not in _DEAD]
    if unknown:
        raise ConfigError(
            "Unknown keys in the config.",
            expected=", ".join(known),
            found=", ".join(str(key)[:80] for key in unknown[:6]),
            fix="correct the keys, or remove them from the config file",
        )
    return inside


def _read_body(values: object) -> AlbertConfig:
    inside = _inside(values, KEYS)
    missing = [key for key in KEYS if key not in inside]
    if missing:
        raise ConfigError(
            "The config is incomplete.",
            expected=", ".join(KEYS),
            found="no " + ", ".join(missing),
            fix="give the config.json that KerasHub wrote beside the weights",
        )
    sizes = {ours: inside[theirs] for theirs, ours in KEYS.items()}
    config = AlbertConfig(
        **sizes,
        attention_probs_dropout_prob=inside["dropout"],
        layer_norm_eps=BODY_EPS,
        head_layer_norm_eps=HEAD_EPS,
        project_equal_width=sizes["embedding_size"] == sizes["hidden_size"],
    )
    if config.num_hidden_layers % config.num_hidden_groups:
        raise ConfigError(
            "The groups do not divide the layers.",
            expected=f"num_layers a multiple of num_groups {config.num_hidden_groups}",
            found=config.num_hidden_layers,
            fix="correct num_layers or num_groups in config.json",
        )
    if not deals_evenly(config):  # the float formula misses a group: the other is exact here
        config = replace(config, group_formula="huggingface")
    return config


def _read_task(values: object) -> tuple[AlbertConfig, Task]:
    name = class_name(values)
    if name not in (MASKED_LM, CLASSIFIER):
        raise ConfigError(
            "This class of KerasHub is not an ALBERT.",
            expected=", ".join((BODY_CLASS, MASKED_LM, CLASSIFIER)),
            found=shown(name),
            fix="give a preset of one of these classes",
        )
    inside = _inside(values, _TASK_KEYS)
    body = inside.get("backbone")
    if class_name(body) != BODY_CLASS:
        raise ConfigError(
            "The task has another body.",
            expected=BODY_CLASS,
            found=shown(body),
            fix="give a preset whose body is an ALBERT",
        )
    config = _read_body(body)
    if name == MASKED_LM:
        return config, Task(name)
    activation = inside.get("activation") or "linear"
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        raise ConfigError(
            f"The activation of the classifier must be one of {', '.join(_ACTIVATIONS)}.",
            found=shown(activation),
            fix="save the model with one of these",
        )
    count, dropout = inside.get("num_classes"), inside.get("dropout", 0.1)
    TaskHead("classification", count)  # type: ignore[arg-type]  # it checks the number
    config = replace(config, classifier_dropout_prob=dropout)
    assert isinstance(count, int)
    return config, Task(name, count, _ACTIVATIONS[activation], config.classifier_dropout_prob)


def deals_evenly(config: AlbertConfig) -> bool:
    """Whether layer n uses block n // (layers // blocks), as KerasHub always has it."""
    layers, blocks = config.num_hidden_layers, len(config.attention_blocks)
    if layers % blocks:
        return False
    each = layers // blocks
    return config.layer_plan == [(layer // each, layer // each) for layer in range(layers)]


def refuse_other_models(config: AlbertConfig) -> None:
    """Stop if KerasHub's class would compute something else from these weights.

    Raises:
        CheckpointError: with all that it lacks.
    """
    checks = {
        f"hidden_act={config.hidden_act} (it has gelu_tanh only)": config.hidden_act != "gelu_tanh",
        "embedding_order=project_then_norm": config.embedding_order != "norm_then_project",
        "a projection without bias": not config.projection_bias,
        "no projection although E = H (it always projects)": not config.has_projection,
        "norm_order=pre": config.norm_order != "post",
        "final_norm": config.final_norm,
        "layer_norm_kind=uer": config.layer_norm_kind != "standard",
        f"layer_norm_eps={config.layer_norm_eps} (it has {BODY_EPS})": (
            config.layer_norm_eps != BODY_EPS
        ),
        "ffn_groups above 1": config.ffn_groups != 1,
        "a masked-LM decoder of its own": not config.tied_decoder,
        "layers dealt to blocks otherwise than by layer // (layers // groups)": (
            not deals_evenly(config)
        ),
    }
    lacking = [reason for reason, holds in checks.items() if holds]
    if lacking:
        raise CheckpointError(
            "KerasHub cannot compute this model.",
            expected="post-norm, the tanh formula of GELU, and the rest of google's ALBERT",
            found="; ".join(lacking),
            fix="choose another family",
        )


def write_body(config: AlbertConfig, dtype: str) -> dict[str, Any]:
    """config.json of a model that `refuse_other_models` let pass."""
    sizes = {theirs: getattr(config, ours) for theirs, ours in KEYS.items()}
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": dtype}}
    return _serialized(
        BODY_CLASS,
        "albert_backbone",
        {
            "name": "albert_backbone",
            "trainable": True,
            "dtype": {**policy, "registered_name": None},
            **sizes,
            "num_groups": len(config.attention_blocks),
        },
    )


def write_task(config: AlbertConfig, head: TaskHead | None, dtype: str) -> dict[str, Any]:
    """task.json of a classifier, or of the masked-LM task if there is no head."""
    inside = {"backbone": write_body(config, dtype), "preprocessor": None}
    if head is None:
        return _serialized(MASKED_LM, "albert_masked_lm", {**inside, "name": "albert_masked_lm"})
    name = "albert_text_classifier"
    return _serialized(
        CLASSIFIER,
        name,
        {
            **inside,
            "name": name,
            "num_classes": head.num_labels,
            "activation": "sigmoid" if head.kind == "multi_label" else "linear",
            "dropout": config.classifier_dropout_prob,
        },
    )


def write_metadata(count: int) -> dict[str, Any]:
    """metadata.json: the versions whose layout this is, and the number of the body's parameters."""
    return {
        "keras_version": "3.15.1",
        "keras_hub_version": "0.32.0",
        "parameter_count": count,
        "tasks": ["MaskedLM", "TextClassifier"],
    }


def write_tokenizer() -> dict[str, Any]:
    """tokenizer.json: the SentencePiece model is among the assets."""
    inside = {"name": "albert_tokenizer", "trainable": True, "config_file": "tokenizer.json"}
    rest = {"proto": None, "sequence_length": None, "add_bos": False, "add_eos": False}
    return _serialized("AlbertTokenizer", "albert_tokenizer", {**inside, **rest})


def _serialized(name: str, module: str, inside: dict[str, Any]) -> dict[str, Any]:
    return {
        "module": f"keras_hub.src.models.albert.{module}",
        "class_name": name,
        "config": inside,
        "registered_name": f"keras_hub>{name}",
    }
