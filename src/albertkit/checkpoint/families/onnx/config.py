"""The config of an ONNX file: what its graph shows, and what a config file adds or gets wrong.

The graph wins, as it is what runs: a contradiction goes to the problems. What neither says, and
what decides the function, is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from albertkit.checkpoint.families import _beside
from albertkit.checkpoint.families._config_keys import PLAIN, notes_on
from albertkit.checkpoint.families._configs import HUGGINGFACE_ACT, read
from albertkit.checkpoint.families._head_configs import ARCHITECTURES, PROBLEM_TYPES, read_head
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.checkpoint.families.onnx.layers import PLAN, Sequence, plan
from albertkit.checkpoint.families.onnx.weights import Found, no_albert
from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError, shown
from albertkit.tasks.head import TaskHead

_KEYS = [item.name for item in fields(AlbertConfig)]
_SIZES = (
    *("vocab_size", "embedding_size", "hidden_size", "intermediate_size"),
    *("max_position_embeddings", "type_vocab_size"),
)
_OTHER_NAMES = {"tie_word_embeddings": "tied_decoder", "ln_type": "norm_order"}
# Keys that a graph may not show, with an example of what to give.
_ASKED = {"num_attention_heads": "12", "layer_norm_eps": "1e-12"}
# What a head may be for, by where it reads and by "1" for a single output; the likely one first.
_KINDS = {
    "span": ("span",),
    "tokens": ("token_classification",),
    "pooled": ("classification", "multi_label"),
    "pooled, 1": ("regression", "multiple_choice", "multi_label"),
}


@dataclass
class GraphConfig:
    """A config, where each of its values comes from, and what contradicts it."""

    config: AlbertConfig
    values: dict[str, Any] = field(default_factory=dict)  # of the config file
    provenance: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def read_config(
    path: Path, facts: Mapping[str, Any], layers: Sequence, overrides: Overrides
) -> GraphConfig:
    """The config of a graph.

    Args:
        path: the ONNX file.
        facts: what the graph shows.
        layers: the blocks in their order.
        overrides: what the user says.

    Raises:
        ConfigError: a value that no ALBERT has, a file that is not the config of an ALBERT, or a
            value that decides the function and is found nowhere.
        CheckpointError: a BERT, or layers that share nothing as an ALBERT does.
    """
    _beside.check_keys(overrides.values)
    file = overrides.config or _config_beside(path)
    values = {} if file is None else _beside.read_values(file)
    result = GraphConfig(AlbertConfig(), values, files=[] if file is None else [file])
    result.problems += notes_on(values)
    said: dict[str, Any] = {}
    try:
        said = _from_file(values, facts) if file is not None else {}
    except ConfigError as error:
        assert file is not None
        if overrides.config is not None or not _is_albert(values):
            raise error.at(file) from error
        found_there = error.facts.get("found", "")
        result.problems.append(f"{file.name} is not used: {error.what} ({found_there})")
    _refuse_bert(facts, layers, values or overrides.values)
    merged = _merged(facts, said, overrides, result)
    _ask(merged, path)
    merged.setdefault("head_layer_norm_eps", merged["layer_norm_eps"])
    _settle_layers(merged, said, layers, overrides, result)
    result.provenance = {key: merged.get(key, (None, "default"))[1] for key in _KEYS}
    result.provenance |= dict.fromkeys(("share", "ffn_groups", "layer_norm_kind"), "graph")
    return result


_Merged = dict[str, tuple[Any, str]]  # each key with its value and where that is from


def _settle_layers(
    merged: _Merged,
    said: Mapping[str, Any],
    layers: Sequence,
    overrides: Overrides,
    result: GraphConfig,
) -> None:
    """Find how the layers share their blocks; `result` gets the config."""
    plain = {key: value for key, (value, _) in merged.items() if key not in PLAN}
    said_plan = {key: value for key, (value, _) in merged.items() if key in PLAN}
    try:
        prior = AlbertConfig(**plain, **{"num_hidden_layers": len(layers.order), **said_plan})
    except ConfigError:
        prior = AlbertConfig(**plain)
    result.config = plan(prior, layers, overrides.values)
    name = result.files[0].name if result.files else ""
    for key in PLAN:
        settled = getattr(result.config, key)
        if key in said and said[key] != settled:
            result.problems.append(
                f"{name} says {key}={shown(said[key])}; the graph computes {shown(settled)}"
            )
        place = name if key in said and said[key] == settled else "graph"
        merged[key] = settled, "given" if key in overrides.values else place
    if len(layers.blocks) > 1 and not {"num_hidden_groups", "inner_group_num"} & set(said):
        result.problems.append(
            "groups and inner groups of blocks compute the same; the graph is read as "
            f"num_hidden_groups={result.config.num_hidden_groups}, "
            f"inner_group_num={result.config.inner_group_num}"
        )


def _merged(
    facts: Mapping[str, Any], said: Mapping[str, Any], overrides: Overrides, result: GraphConfig
) -> _Merged:
    """Each key with its value and where it is from; contradictions go to the problems.

    Raises:
        ConfigError: the user gives another size than the graph has.
    """
    found: _Merged = {key: (value, "graph") for key, value in facts.items()}
    name = result.files[0].name if result.files else ""
    for values, words in ((said, f"{name} says {{}}"), (overrides.values, "{} was given")):
        for key, value in values.items():
            graph = facts.get(key, value)
            if values is overrides.values and key in _SIZES and graph != value:
                raise ConfigError(
                    "The graph has another size.",
                    expected=f"{key}={graph}",
                    found=shown(value),
                    fix="leave the key out",
                )
            if graph != value:
                contradiction = words.format(f"{key}={shown(value)}")
                result.problems.append(f"{contradiction}; the graph computes {shown(graph)}")
            if values is overrides.values:
                found[key] = value, "given"
            else:
                found.setdefault(key, (value, name))
    return found


def _ask(merged: Mapping[str, Any], path: Path) -> None:
    """Ask for what nothing says.

    Raises:
        ConfigError: with the missing keys.
    """
    missing = [key for key in _ASKED if key not in merged]
    if missing:
        given = " ".join(f"--set {key}={_ASKED[key]}" for key in missing)
        raise ConfigError(
            "The graph does not show everything that decides what the model computes.",
            expected=", ".join(missing),
            found="neither in the graph nor in a config beside it",
            where=path,
            fix="pass overrides=Overrides(values=...) with "
            + ", ".join(f"{key}={_ASKED[key]}" for key in missing)
            + " (or what the model was trained with)",
            command_fix=f"give {given} (or what the model was trained with), or --config FILE",
        )


def _config_beside(path: Path) -> Path | None:
    """The config file of a model: in its folder, or above a folder `onnx`."""
    for folder in folders(path):
        for name in ("config.json", "albert_config.json"):
            if (folder / name).is_file():
                return folder / name
    return None


def folders(path: Path) -> list[Path]:
    """Where files lie that belong to a model."""
    parent = path.parent
    return [parent, parent.parent] if parent.name == "onnx" else [parent]


def _is_albert(values: Mapping[str, Any]) -> bool:
    """Whether a config file speaks of an ALBERT, whatever else it says."""
    known = values.get("model_type", "albert") in ("albert", "albertkit")
    return known and "embedding_size" in values


def _from_file(values: dict[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Our keys that a parsed config file decides; what it lacks is filled for the result."""
    filled = {key: value for key, value in facts.items() if key in PLAIN}
    filled |= {"num_hidden_layers": 1, "hidden_act": HUGGINGFACE_ACT[facts["hidden_act"]]}
    try:
        config = read({**filled, **values} if "embedding_size" in values else values).config
    except ConfigError:
        if not _is_albert(values):
            raise
        config = read({**filled, **values}, dialect="huggingface").config
    if values.get("model_type") == "albertkit":
        return asdict(config)
    keys = {_OTHER_NAMES.get(key, key) for key in values}
    decided = {key: value for key, value in asdict(config).items() if key in keys}
    if "num_hidden_groups" in decided:
        decided["group_formula"] = config.group_formula
    return decided


