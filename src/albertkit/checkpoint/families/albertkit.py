"""Our own checkpoint folder: holds every ALBERT that there is, also what transformers lacks.

Where transformers can run the model the folder is its layout; else `model_type` is `albertkit`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from albertkit.checkpoint.families import _beside
from albertkit.checkpoint.families._configs import read as read_config
from albertkit.checkpoint.families._folder import CONFIG_FILE, OWN_WEIGHTS, write_folder
from albertkit.checkpoint.families._head_configs import read_head
from albertkit.checkpoint.families._protocol import LoadResult, Loss, Overrides
from albertkit.checkpoint.formats.safetensors_file import read_weights
from albertkit.checkpoint.hf_names import own_rules
from albertkit.checkpoint.mapping import import_tensors
from albertkit.errors import AlbertkitError, CheckpointError, ConfigError
from albertkit.files import glimpse_json

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint

TITLE = "albertkit's own folder"
WRITES = True


def detect(path: Path) -> Path | None:
    """A folder with our weights file or our config, or one of these files."""
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and path.name not in (OWN_WEIGHTS, CONFIG_FILE):
        return None
    if (folder / OWN_WEIGHTS).is_file():
        return folder
    values = glimpse_json(folder / CONFIG_FILE)
    own = isinstance(values, dict) and values.get("model_type") == "albertkit"
    return folder if own else None


def read(found: Path, overrides: Overrides) -> LoadResult:
    """Read a folder whose config says everything; overrides are refused."""
    file = found / CONFIG_FILE
    if not file.is_file():
        raise _no_config(found)
    values = _beside.read_values(file)
    if not (found / OWN_WEIGHTS).is_file():
        raise _no_weights(found)
    weights = read_weights(found / OWN_WEIGHTS)
    try:
        source = read_config(values, dialect="albertkit")
        head = read_head(values, weights.tensors)
    except ConfigError as error:
        raise error.at(file) from error
    kind = None if head is None else head.kind
    if overrides.config or overrides.values or overrides.head not in (None, kind):
        raise AlbertkitError(
            "This folder says everything itself.",
            expected="no --config, --set or --head",
            found="a choice",
            fix="leave it out, or edit config.json",
        )
    tensors, report = import_tensors(weights.tensors, own_rules(source.config, head), source.config)
    problems = list(weights.problems)
    return LoadResult(
        config=source.config,
        tensors=tensors,
        report=report,
        head=head,
        provenance=dict.fromkeys(source.config.to_json(), CONFIG_FILE),
        tokenizer=_beside.find_tokenizer(found, problems),
        special_ids=_beside.special_ids(values),
        source_tensors=weights.kinds,
        problems=problems,
        files=[file, found / OWN_WEIGHTS],
    )


def _no_config(folder: Path) -> ConfigError:
    """The error about a folder of ours without its config, which nothing replaces."""
    return ConfigError(
        "There is no config beside the weights.",
        expected=CONFIG_FILE,
        found="no such file",
        where=folder,
        fix="copy config.json of the model there: a folder of albertkit says everything itself",
    )


def _no_weights(folder: Path) -> CheckpointError:
    """The error that says what is in a folder instead of our weights."""
    there = sorted(x.name for x in folder.iterdir() if x.suffix in (".safetensors", ".bin"))
    return CheckpointError(
        "The folder holds no weights that can be read.",
        expected=OWN_WEIGHTS,
        found=", ".join(there) or "no weights file",
        where=folder,
        fix="copy the folder again: config.json says that it is albertkit's own",
    )


def losses(checkpoint: Checkpoint) -> list[Loss]:
    """Nothing is ever lost."""
    return []


def write(checkpoint: Checkpoint, folder: Path, dtype: str) -> None:
    """Write the folder, in transformers' layout where that can hold the model."""
    write_folder(checkpoint, folder, dtype)
