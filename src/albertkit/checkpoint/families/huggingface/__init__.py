"""transformers' folders of all versions, and lonePatient's albert_pytorch.

config.json with model.safetensors or pytorch_model.bin, also in shards; or with tf_model.h5, which
transformers 2 to 4 wrote from TensorFlow. Names: hf_names.py; older ones: old_names.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albertkit.checkpoint.families import _beside
from albertkit.checkpoint.families._config_keys import notes_on
from albertkit.checkpoint.families._configs import read as read_dialect
from albertkit.checkpoint.families._express import with_layer_groups, with_projection
from albertkit.checkpoint.families._folder import CONFIG_FILE, OWN_WEIGHTS, write_folder
from albertkit.checkpoint.families._foreign import other_encoder, quantised
from albertkit.checkpoint.families._head_configs import read_head
from albertkit.checkpoint.families._protocol import LoadResult, Loss, Overrides
from albertkit.checkpoint.families.huggingface.choose import USUAL, usual_file
from albertkit.checkpoint.families.huggingface.old_names import (
    PROJECTION,
    CurrentNames,
    add_biases,
    choose_decoder,
    current_names,
    settle_ties,
    whose,
)
from albertkit.checkpoint.families.huggingface.tf_model import FILE as TF_MODEL
from albertkit.checkpoint.families.huggingface.tf_model import is_tf_model, read_tf_model
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.checkpoint.formats.safetensors_file import Weights
from albertkit.checkpoint.formats.sharded import INDEX, names_in, read_any
from albertkit.checkpoint.hf_names import counts_up, huggingface_rules
from albertkit.checkpoint.mapping import LoadReport, import_tensors
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, ConfigError, listed
from albertkit.files import glimpse_json
from albertkit.tasks.head import TaskHead

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint

TITLE = "transformers, every version; lonePatient/albert_pytorch"
WRITES = True
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", INDEX)
NO_HEAD = "none"  # the choice of a user to leave out what is not part of an ALBERT
# lonePatient's own keys; what they mean is in the names of the tensors, or stands below.
_LONE_KEYS = {"ln_type", "share_type"}
_ORDERS = {"postln": "post", "preln": "pre"}


def detect(path: Path) -> Path | None:
    """A folder with weights under transformers' or lonePatient's names, or such a file."""
    if path.is_file():
        if path.suffix == ".h5":
            return path if is_tf_model(path) else None
        if path.name == OWN_WEIGHTS or not path.name.endswith(_SUFFIXES):
            return None
        names = names_in(path)
        usual = path.name in USUAL or path.suffix in (".bin", ".pt", ".pth") or _is_zip(path)
        mine = usual if names is None else whose(names) is not None
        return path if mine or (path.name in USUAL and _says_albert(path.parent)) else None
    if not path.is_dir() or _is_ours(path):
        return None
    chosen = usual_file(path)
    if chosen is not None:
        return detect(chosen)
    there = [x for x in sorted(path.iterdir()) if x.name.endswith(_SUFFIXES) and x.is_file()]
    claimed = [x for x in there if whose(names_in(x) or []) is not None]
    claimed = claimed or [x for x in (path / TF_MODEL,) if is_tf_model(x)]
    return claimed[0] if len(claimed) == 1 else None


def _is_zip(path: Path) -> bool:
    """Whether a .ckpt file is torch's, as Lightning saves it, and not TensorFlow's."""
    with path.open("rb") as file:
        return path.suffix == ".ckpt" and file.read(4) == b"PK\x03\x04"


def _says_albert(folder: Path) -> bool:
    """Whether the config is transformers' and of an ALBERT: then the usual files are its."""
    values = glimpse_json(folder / CONFIG_FILE)
    return isinstance(values, dict) and values.get("model_type") == "albert"


def _is_ours(folder: Path) -> bool:
    """Whether this is albertkit's own folder, which transformers refuses."""
    if (folder / OWN_WEIGHTS).is_file():
        return True
    values = glimpse_json(folder / CONFIG_FILE)
    return isinstance(values, dict) and values.get("model_type") == "albertkit"


