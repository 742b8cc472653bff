"""Weights of transformers' folders: one file or many, safetensors or torch's.

A sharded folder has an index, `*.index.json`, whose `weight_map` names the file of each tensor.
"""

from __future__ import annotations

from pathlib import Path

from albertkit.checkpoint.formats import torch_save
from albertkit.checkpoint.formats.safetensors_file import Weights, list_tensors, read_weights
from albertkit.errors import AlbertkitError, CheckpointError, ConfigError, listed
from albertkit.files import strict_json

INDEX = ".index.json"
_MAX_SHARDS = 1000


def read_any(path: Path) -> tuple[Weights, list[Path]]:
    """The tensors of a safetensors file, a torch file, or an index and its shards; the files read.

    Raises:
        CheckpointError: a file is missing or damaged, or the index says something else.
    """
    if not path.name.endswith(INDEX):
        return _read_one(path), [path]
    places = _read_index(path)
    merged = Weights()
    files = [path]
    for name in sorted(set(places.values())):
        shard = path.parent / name
        read = _read_one(shard)
        files.append(shard)
        wrong = [key for key in read.tensors if places.get(key) != name]
        if wrong:
            raise _index_error(path, f"{name} holds {listed(wrong)}, which the index does not name")
        merged.tensors |= read.tensors
        merged.kinds |= read.kinds
    missing = [key for key in places if key not in merged.tensors]
    if missing:
        raise _index_error(path, f"no {listed(missing)} in the shards")
    return merged, files


def _read_one(path: Path) -> Weights:
    if path.name.endswith(".safetensors"):
        return read_weights(path)
    return torch_save.read_weights(path)


def names_in(path: Path) -> list[str] | None:
    """Names of the tensors of such a file; None if they cannot be read.

    Nothing but the list is read. A torch file that is refused or damaged gives None.
    """
    try:
        if path.name.endswith(INDEX):
            return list(_read_index(path))
        if path.name.endswith(".safetensors"):
            return list(list_tensors(path))
        return list(torch_save.list_tensors(path))
    except AlbertkitError:
        return None


def _read_index(path: Path) -> dict[str, str]:
    """File of each tensor."""
    try:
        values = strict_json(path)
    except ConfigError as error:
        raise _index_error(path, error.facts.get("found", error.what)[:200]) from error
    places = values.get("weight_map") if isinstance(values, dict) else None
    if not isinstance(places, dict) or not places:
        raise _index_error(path, "no weight_map")
    for name in places.values():
        plain = isinstance(name, str) and name == Path(name).name and name not in ("", ".", "..")
        if not plain or "\\" in name or name.endswith(INDEX):
            raise _index_error(path, f"a shard that is not a file of the folder: {str(name)[:80]}")
    if len(set(places.values())) > _MAX_SHARDS:
        raise _index_error(path, f"more than {_MAX_SHARDS} shards")
    return places


def _index_error(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        "The index of the shards cannot be used.",
        expected="weight_map: the file of each tensor, all in the same folder",
        found=found,
        where=path,
        fix="copy or download the folder again",
    )
