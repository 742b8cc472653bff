"""Fetch a model of the Hugging Face hub through its own library, into the cache it shares.

Of all that a repository holds only the files of one set of weights are taken: safetensors before
pickles, and never the copies for TensorFlow, Flax or Rust. HF_ENDPOINT, HF_HUB_OFFLINE, HF_HOME and
the token file are honoured.
"""

from __future__ import annotations

import fnmatch
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albertkit.errors import AlbertkitError, DownloadError
from albertkit.hub.fetch import announce

if TYPE_CHECKING:
    from albertkit.progress import Progress

BESIDE = (
    "config.json",
    "albert_config*.json",
    "bert_config*.json",
    "model_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "*.spm",
    "*vocab*.txt",
    "metadata.json",
    "task.json",
    "preprocessor.json",
    "assets/tokenizer/*",
    "README.md",
    "LICENSE*",
)
# Sets of weights, the best first: (name shown, patterns). `*` does not cross folders.
WEIGHTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("safetensors", ("model.safetensors", "albertkit.safetensors")),
    ("sharded safetensors", ("model.safetensors.index.json", "model-*-of-*.safetensors")),
    ("pytorch_model.bin", ("pytorch_model.bin",)),
    ("sharded .bin", ("pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")),
    ("PaddleNLP", ("model_state.pdparams",)),
    ("KerasHub", ("model.weights.h5", "task.weights.h5")),
    ("TensorFlow 1", ("*.ckpt*.index", "*.ckpt*.data-*-of-*", "*.ckpt*.meta", "*config*.json")),
    ("tf_model.h5", ("tf_model.h5",)),
    ("ONNX", ("model.onnx", "model.onnx_data", "model.onnx.data")),
    ("onnx/model.onnx", ("onnx/model.onnx", "onnx/model.onnx_data", "onnx/model.onnx.data")),
)


def endpoint() -> str:
    """Address of the hub: HF_ENDPOINT, or the public one."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def choose(names: Sequence[str]) -> list[str]:
    """The files to take of a repository that holds `names`; an empty list if none are weights."""
    for _, patterns in WEIGHTS:
        weights = _matching(names, patterns)
        if any(not name.endswith(".json") for name in weights):
            return sorted({*weights, *_matching(names, BESIDE)})
    return []


def fetch_repository(
    name: str,
    revision: str | None = None,
    *,
    offline: bool = False,
    refresh: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Folder with the files of a repository, from the cache if they are there, else fetched.

    Args:
        name: owner/name.
        revision: branch, tag or commit; the main branch if left out.
        offline: never ask the network.
        refresh: ask the hub whether there is something newer than what the cache holds.
        progress: called with (name, bytes so far, total or None); without it the library shows
            its own bars on a terminal.

    Raises:
        DownloadError: not in the cache and offline, no such repository, no weights in it, no
            access, or no answer; says what to do.
    """
    offline = offline or is_offline()
    kept = _cached(name, revision)
    if kept is not None and (offline or not refresh):
        return kept
    if offline:
        by_hand = f"download the files of {_page(name)} into a folder yourself and give its path"
        raise DownloadError(
            "The model is not in the cache, and the network is not to be used.",
            expected=f"{name} in the cache of huggingface_hub",
            found="not there, or incomplete",
            where=_hub().constants.HF_HUB_CACHE,
            fix="allow the network once (offline=False), or " + by_hand,
            command_fix="run it once without --offline, or " + by_hand,
        )
    try:
        return _fetch(name, revision, kept, progress)
    except AlbertkitError:
        raise
    except Exception as error:  # the library lets errors of its transport through, which it changes
        raise _explained(name, revision, error, kept) from error


def _fetch(name: str, revision: str | None, kept: Path | None, progress: Progress | None) -> Path:
    """Folder with what the hub has now; the copy in the cache if that is the same."""
    api = _hub().HfApi(endpoint=endpoint(), library_name="albertkit")
    # The first question is one that the library asks once only: no half minute without a network.
    info = api.model_info(name, revision=revision, files_metadata=True)
    sizes: dict[str, int | None] = {x.rfilename: x.size for x in info.siblings or []}
    names = list(sizes)
    wanted = choose(names)
    if not wanted:
        raise DownloadError(
            "The repository holds no weights that can be read.",
            expected=", ".join(title for title, _ in WEIGHTS),
            found=", ".join(sorted(names)[:12]) or "no files",
            where=_page(name),
            fix="check the name of the model",
        )
    if kept is not None and kept.name == info.sha and all((kept / x).exists() for x in wanted):
        return kept
    known = [size for x in wanted if (size := sizes[x]) is not None]
    total = sum(known) if len(known) == len(wanted) else None
    announce(name, _page(name), total)
    with _own_bars(progress is None and sys.stderr.isatty()):
        folder = _hub().snapshot_download(
            name,
            revision=revision,
            allow_patterns=[_literal(name) for name in wanted],
            endpoint=endpoint(),
            library_name="albertkit",
            tqdm_class=None if progress is None else _counting(progress, name, total),
        )
    return Path(folder)