def read(found: Path, overrides: Overrides) -> LoadResult:
    """Read a file of weights and the config beside it."""
    weights, source, files = _tensors_of(found)
    foreign = other_encoder(weights.tensors) or quantised(weights.kinds)
    if foreign is not None:
        raise foreign
    file = _beside.find_config(found.parent, [CONFIG_FILE, "albert_config.json"], overrides)
    values = _beside.read_values(file)
    try:
        config = _config(values, source)
        encoder_only = overrides.head == NO_HEAD
        head = None if encoder_only else read_head(values, source.tensors, kind=overrides.head)
        _beside.check_head(head, None if encoder_only else overrides.head)
    except ConfigError as error:
        raise error.at(file) from error
    config = _beside.with_values(config, overrides.values)
    choose_decoder(source, overrides.values)
    if config.tied_decoder:
        add_biases(source)
    _drop_unused(source, config)
    settle_ties(source, tied=config.tied_decoder)
    rules = huggingface_rules(config, head, renumber=False)
    ignore = _ignored(source.tensors, config)
    known = {rule.theirs for rule in rules.values()}
    rest = [name for name in source.tensors if name not in known and ignore(name) is None]
    if encoder_only:
        for name in rest:
            source.leave_out(name, "left out by choice: head none")
    elif rest and not any(name.startswith("albert.") for name in rest):
        raise _foreign_head([source.names[name] for name in rest])
    tensors, report = import_tensors(source.tensors, rules, config, ignore=ignore)
    problems: list[str] = []
    tokenizer = _beside.find_tokenizer(found.parent, problems)
    decided = (
        {} if source.lone is None else dict.fromkeys(_lone_choices(source, {}), "tensor names")
    )
    return LoadResult(
        config=config,
        tensors=tensors,
        report=_names_in_file(report, source),
        head=head,
        provenance=_beside.provenance(config, _keys(values), file, overrides, decided),
        tokenizer=tokenizer,
        special_ids=_beside.special_ids(values),
        source_tensors=weights.kinds,
        problems=weights.problems + source.problems + problems + notes_on(values),
        files=[file, *files],
    )


def _tensors_of(found: Path) -> tuple[Weights, CurrentNames, list[Path]]:
    """The tensors of a file, the same under today's names, and the files that were read."""
    if found.suffix == ".h5":
        return *read_tf_model(found), [found]
    weights, files = read_any(found)
    return weights, current_names(weights), files


def _foreign_head(names: list[str]) -> CheckpointError:
    """The error about tensors of a custom head on the encoder."""
    return CheckpointError(
        "The file holds a head that is not one of ALBERT's.",
        expected="an ALBERT, alone or with a head of transformers",
        found=listed(names),
        fix='pass overrides=Overrides(head="none"), which leaves them out and keeps the encoder',
        command_fix="add --head none, which leaves them out and keeps the encoder",
    )


def _keys(values: Mapping[str, Any]) -> dict[str, str]:
    """Our key of each key in a config file."""
    other = {"tie_word_embeddings": "tied_decoder", "ln_type": "norm_order"}
    return {key: other.get(key, key) for key in values}


def _config(values: Mapping[str, Any], source: CurrentNames) -> AlbertConfig:
    """The config of the file; of lonePatient's two programs, what they do otherwise, too."""
    if source.lone is None:
        return read_dialect(values, dialect="huggingface").config
    kept = {key: value for key, value in values.items() if key not in _LONE_KEYS}
    config = read_dialect(kept, dialect="huggingface").config
    return replace(config, **_lone_choices(source, values))


