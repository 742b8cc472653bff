"""The config of a TensorFlow 1 checkpoint, from all that says something about it.

A config file may be missing, incomplete or wrong. Sizes come from the shapes of tensors; heads,
activation and the order of norms from a graph file, where there is one; what the user gives wins.
Whatever is then still open is an error that asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from albertkit.checkpoint.families._beside import check_keys, looks_like_config, other_configs
from albertkit.checkpoint.families._config_keys import PLAIN, notes_on
from albertkit.checkpoint.families._configs import detect_dialect, read
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.checkpoint.families._tf.graph import facts_beside
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, ConfigError, listed, quoted, shown
from albertkit.files import strict_json

# What both programs compute, whatever a config of another program says.
_FIXED = {
    "layer_norm_eps": 1e-12,
    "head_layer_norm_eps": 1e-12,
    "layer_norm_kind": "standard",
    "group_formula": "google",
    "final_norm": False,
    "tied_decoder": True,
}
_KEYS = [item.name for item in fields(AlbertConfig)]
# Keys that decide the function and that no shape shows, with an example in Python and as words.
_OPEN = {
    "num_hidden_layers": ("12", "12"),
    "num_attention_heads": ("16", "16"),
    "hidden_act": ('"gelu_tanh"', "gelu_tanh (or relu)"),
    "norm_order": ('"post"', "post (or pre)"),
}
_ENGLISH_PIECES = 30000
_XLARGE = 2048


@dataclass
class Layout:
    """What the tensors of a file say about its model.

    dialect: of the config file that belongs to it. sizes: config key to its value and the tensor
    that says it. fixed: keys that the layout decides. hints: keys for a config that lacks them.
    """

    dialect: str
    sizes: dict[str, tuple[int, str]]
    fixed: dict[str, Any] = field(default_factory=dict)
    hints: dict[str, Any] = field(default_factory=dict)


@dataclass
class ResolvedConfig:
    """A config, where each of its values is from, and what contradicts it."""

    config: AlbertConfig
    provenance: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def resolve_config(prefix: Path, overrides: Overrides, layout: Layout) -> ResolvedConfig:
    """The config of a checkpoint.

    Raises:
        ConfigError: a wrong value, an unknown key, or a choice that nothing decides.
        CheckpointError: sizes of the config that are not those of the tensors.
    """
    check_keys(overrides.values)
    file = overrides.config or _config_beside(prefix)
    resolved = ResolvedConfig(AlbertConfig(), files=[] if file is None else [file])
    found = {} if file is None else _from_file(file, layout, resolved)
    _add_layout(found, layout, resolved)
    _add_graph(found, layout, prefix, overrides, resolved)
    _add_given(found, layout, overrides)
    missing = [key for key in _OPEN if key not in found]
    if missing:
        raise _open_choices(missing, prefix, file)
    resolved.config = AlbertConfig(**{key: value for key, (value, _) in found.items()})
    resolved.provenance = {key: found[key][1] if key in found else "default" for key in _KEYS}
    resolved.problems += _doubts(resolved)
    return resolved


def _open_choices(missing: list[str], prefix: Path, file: Path | None) -> ConfigError:
    """The error about keys that neither shapes, nor a graph, nor a config file decide."""
    others = [] if file is not None else other_configs(places(prefix))
    found = "no config file" if file is None else f"no such keys in {file.name}, no graph"
    values = "{" + ", ".join(f'"{key}": {_OPEN[key][0]}' for key in missing) + "}"
    words = ", ".join(f"--set {key}={_OPEN[key][1]}" for key in missing)
    fix, command_fix = f"pass overrides=Overrides(values={values})", f"give {words}"
    if others:
        found = f"{found}, but {looks_like_config(others)}"
        fix = f'pass overrides=Overrides(config="{others[0]}")'
        command_fix = f"add --config {quoted(others[0])}"
    return ConfigError(
        "The files leave open what this model computes.",
        expected=", ".join(missing),
        found=found,
        where=prefix,
        fix=fix,
        command_fix=f"{command_fix}; or let --detect TEXT decide by the loss on a text",
        missing=missing,
    )


_Found = dict[str, tuple[Any, str]]


def _config_beside(prefix: Path) -> Path | None:
    """`albert_config*.json` in the folder, or in the assets of a TF-Hub module; else another name.

    google's scripts call it bert_config.json as well, and what was exported config.json.

    Raises:
        ConfigError: there are several.
    """
    there: list[Path] = []
    for name in ("albert_config*.json", "bert_config*.json", "config*.json"):
        there = there or sorted(path for place in places(prefix) for path in place.glob(name))
    if len(there) > 1:
        raise ConfigError(
            "There are several config files beside the weights.",
            expected="one",
            found=listed([path.name for path in there]),
            where=prefix.parent,
            fix=f"pass overrides=Overrides(config={str(there[0])!r}), or another of them",
            command_fix=f"add --config {quoted(there[0])}, or another of them",
        )
    return there[0] if there else None


def places(prefix: Path) -> list[Path]:
    """Folders with files that belong to a checkpoint."""
    if prefix.parent.name == "variables":
        return [prefix.parent, prefix.parent.parent / "assets", prefix.parent.parent]
    return [prefix.parent]


def _from_file(file: Path, layout: Layout, resolved: ResolvedConfig) -> _Found:
    """What a config file says, in our keys; notes on other keys go to the problems.

    Raises:
        ConfigError: the file is not the config of an ALBERT.
    """
    try:
        values = strict_json(file)
        if not isinstance(values, Mapping):
            raise ConfigError(
                "A config is a JSON object.",
                found=shown(values),
                fix="pass the right file as overrides=Overrides(config=...), or none",
                command_fix="give the right file as --config, or none",
            )
        resolved.problems += notes_on(values)
        return {key: (value, file.name) for key, value in _read(dict(values), layout).items()}
    except ConfigError as error:
        raise error.at(file) from error.__cause__


def _read(values: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """Our keys that a parsed file decides. What it lacks is filled for the time of result."""
    dialect = layout.dialect
    try:
        theirs = detect_dialect({"embedding_size": 0, **values})
    except ConfigError:  # the file does not say it; the weights do
        theirs = dialect
    if theirs in ("huggingface", "paddle", "uer", "albertkit"):
        dialect = theirs
    keys = set(_KEYS)
    if dialect in ("google", "google_fast", "brightmart", "huggingface"):
        keys &= set(values) | ({"norm_order"} if "ln_type" in values else set())
        sizes = {key: size for key, (size, _) in layout.sizes.items() if key in PLAIN}
        values = {**sizes, "num_hidden_layers": 1, "num_attention_heads": 1, **values}
        values.setdefault("hidden_act", "linear")
    size = layout.sizes["vocab_size"][0]
    config = asdict(read(values, dialect=dialect, vocab_size=size).config)
    return {key: config[key] for key in keys}


def _add_layout(found: _Found, layout: Layout, resolved: ResolvedConfig) -> None:
    """What the tensors say.

    Raises:
        CheckpointError: the file says other sizes.
    """
    _check_sizes(found, layout)
    for key, (size, tensor) in layout.sizes.items():
        found.setdefault(key, (size, f"shape of {tensor}"))
    for key, value in {**_FIXED, **layout.fixed}.items():
        before = found.get(key)
        if before is not None and before[0] != value:
            resolved.problems.append(
                f"{before[1]} says {key}={before[0]}; these weights have {value}"
            )
        if before is None or before[0] != value:
            found[key] = (value, "layout of the tensors")
    for key, value in layout.hints.items():
        found.setdefault(key, (value, "layout of the tensors"))
    act = found.get("hidden_act")
    if act is not None and act[0] == "gelu_erf":
        found["hidden_act"] = ("gelu_tanh", act[1])
        resolved.problems.append(
            f"{act[1]} means gelu by erf; the programs that write such weights compute tanh"
        )


def _check_sizes(found: _Found, layout: Layout) -> None:
    wrong = [
        f"{key}={found[key][0]} ({found[key][1]}), but {size} by {tensor}"
        for key, (size, tensor) in layout.sizes.items()
        if key in found and found[key][0] != size
    ]
    if wrong:
        raise CheckpointError(
            "The config has other sizes than the tensors.",
            expected="the config that belongs to the weights",
            found="; ".join(wrong),
            fix="pass the right file as overrides=Overrides(config=...), or none",
            command_fix="give the right file as --config, or none",
        )


def _add_graph(
    found: _Found, layout: Layout, prefix: Path, overrides: Overrides, resolved: ResolvedConfig
) -> None:
    """What the graph beside the weights shows; it wins over the file, except for the layers."""
    facts, graph, problems = facts_beside(prefix, layout.sizes["hidden_size"][0])
    resolved.problems += problems
    if graph is None:
        return
    resolved.files.append(graph)
    for key in _OPEN:
        value = getattr(facts, key)
        if value is None or key in overrides.values:
            continue
        before = found.get(key)
        if before is not None and before[0] != value:
            resolved.problems.append(f"{before[1]} says {key}={before[0]}, {graph.name} {value}")
        if before is None or (before[0] != value and key != "num_hidden_layers"):
            found[key] = (value, f"graph {graph.name}")


def _add_given(found: _Found, layout: Layout, overrides: Overrides) -> None:
    """What the user gives.

    Raises:
        ConfigError: a value that no ALBERT can have.
        CheckpointError: a size that is not that of the tensors.
    """
    for key, value in overrides.values.items():
        found[key] = (value, "given")
    _check_sizes(found, layout)


def _doubts(resolved: ResolvedConfig) -> list[str]:
    """What is known to be wrong in files of released models, where nothing settled it."""
    config, who = resolved.config, resolved.provenance
    unsure = {key for key in _OPEN if who[key] != "given" and not who[key].startswith("graph")}
    if config.hidden_size != _XLARGE:
        return []
    doubts = []
    if config.vocab_size == _ENGLISH_PIECES and "num_attention_heads" in unsure:
        doubts.append(
            f"configs of the English xlarge disagree on 16 or 32 heads (here "
            f"{config.num_attention_heads}); --detect FILE shows which"
        )
    if config.embedding_order == "project_then_norm" and "norm_order" in unsure:
        doubts.append(
            f"configs of albert_zh's xlarge disagree on the order of norms (here "
            f"{config.norm_order}); --detect FILE shows which"
        )
    return doubts