def _counting(progress: Progress, name: str, total: int | None) -> type:
    """A class for the library's bars that shows nothing: the bytes they count go to `progress`."""
    from tqdm import tqdm

    done = 0

    class Counting(tqdm):  # type: ignore[misc]  # it has no types
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "file": io.StringIO()})

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal done
            drawn: bool | None = super().update(n)
            # Several bars count bytes, those that arrive and those written: the same ones.
            if self.unit == "B" and self.n > done:
                done = int(self.n)
                progress(name, done, total)
            return drawn

    return Counting


def _cached(name: str, revision: str | None) -> Path | None:
    """The folder in the library's cache if it holds a whole set of weights."""
    try:
        folder = Path(
            _hub().snapshot_download(
                name, revision=revision, local_files_only=True, allow_patterns=["config.json"]
            )
        )
    except (OSError, ValueError):  # not there; the hub says which names are not one
        return None
    names = [x.relative_to(folder).as_posix() for x in folder.rglob("*") if x.is_file()]
    return folder if choose(names) and _shards_are_whole(names) else None


def _shards_are_whole(names: Sequence[str]) -> bool:
    """Whether every NAME-00001-of-00003 has its fellows."""
    for name in names:
        stem, sharded, rest = name.rpartition("-of-")
        if sharded and stem[-5:].isdigit() and rest[:5].isdigit():
            count = sum(x.startswith(stem[:-5]) and f"-of-{rest}" in x for x in names)
            if count != int(rest[:5]):
                return False
    return True


def _matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    return [
        name
        for name in names
        if any(
            fnmatch.fnmatchcase(name, pattern) and name.count("/") == pattern.count("/")
            for pattern in patterns
        )
    ]


def _literal(name: str) -> str:
    """A pattern that matches this name only."""
    return "".join(f"[{x}]" if x in "*?[" else x for x in name)


def _explained(
    name: str, revision: str | None, error: Exception, kept: Path | None
) -> DownloadError:
    """What the library says, in our words."""
    errors = _hub().errors
    page = _page(name)
    by_hand = f"download the files of {page} into a folder yourself and give its path"
    if kept is not None:
        by_hand = "use what the cache has (offline=True, or --offline)"
    what, fix = "The Hugging Face hub cannot be reached.", f"check the connection, or {by_hand}"
    if isinstance(error, errors.GatedRepoError):
        what, fix = "The repository asks for consent first.", f"give it at {page}, then log in"
    elif isinstance(error, errors.RevisionNotFoundError):
        what, fix = f"The repository has no revision {revision!r}.", f"choose one at {page}"
    elif isinstance(error, errors.RepositoryNotFoundError):
        what = "The hub has no such repository, or it is private."
        fix = "check the name (albertkit models lists the known ones), or log in"
    elif isinstance(error, (errors.HfHubHTTPError, errors.EntryNotFoundError)):
        what, fix = "The Hugging Face hub does not send the model.", f"try again, or {by_hand}"
    elif isinstance(error, errors.HFValidationError):
        what, fix = "This is not the name of a repository.", "write owner/name"
    elif isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        what, fix = "The cache of huggingface_hub cannot be written.", "set HF_HOME to a place"
    found = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return DownloadError(what, expected=f"{name} at {endpoint()}", found=found, where=page, fix=fix)


def _page(name: str) -> str:
    return f"{endpoint()}/{name}"


def _hub() -> Any:
    """The library, imported when it is needed: it takes a third of a second."""
    import huggingface_hub
    import huggingface_hub.constants
    import huggingface_hub.errors
    import huggingface_hub.utils

    return huggingface_hub


@contextmanager
def _own_bars(wanted: bool) -> Iterator[None]:
    """The library's own progress bars only where they are wanted."""
    bars = _hub().utils
    quiet = not wanted and not bars.are_progress_bars_disabled()
    if quiet:
        bars.disable_progress_bars()
    try:
        yield
    finally:
        if quiet:
            bars.enable_progress_bars()
