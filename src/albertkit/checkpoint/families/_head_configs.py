"""How config files name the head of a task: transformers' way, and ours for what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from albertkit.errors import ConfigError, shown
from albertkit.tasks.head import TaskHead
from albertkit.tasks.kinds import KINDS

# How the classes of transformers and PaddleNLP end (the old TensorFlow and Flax ones, too).
ARCHITECTURES = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "token_classification",
    "ForMultipleChoice": "multiple_choice",
    "ForQuestionAnswering": "span",
}
CLASSES = sorted({kind.transformers for kind in KINDS.values() if kind.transformers})
PROBLEM_TYPES = {kind.problem_type: name for name, kind in KINDS.items() if kind.problem_type}


def read_head(
    values: Mapping[str, Any],
    tensors: Mapping[str, Any],
    *,
    kind: str | None = None,
) -> TaskHead | None:
    """Head of a task that config and tensors (under transformers' names) speak of.

    Args:
        values: the parsed config file, in our or transformers' dialect.
        tensors: arrays by name; only `classifier.weight` and `qa_outputs.weight` are looked at.
        kind: what the head is for, where the file does not say.

    Raises:
        ConfigError: a head whose purpose is not known, or labels that do not fit it.
    """
    if "task_head" in values:
        return TaskHead.from_json(values["task_head"])
    if "qa_outputs.weight" in tensors:
        return TaskHead("span", 2, no_answer_threshold=values.get("no_answer_threshold"))
    if "classifier.weight" not in tensors:
        return None
    shape = tuple(tensors["classifier.weight"].shape)
    count = shape[0] if len(shape) == 2 else 0
    kind = kind or _kind(values, count)
    if kind is None:
        return None
    labels = _labels(values, count) if kind in KINDS and KINDS[kind].has_classes else ()
    return TaskHead(kind, count, labels)


def _kind(values: Mapping[str, Any], count: int) -> str | None:
    """Purpose of a tensor named `classifier`, by class name and problem type."""
    names = values.get("architectures") or []
    name = names[0] if isinstance(names, list) and names else ""
    kinds = [kind for end, kind in ARCHITECTURES.items() if str(name).endswith(end)]
    if not kinds and name.endswith(("ForPreTraining", "ForMaskedLM", "Model")):
        return None  # the class has no such head: the tensor will be found left over
    if not kinds:
        raise ConfigError(
            "The config does not say what the classifier is for.",
            expected="architectures, such as " + ", ".join(CLASSES),
            found=shown(values.get("architectures")),
            fix='pass overrides=Overrides(head="classification"), or token_classification, or '
            "multiple_choice",
            command_fix="add --head classification (or token_classification, multiple_choice)",
        )
    if kinds[0] != "classification":
        return kinds[0]
    problem = values.get("problem_type")
    if problem is None:  # transformers' own rule
        return "regression" if count == 1 else "classification"
    if problem not in PROBLEM_TYPES:
        raise ConfigError(
            f"problem_type must be one of {', '.join(PROBLEM_TYPES)}.",
            found=shown(problem),
            fix="correct or remove problem_type in config.json",
        )
    return PROBLEM_TYPES[problem]


def _labels(values: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Names of the classes in order; none if the file has no names of its own."""
    table = values.get("id2label")
    if not isinstance(table, Mapping):
        return ()
    try:
        names = {int(key): value for key, value in table.items()}
    except (TypeError, ValueError):
        names = {}
    if sorted(names) != list(range(len(names))) or not all(
        isinstance(x, str) for x in names.values()
    ):
        raise ConfigError(
            "id2label must give each class a name.",
            expected='{"0": "no", "1": "yes"}',
            found=shown(table),
            fix="correct or remove id2label in config.json",
        )
    made_up = all(name == f"LABEL_{number}" for number, name in names.items())
    if made_up:
        return ()
    if len(names) != count:
        raise ConfigError(
            "The labels do not fit the classifier.",
            expected=f"{count} names in id2label",
            found=f"{len(names)}",
            fix="correct or remove id2label in config.json",
        )
    return tuple(names[number] for number in range(count))


def write_head(head: TaskHead | None, *, own: bool) -> dict[str, Any]:
    """Keys of a config file that describe the head; none without a head."""
    if head is None:
        return {}
    if own:
        return {"task_head": head.to_json()}
    values: dict[str, Any] = {"architectures": [head.traits.transformers]}
    if head.part == "classifier" and head.kind != "multiple_choice":  # as transformers does
        labels = head.labels or tuple(f"LABEL_{n}" for n in range(head.num_labels))
        values["id2label"] = {str(n): label for n, label in enumerate(labels)}
        values["label2id"] = {label: n for n, label in enumerate(labels)}
    if head.no_answer_threshold is not None:  # not transformers', which keeps what it does not know
        values["no_answer_threshold"] = head.no_answer_threshold
    if head.traits.problem_type is not None:
        values["problem_type"] = head.traits.problem_type
    return values
