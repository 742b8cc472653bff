"""The config of an ONNX file: what its graph computes, and what a config file adds or gets wrong.

The graph wins, as it is what runs: a contradiction goes to the problems. What neither tells, and
what decides the function, is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from albertkit.checkpoint.families import _beside
from albertkit.checkpoint.families._configs import HUGGINGFACE_ACT, PLAIN, read
from albertkit.checkpoint.families._head_configs import ARCHITECTURES, PROBLEM_TYPES, read_head
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.checkpoint.families.onnx.layers import PLAN, Sequence, plan
from albertkit.checkpoint.families.onnx.probe import no_albert
from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError, shown
from albertkit.tasks.head import TaskHead

_KEYS = [item.name for item in fields(AlbertConfig)]
_SIZES = (
    *("vocab_size", "embedding_size", "hidden_size", "intermediate_size"),
    *("max_position_embeddings", "type_vocab_size"),
)
_OTHER_NAMES = {"tie_word_embeddings": "tied_decoder", "ln_type": "norm_order"}


@dataclass
class Told:
    """A config, who told each of its values, and what contradicts it."""

    config: AlbertConfig
    values: dict[str, Any] = field(default_factory=dict)  # of the config file
    provenance: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def tell_config(
    path: Path,
    facts: Mapping[str, Any],
    attention: Sequence,
    feed_forward: Sequence,
    overrides: Overrides,
) -> Told:
    """The config of a graph.

    Args:
        path: the ONNX file.
        facts: what the walk through the graph tells.
        attention, feed_forward: the blocks in their order.
        overrides: what the user says.

    Raises:
        ConfigError: a value that no ALBERT has, a file that is no config of an ALBERT, or a value
            that decides the function and that nothing tells.
        CheckpointError: a BERT, or layers that share nothing as an ALBERT does.
    """
    unknown = sorted(set(overrides.values) - set(_KEYS))
    if unknown:
        _beside.with_values(AlbertConfig(), overrides.values)  # raises
    file = overrides.config or config_beside(path)
    values = {} if file is None else _beside.read_values(file)
    told = Told(AlbertConfig(), values, files=[] if file is None else [file])
    said: dict[str, Any] = {}
    try:
        said = _said(values, facts) if file is not None else {}
    except ConfigError as error:
        assert file is not None
        if overrides.config is not None or not _is_albert(values):
            raise _beside.located(error, file) from error
        # The graph tells all that decides the function.
        found_there = error.facts.get("found", "")
        told.problems.append(f"{file.name} is not used: {error.what} ({found_there})")
    _check_shared(facts, attention, feed_forward, values or overrides.values)
    found = _merged(facts, said, overrides, told)
    if "layer_norm_eps" not in found:
        raise ConfigError(
            "The graph does not show the epsilon of its normalisations.",
            expected="layer_norm_eps",
            found="none that is large enough to be seen" + ("" if file else ", and no config file"),
            where=path,
            fix="give --set layer_norm_eps=1e-12 (or what the model was trained with), or --config",
        )
    found.setdefault("head_layer_norm_eps", found["layer_norm_eps"])
    plain = {key: value for key, (value, _) in found.items() if key not in PLAN}
    said_plan = {key: value for key, (value, _) in found.items() if key in PLAN}
    config = plan(
        _prior(plain, said_plan, attention), attention, feed_forward, overrides.values
    )  # fmt: skip
    _tell_plan(told, config, said, file, attention)
    places = {key: place for key, (_, place) in found.items() if key not in PLAN}
    told.config = config
    told.provenance = {key: places.get(key, "default") for key in _KEYS}
    told.provenance |= {key: _plan_place(key, config, said, overrides, file) for key in PLAN}
    told.provenance["ffn_groups"] = told.provenance["layer_norm_kind"] = "graph"
    return told


_Found = dict[str, tuple[Any, str]]


def _merged(
    facts: Mapping[str, Any], said: Mapping[str, Any], overrides: Overrides, told: Told
) -> _Found:
    """Each key with its value and who told it; contradictions go to the problems.

    Raises:
        ConfigError: the user gives another size than the graph has.
    """
    found: _Found = {key: (value, "graph") for key, value in facts.items()}
    name = told.files[0].name if told.files else ""
    for key, value in said.items():
        if key in found and found[key][0] != value:
            told.problems.append(f"{name} says {key}={shown(value)}; the graph computes "
                                 f"{shown(found[key][0])}")  # fmt: skip
        found.setdefault(key, (value, name))
    for key, value in overrides.values.items():
        if key in _SIZES and found[key][0] != value:
            raise ConfigError(
                "The graph has another size.",
                expected=f"{key}={found[key][0]}",
                found=shown(value),
                fix="leave the key out",
            )
        if key in facts and facts[key] != value:
            told.problems.append(f"{key}={shown(value)} was given; the graph computes "
                                 f"{shown(facts[key])}")  # fmt: skip
        found[key] = (value, "given")
    return found


def _prior(plain: dict[str, Any], said: dict[str, Any], attention: Sequence) -> AlbertConfig:
    """The config as the file says it, with a layer for each block where it says nothing."""
    said = {"num_hidden_layers": len(attention.order), **said}
    try:
        return AlbertConfig(**plain, **said)
    except ConfigError:
        return AlbertConfig(**plain)


def _tell_plan(
    told: Told, config: AlbertConfig, said: dict[str, Any], file: Path | None, attention: Sequence
) -> None:
    """Problems of the layers: what the file says otherwise, what the graph leaves open."""
    for key in PLAN:
        if file is not None and key in said and said[key] != getattr(config, key):
            told.problems.append(f"{file.name} says {key}={shown(said[key])}; the graph computes "
                                 f"{shown(getattr(config, key))}")  # fmt: skip
    many = len(attention.blocks) > 1
    if many and not {"num_hidden_groups", "inner_group_num"} & set(said):
        told.problems.append(
            "groups and inner groups of blocks compute the same; the graph is read as "
            f"num_hidden_groups={config.num_hidden_groups}, "
            f"inner_group_num={config.inner_group_num}"
        )


def _plan_place(
    key: str, config: AlbertConfig, said: dict[str, Any], overrides: Overrides, file: Path | None
) -> str:
    if key in overrides.values:
        return "given"
    agrees = file is not None and said.get(key) == getattr(config, key)
    return file.name if agrees and file is not None else "graph"


def config_beside(path: Path) -> Path | None:
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


def _said(values: dict[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Our keys that a parsed config file decides; what it lacks is filled for the result."""
    filled = {key: value for key, value in facts.items() if key in PLAIN}
    filled |= {"num_hidden_layers": 1, "hidden_act": HUGGINGFACE_ACT[facts["hidden_act"]]}
    try:
        config = read({**filled, **values} if "embedding_size" in values else values).config
    except ConfigError:
        if not _is_albert(values):
            raise
        config = read({**filled, **values}, spelling="huggingface").config
    keys = {_OTHER_NAMES.get(key, key) for key in values}
    decided = {key: value for key, value in asdict(config).items() if key in keys}
    if "model_type" in values and values["model_type"] == "albertkit":
        return asdict(config)
    if "num_hidden_groups" in decided:
        decided["group_formula"] = config.group_formula
    return decided


