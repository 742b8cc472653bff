"""Checkpoint families, one file or folder each: who wrote a checkpoint, how to read and write it.

`detect` says whose files are at a path, `named` gives the module that reads and writes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from albertkit import plugins
from albertkit.checkpoint.families._protocol import Family
from albertkit.checkpoint.families._recognise import MAX_FILES, WEIGHTS, pointer, recognise
from albertkit.errors import AlbertkitError, CheckpointError, listed
from albertkit.files import is_there


def all_families() -> dict[str, Family]:
    """Every family by its name."""
    return {name: named(name) for name in plugins.names("families")}


def named(name: str) -> Family:
    """The family of this name.

    Raises:
        CheckpointError: there is none.
    """
    known = plugins.names("families")
    if name not in known:
        raise CheckpointError(
            "Unknown checkpoint family.",
            expected=", ".join(known),
            found=name,
            fix="give one of the names above; folders of transformers are huggingface",
        )
    return cast(Family, plugins.load("families", name))


def detect(path: Path | str) -> tuple[str, Path]:
    """Name of the family that wrote what is at `path`, and the weights it claims.

    Raises:
        CheckpointError: nothing there, no family knows it, or several claim it.
    """
    path = Path(path)
    claims = {
        name: found
        for name, family in all_families().items()
        if (found := family.detect(path)) is not None
    }
    if len(claims) == 1:
        return next(iter(claims.items()))
    if claims:
        raise CheckpointError(
            "There are several checkpoints here.",
            expected="one checkpoint",
            found=", ".join(f"{name}: {found.name}" for name, found in claims.items()),
            where=path,
            fix=f"give the path of the weights file, or pass family={next(iter(claims))!r}",
            command_fix=f"give the path of the weights file, or add --family {next(iter(claims))}",
        )
    known = recognise(path)
    if known is not None:
        raise known
    unusual = _unusual_files(path)
    if len(unusual) > 1:
        raise CheckpointError(
            "There are several checkpoints here.",
            expected="one checkpoint",
            found=listed([x.name for x in unusual]),
            where=path,
            fix=f"give the path of one of them, such as {unusual[0]}",
        )
    nothing = not is_there(path)
    raise CheckpointError(
        "The path does not exist."
        if nothing
        else "This is not a checkpoint that albertkit can read.",
        expected="a checkpoint of one of: " + ", ".join(all_families()),
        found="no such file or folder" if nothing else _shown(path),
        where=path,
        fix=f"give the path of the file: {unusual[0]}"
        if unusual
        else "check the path; see docs/checkpoints.md for the files that belong together",
    )


def _unusual_files(path: Path) -> list[Path]:
    """Files of a folder that a family would claim by their paths: none has the usual name."""
    files = [x for x in sorted(path.iterdir())[:MAX_FILES] if x.is_file()] if path.is_dir() else []
    weights = [x for x in files if x.name.endswith(WEIGHTS)]
    return [x for x in weights if any(f.detect(x) is not None for f in all_families().values())]


def claim(path: Path, family: str | None = None) -> tuple[str, Path]:
    """The family of what is at `path`, and the weights it claims.

    Args:
        path: folder, weights file or prefix.
        family: its name, if it is known.

    Raises:
        CheckpointError: as `detect`, or nothing of the named family is there.
    """
    unfetched = pointer(path)
    if unfetched is not None and not _is_whole(path, unfetched):
        raise unfetched
    if family is None:
        return detect(path)
    claimed = named(family).detect(path)
    if claimed is None:
        raise CheckpointError(
            f"This is not a checkpoint of the family {family}.",
            found=_shown(path),
            where=path,
            fix="leave family out: it is detected from the files",
            command_fix="leave --family out: it is detected from the files",
        )
    return family, claimed


def _is_whole(folder: Path, unfetched: CheckpointError) -> bool:
    """Whether the weights of a folder are one whole file; what was not fetched is a spare copy."""
    if not folder.is_dir() or unfetched.facts.get("where") == str(folder / "config.json"):
        return False
    try:
        _, found = detect(folder)
    except AlbertkitError:
        return False
    return found.is_file() and not found.name.endswith(".json") and pointer(found) is None


def _shown(path: Path) -> str:
    """What is at a path, for a message."""
    if path.is_dir():
        names = sorted(x.name for x in path.iterdir())
        return "a folder with " + (", ".join(names[:8]) or "nothing in it")
    return "a file" if path.exists() else "files " + path.name + ".*"
