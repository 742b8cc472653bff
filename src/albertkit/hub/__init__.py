"""Models by name: a path stays a path, a known name or a hub id becomes a folder on this machine.

folder = hub.resolve("albert-base-v2")          # known name: `albertkit models` lists them
folder = hub.resolve("owner/name@revision")     # anything on the Hugging Face hub
folder = hub.resolve("runs/mine/model")         # a path
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from albertkit.errors import CheckpointError, DownloadError
from albertkit.files import atomic_folder, sha256_of
from albertkit.hub import archives
from albertkit.hub.cache import Place
from albertkit.hub.catalog import all_models, find, near
from albertkit.hub.fetch import Fetched, Progress, fetch_file
from albertkit.hub.known import Files, Hub, KnownModel, Nowhere
from albertkit.hub.repository import fetch_repository

__all__ = ["KnownModel", "all_models", "copy_to", "find", "is_shipped", "named", "resolve"]

PREFIX = "hf:"  # before a hub id that could be taken for a path
_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
_ARCHIVES = (".tar.gz", ".zip")
SHIPPED = Path(__file__).resolve().parents[1] / "weights"  # models inside the package
_OWNER = "albertkit/"


def resolve(
    name_or_path: str | Path,
    *,
    offline: bool | None = None,
    refresh: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Path that `Checkpoint.load` can read.

    A path that exists is returned as it is, also the prefix of several files; so a folder here
    comes before a model of the same name. Then come the models inside this package
    (albertkit/tiny-en, albertkit/tiny-zh), known names, and hub ids.

    Args:
        name_or_path: path, known name or alias, owner/name, owner/name@revision; `hf:` in front
            says that it is a hub id.
        offline: never ask the network: what is not in the cache is an error; None: as the
            environment variable HF_HUB_OFFLINE says.
        refresh: ask the hub for something newer than the cache holds; archives never change.
        progress: told (name, bytes so far, total or None) while an archive arrives. The hub's
            library shows its own bars on a terminal.

    Raises:
        CheckpointError: neither a path nor a name, or a damaged archive.
        DownloadError: not in the cache and not to be fetched, or not what was fetched before.
        OutputError: the cache cannot be written.
    """
    text = str(name_or_path)
    offline = wants_offline() if offline is None else offline
    if not text.startswith(PREFIX) and _is_there(Path(text)):
        return Path(text)
    if is_shipped(text):
        return SHIPPED / text.removeprefix(_OWNER)
    text = text.removeprefix(PREFIX)
    known = find(text)
    if known is not None:
        if isinstance(known.source, Hub):
            return fetch_repository(known.source.repository, offline=offline, refresh=refresh)
        return _original(known, known.source, offline, progress)
    match = _HUB_ID.fullmatch(text)
    path_meant = not str(name_or_path).startswith(PREFIX) and Path(text).parent.is_dir()
    if match is None or path_meant and len(PurePath(text).parts) > 1:
        raise _unknown(text)
    return fetch_repository(match[1], match[2], offline=offline, refresh=refresh)


def shipped_models() -> list[str]:
    """Names of the models inside this package, without their owner."""
    return sorted(path.name for path in SHIPPED.iterdir() if path.is_dir())


def is_shipped(name: str) -> bool:
    """Whether this is the name of a model inside this package, owner included."""
    return name.startswith(_OWNER) and name.removeprefix(_OWNER) in shipped_models()


def named(name: str) -> KnownModel:
    """The known model with this name or alias.

    Raises:
        CheckpointError: there is none; names those that look like it.
    """
    known = find(name)
    if known is None:
        raise _unknown(name)
    return known


def wants_offline() -> bool:
    """Whether the environment asks to stay off the network, by the hub library's own variable."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "ON", "YES", "TRUE")


def copy_to(source: Path, folder: Path) -> Path:
    """Copy a fetched model into a folder of its own; links of the cache become files.

    Raises:
        OutputError: the place is taken or cannot be written.
    """
    with atomic_folder(folder) as temporary:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                place = temporary / path.relative_to(source)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
    return folder


def _is_there(path: Path) -> bool:
    """Whether a file, a folder, or files of this prefix are there."""
    if path.exists():
        return True
    return path.parent.is_dir() and any(path.parent.glob(_escaped(path.name) + ".*"))


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _original(
    model: KnownModel, source: Files | Nowhere, offline: bool, progress: Progress | None
) -> Path:
    """Folder of a model whose files lie at addresses, fetched and unpacked once."""
    if isinstance(source, Nowhere):
        raise DownloadError(
            "No address of this model is known.",
            expected="published weights",
            found=source.reason,
            fix="if you have its files, give their path",
        )
    place = Place.of(model.name)
    kept = place.kept()
    if kept is not None:
        return _top(kept)
    if offline:
        raise DownloadError(
            "The model is not in the cache, and the network is not to be used.",
            expected=f"{model.name} in the cache",
            found="not there",
            where=place.folder,
            fix="fetch it once without --offline; or fetch "
            + " and ".join(source.addresses.values())
            + f" by hand and put it into {place.downloads}",
        )
    with place.locked():
        if place.kept() is None:
            _install(source, place, progress)
    return _top(place.folder)


def _install(source: Files, place: Place, progress: Progress | None) -> None:
    """Fetch, compare with the first time, unpack, put in place, and only then record."""
    arrived: dict[Path, Fetched] = {}
    ours = []  # what is given by hand is never removed because it is wrong
    for name, url in source.addresses.items():
        path = place.downloads / name
        if path.exists():
            arrived[path] = Fetched(url, sha256_of(path), path.stat().st_size)
        else:
            arrived[path] = fetch_file(url, path, progress=progress)
            ours.append(path)
        with _removed_if_wrong(ours):
            place.check(arrived[path])
    with _removed_if_wrong(ours), atomic_folder(place.folder) as temporary:
        for path in arrived:
            if path.name.endswith(_ARCHIVES):
                archives.unpack(path, temporary)
            else:
                shutil.copyfile(path, temporary / path.name)
        if source.config is not None:
            text = json.dumps(source.config, indent=2, sort_keys=True) + "\n"
            (temporary / "config.json").write_text(text, encoding="utf-8")
        place.accept(arrived.values(), temporary)
    for path in arrived:
        path.unlink(missing_ok=True)


@contextmanager
def _removed_if_wrong(paths: list[Path]) -> Iterator[None]:
    """Remove fetched files that turn out to be wrong, so that the next call fetches anew."""
    try:
        yield
    except (CheckpointError, DownloadError):
        for path in paths:
            path.unlink(missing_ok=True)
        raise


def _top(folder: Path) -> Path:
    """The folder that holds the weights: an archive may have folders around it."""
    weights = [x for x in folder.rglob("*") if x.suffix in (".index", ".pdparams", ".bin")]
    places = {x.parent for x in weights if not x.name.startswith(".")}
    if len(places) != 1:
        return folder
    found = places.pop()
    return found.parent if found.name == "variables" else found


def _unknown(text: str) -> CheckpointError:
    likely = near(text)
    return CheckpointError(
        "There is no such file, folder or known model.",
        expected="a path; a name of `albertkit models`; or owner/name of the Hugging Face hub",
        found=text,
        fix=("perhaps you mean " + ", ".join(likely)) if likely else "check the path or the name",
    )