def _check_shared(
    facts: Mapping[str, Any], attention: Sequence, feed_forward: Sequence, said: Mapping[str, Any]
) -> None:
    """Refuse a BERT: no projection, and no layer that shares anything with another.

    Raises:
        CheckpointError: it is one, and no config says that it is an ALBERT.
    """
    apart = len(attention.blocks) == len(attention.order)
    apart &= len(feed_forward.blocks) == len(feed_forward.order)
    narrow = facts["embedding_size"] != facts["hidden_size"] or facts["project_equal_width"]
    if apart and not narrow and not said:
        raise no_albert(
            f"{len(attention.order)} layers that share nothing, and no projection behind the "
            "embeddings: a BERT",
            "shared layers, or a projection",
        )


def tell_head(
    place: str | None, weight: Any, overrides: Any, values: Mapping[str, Any], problems: list[str]
) -> TaskHead | None:
    """The head of a task.

    Args:
        place: "pooled", "tokens" or "span": what it reads; None without one.
        weight: its matrix (classes, H).
        overrides: whether inputs have an axis of overrides, and the user's name of the head.
        values: the config file.
        problems: a contradiction is added.

    Raises:
        ConfigError: the user names another head.
    """
    rows, wanted = overrides
    if place is None:
        _beside.check_head(None, wanted)
        return None
    kinds = _kinds(place, len(weight), rows)
    told = _kind_of(values)
    kind = wanted or (told if told in kinds else kinds[0])
    if kind not in kinds:
        raise ConfigError(
            "The graph has no head of this kind.",
            expected=", ".join(kinds),
            found=kind,
            fix="leave --head out, or name one of these",
        )
    if told is not None and told not in kinds:
        problems.append(f"the config names a head for {told}; the graph has one for {kind}")
    if kind == "span":
        return TaskHead("span", 2)
    try:
        return read_head(values, {"classifier.weight": weight}, kind=kind)
    except ConfigError as error:
        problems.append(f"names of the classes are not read: {error.facts.get('found')}")
        return TaskHead(kind, len(weight))


def _kinds(place: str, count: int, rows: bool) -> tuple[str, ...]:
    """What a head of this place may be for, the likely one first."""
    if place == "span":
        return ("span",)
    if place == "tokens":
        return ("token_classification",)
    if count == 1:
        return ("multiple_choice",) if rows else ("regression", "multiple_choice", "multi_label")
    return ("classification", "multi_label")


def _kind_of(values: Mapping[str, Any]) -> str | None:
    """What a config file says that the head is for, if it does."""
    told = values.get("task_head")
    if isinstance(told, Mapping):
        return TaskHead.from_json(told).kind
    names = values.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else ""
    kind = next((kind for end, kind in ARCHITECTURES.items() if name.endswith(end)), None)
    if kind == "classification":
        return PROBLEM_TYPES.get(str(values.get("problem_type")))
    return kind
