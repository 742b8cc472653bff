"""Models by name: a path stays a path, a known name or a hub id becomes a folder on this machine.

folder = hub.resolve("albert-base-v2")          # known name: `albertkit models` lists them
folder = hub.resolve("owner/name@revision")     # anything on the Hugging Face hub
folder = hub.resolve("runs/mine/model")         # a path
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from albertkit.errors import CheckpointError, DownloadError
from albertkit.files import atomic_folder, is_there, sha256_of
from albertkit.hub import archives
from albertkit.hub.cache import Place
from albertkit.hub.catalog import all_models, find, near
from albertkit.hub.fetch import Fetched, announce, fetch_file
from albertkit.hub.known import Files, Hub, KnownModel, Nowhere
from albertkit.hub.repository import fetch_repository

if TYPE_CHECKING:
    from albertkit.progress import Progress

__all__ = [
    "KnownModel",
    "all_models",
    "copy_to",
    "download",
    "find",
    "is_shipped",
    "named",
    "resolve",
    "shipped",
]

PREFIX = "hf:"  # before a hub id that could be taken for a path
_PATH_SUFFIXES = (
    *(".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".onnx", ".pdparams", ".msgpack"),
    *(".index", ".json", ".keras", ".model", ".txt"),
)
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
        progress: called with (name, bytes so far, total or None) while a model arrives. Without
            it the hub's library shows its own bars on a terminal.

    A download says its size and source first, on standard error.

    Raises:
        CheckpointError: neither a path nor a name, or a damaged archive.
        DownloadError: not in the cache and not to be fetched, or not what was fetched before.
        OutputError: the cache cannot be written.
    """
    text = str(name_or_path)
    offline = wants_offline() if offline is None else offline
    if not text.startswith(PREFIX) and is_there(text):
        return Path(text)
    if is_shipped(text):
        return shipped(text)
    text = text.removeprefix(PREFIX)
    known = find(text)
    if known is not None:
        if isinstance(known.source, Hub):
            repository = known.source.repository
            return fetch_repository(repository, offline=offline, refresh=refresh, progress=progress)
        return _original(known, known.source, offline, progress)
    match = _HUB_ID.fullmatch(text)
    by_prefix = str(name_or_path).startswith(PREFIX)
    ours = text.startswith(_OWNER)
    if match is None or not by_prefix and (ours or _looks_like_a_path(text)):
        raise _unknown(text)
    try:
        return fetch_repository(
            match[1], match[2], offline=offline, refresh=refresh, progress=progress
        )
    except DownloadError as error:
        if not by_prefix:  # it may have been meant as a path
            error.what = f"There is no folder {text} here, and: {error.what}"
        raise


def download(
    name: str,
    to: str | Path | None = None,
    *,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fetch a model by its name; the folder it is in.

    What is in the cache is not fetched again, but the hub is asked whether it has something newer.

    Args:
        name: known name or alias, owner/name, owner/name@revision.
        to: copy it into this folder, which must be free; the cache keeps its copy.
        offline, progress, errors: see `resolve`.
    """
    offline = wants_offline() if offline is None else offline
    folder = resolve(name, offline=offline, refresh=not offline, progress=progress)
    return folder if to is None else copy_to(folder, Path(to))


def shipped_models() -> list[str]:
    """Names of the models inside this package, without their owner."""
    return sorted(path.name for path in SHIPPED.iterdir() if path.is_dir())


def is_shipped(name: str) -> bool:
    """Whether this is the name of a model inside this package, owner included."""
    return name.startswith(_OWNER) and name.removeprefix(_OWNER) in shipped_models()


def shipped(name: str) -> Path:
    """Folder of a model inside this package, by its name with owner."""
    return SHIPPED / name.removeprefix(_OWNER)


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


def _original(
    model: KnownModel, source: Files | Nowhere, offline: bool, progress: Progress | None
) -> Path:
    """Folder of a model whose files are at addresses, downloaded and unpacked once."""
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
        addresses = " and ".join(source.addresses.values())
        by_hand = f"download {addresses} yourself and put it into {place.downloads}"
        raise DownloadError(
            "The model is not in the cache, and the network is not to be used.",
            expected=f"{model.name} in the cache",
            found="not there",
            where=place.folder,
            fix="allow the network once (offline=False); or " + by_hand,
            command_fix="run it once without --offline; or " + by_hand,
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
            arrived[path] = fetch_file(url, path, progress=_announced(url, progress))
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


def _announced(url: str, progress: Progress | None) -> Progress:
    """Progress of one file that says first what comes and from where."""
    names: set[str] = set()

    def report(name: str, done: int, total: int | None) -> None:
        if name not in names:
            names.add(name)
            announce(name, url, total)
        if progress is not None:
            progress(name, done, total)

    return report


@contextmanager
def _removed_if_wrong(paths: list[Path]) -> Iterator[None]:
    """Remove fetched files that turn out to be wrong, so ththe next call downloads it again."""
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


def _looks_like_a_path(text: str) -> bool:
    """Whether a name that is not there can only have been meant as a path."""
    return (
        text.startswith((".", "/", "~"))
        or text.endswith(_PATH_SUFFIXES)
        or (len(PurePath(text).parts) > 1 and Path(PurePath(text).parts[0]).is_dir())
    )


def _unknown(text: str) -> CheckpointError:
    path = Path(text)
    if os.path.islink(path):
        return CheckpointError(
            "This is a link to something that does not exist.",
            expected="a link to a file or a folder",
            found=f"a link to {os.readlink(path)}",
            where=path,
            fix="correct the link, or give the path of the model itself",
        )
    if _looks_like_a_path(text) or os.sep in text and _HUB_ID.fullmatch(text) is None:
        there = next(parent for parent in path.parents if os.path.exists(parent))
        return CheckpointError(
            "The path does not exist.",
            expected="the path of a checkpoint",
            found=f"no {path.name} in {there.resolve()}"
            if there == path.parent
            else f"no folder {path.parent}",
            where=path,
            fix=_fix_path(text, there),
        )
    likely = [_OWNER + x for x in shipped_models() if x == text or text.startswith(_OWNER)]
    likely += near(text)
    return CheckpointError(
        "No file, folder or known model has this name.",
        expected="a path; a name of `albertkit models`; or owner/name of the Hugging Face hub",
        found=text[:200],
        fix=("perhaps you mean " + ", ".join(likely)) if likely else "check the path or the name",
    )


def _fix_path(text: str, there: Path) -> str:
    if text.startswith("~"):
        return "write the path without ~, which only the shell replaces, and only outside quotes"
    names = sorted(x.name for x in there.iterdir()) if there.is_dir() else []
    near_names = difflib.get_close_matches(Path(text).name, names, 3, 0.6)
    if near_names:
        return "perhaps you mean " + ", ".join(str(there / name) for name in near_names)
    return "check the path"