def _lone_choices(source: CurrentNames, values: Mapping[str, Any]) -> dict[str, Any]:
    """What lonePatient's two programs do otherwise than transformers."""
    chosen: dict[str, Any] = {"group_formula": "google", "project_equal_width": False}
    if source.lone == "brightmart":
        kind = values.get("ln_type", "postln")
        if not isinstance(kind, str) or kind not in _ORDERS:
            raise ConfigError(
                f"ln_type must be one of {', '.join(_ORDERS)}.",
                found=str(kind)[:80],
                fix="correct ln_type in the config file",
            )
        chosen |= {
            "norm_order": _ORDERS[kind],
            "embedding_order": "project_then_norm",
            "position_width": "hidden",
            "projection_bias": False,
            "project_equal_width": True,
        }
    return chosen


def _drop_unused(source: CurrentNames, config: AlbertConfig) -> None:
    """lonePatient's google program makes a projection for E = H and never uses it."""
    if source.lone != "google" or config.has_projection:
        return
    for kind in ("weight", "bias"):
        if source.tensors.pop(f"{PROJECTION}.{kind}", None) is not None:
            name = source.names.pop(f"{PROJECTION}.{kind}")
            source.ignored[name] = "not used where embedding and hidden width are equal"


def _ignored(tensors: Mapping[str, Array], config: AlbertConfig) -> Callable[[str], str | None]:
    """The function that says why a tensor may be left out, by its name of today."""
    unused = frozenset(range(config.num_hidden_groups)) - frozenset(config.attention_blocks)

    def why(name: str) -> str | None:
        if name.endswith("embeddings.position_ids") and counts_up(tensors[name]):
            return "the numbers 0, 1, 2, ..."
        group = re.search(r"encoder\.albert_layer_groups\.(\d{1,9})\.", name)
        return "no layer uses this group" if group and int(group[1]) in unused else None

    return why


def _names_in_file(report: LoadReport, source: CurrentNames) -> LoadReport:
    """The report with the names that the tensors have in the file."""
    return LoadReport(
        loaded={source.names[today]: use for today, use in report.loaded.items()},
        ignored={source.names[today]: why for today, why in report.ignored.items()}
        | source.ignored,
        missing=report.missing,
    )


def express(checkpoint: Checkpoint) -> tuple[Checkpoint, list[str]]:
    """The equal model that transformers has: it always projects, and groups by its own formula."""
    checkpoint, notes = with_projection(checkpoint, bias=True)
    checkpoint, more = with_layer_groups(checkpoint, lambda config: config.has_huggingface_groups)
    return checkpoint, notes + more


def losses(checkpoint: Checkpoint) -> list[Loss]:
    """What transformers cannot hold."""
    config, head = checkpoint.config, checkpoint.head
    lost = []
    if checkpoint.has_masked_lm and config.head_layer_norm_eps != config.layer_norm_eps:
        what = (
            f"head_layer_norm_eps={config.head_layer_norm_eps:g}: transformers takes "
            f"{config.layer_norm_eps:g} for the masked-LM head as well"
        )
        lost.append(Loss(("head_layer_norm_eps",), what))
    if head is not None and head.fits_huggingface:
        what = f"the head of the task: {', '.join(head.fits_huggingface)}"
        lost.append(Loss(("head",), what))
    reasons = _within(checkpoint).fits_huggingface
    if reasons:
        raise CheckpointError(
            "transformers has no model that computes this.",
            expected="an ALBERT of transformers' kind",
            found="; ".join(reasons),
            fix="convert to albertkit, which holds every ALBERT",
        )
    return lost


def _within(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint without what `losses` names."""
    config, head = checkpoint.config, checkpoint.head
    config = replace(config, head_layer_norm_eps=config.layer_norm_eps)
    kept: TaskHead | None = head if head is None or not head.fits_huggingface else None
    tensors = {
        name: tensor
        for name, tensor in checkpoint.tensors.items()
        if head is None or head is kept or name not in head.shapes(config.hidden_size)
    }
    return replace(checkpoint, config=config, tensors=tensors, head=kept)


def write(checkpoint: Checkpoint, folder: Path, dtype: str) -> None:
    """Write config.json and model.safetensors, as transformers does."""
    write_folder(_within(checkpoint), folder, dtype)