def _refuse_bert(facts: Mapping[str, Any], layers: Sequence, said: Mapping[str, Any]) -> None:
    """Refuse a BERT: no projection, and no layer that shares anything with another.

    Raises:
        CheckpointError: it is one, and no config says that it is an ALBERT.
    """
    apart = len(layers.blocks) == len(layers.order)
    projected = facts["embedding_size"] != facts["hidden_size"] or facts["project_equal_width"]
    if apart and not projected and not said:
        raise no_albert(
            f"{len(layers.order)} layers that share nothing, and no projection behind the "
            "embeddings: a BERT",
            "shared layers, or a projection",
        )


def read_task_head(
    found: Found,
    choices: bool,
    wanted: str | None,
    values: Mapping[str, Any],
    problems: list[str],
) -> TaskHead | None:
    """The head of a task.

    Args:
        found: the weights.
        choices: whether inputs have an axis of choices.
        wanted: the user's name of the head.
        values: the config file.
        problems: a contradiction is added.

    Raises:
        ConfigError: the user names another head.
    """
    if found.place is None:
        _beside.check_head(None, wanted)
        return None
    weight = found.tensors["span.weight" if found.place == "span" else "classifier.weight"].array
    one = found.place == "pooled" and len(weight) == 1
    kinds = _KINDS["pooled, 1" if one else found.place]
    kinds = ("multiple_choice",) if one and choices else kinds
    named = _kind_of(values)
    kind = wanted or (named if named in kinds else kinds[0])
    if kind not in kinds:
        raise ConfigError(
            "The graph has no head of this kind.",
            expected=", ".join(kinds),
            found=kind,
            fix="leave the head out of the overrides, or give one of these",
            command_fix="leave --head out, or give one of these",
        )
    if named is not None and named not in kinds:
        problems.append(f"the config names a head for {named}; the graph has one for {kind}")
    if kind == "span":
        return TaskHead("span", 2)
    try:
        return read_head(values, {"classifier.weight": weight}, kind=kind)
    except ConfigError as error:
        problems.append(f"names of the classes are not read: {error.facts.get('found')}")
        return TaskHead(kind, len(weight))


def _kind_of(values: Mapping[str, Any]) -> str | None:
    """What a config file says that the head is for, if it does."""
    own = values.get("task_head")
    if isinstance(own, Mapping):
        return TaskHead.from_json(own).kind
    names = values.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else ""
    kind = next((kind for end, kind in ARCHITECTURES.items() if name.endswith(end)), None)
    if kind == "classification":
        return PROBLEM_TYPES.get(str(values.get("problem_type")))
    return kind
