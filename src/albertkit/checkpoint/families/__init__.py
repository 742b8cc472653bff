"""Checkpoint families, one file each: who wrote a checkpoint, and how to read and write it.

opened = families.open("model.ckpt-best")   # any family, no framework needed
opened.checkpoint, opened.family, opened.result.report
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from albertkit import plugins
from albertkit.checkpoint.families._protocol import Family, LoadResult, Overrides
from albertkit.errors import AlbertkitError, CheckpointError

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint


@dataclass
class Opened:
    """A checkpoint of any family in memory, and how it was read."""

    checkpoint: Checkpoint
    family: str
    path: Path  # what the family claimed: a file, or the prefix of several
    result: LoadResult


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
        raise CheckpointError("Unknown checkpoint family.", expected=", ".join(known), found=name)
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
            "Several checkpoints lie here.",
            expected="one checkpoint",
            found=", ".join(f"{name}: {found.name}" for name, found in claims.items()),
            where=path,
            fix="give the path of the weights file, or name the family",
        )
    nothing = not path.exists() and not list(path.parent.glob(path.name + ".*"))
    raise CheckpointError(
        "There is no such file or folder." if nothing else "No family knows this checkpoint.",
        expected="a checkpoint of one of: " + ", ".join(all_families()),
        found="nothing" if nothing else _shown(path),
        where=path,
        fix="check the path; see docs/checkpoints.md for the files that belong together",
    )


def open(
    path: Path | str,
    *,
    family: str | None = None,
    overrides: Overrides | None = None,
    tokenizer: Path | str | None = None,
) -> Opened:
    """Read a checkpoint of any family.

    Args:
        path: folder, weights file or prefix; or the name of a released model (`albertkit models`)
            or a hub id, which is downloaded if it is not in the cache.
        family: its name; told from the files if left out.
        overrides: what the files do not say.
        tokenizer: spiece.model, vocab.txt or tokenizer.json to use; else what lies beside.

    Raises:
        CheckpointError: nothing there, nobody's, damaged, or config and tensors do not fit.
        ConfigError: the config describes no ALBERT, or leaves a choice open.
        VocabularyError: the tokenizer does not fit the config.
        DownloadError: a name whose files are not in the cache and cannot be fetched.
    """
    from albertkit.checkpoint.checkpoint import Checkpoint
    from albertkit.hub import resolve

    overrides = overrides or Overrides()
    path = resolve(path)
    if family is None:
        family, found = detect(path)
    else:
        claimed = named(family).detect(Path(path))
        if claimed is None:
            raise CheckpointError(
                f"This is no checkpoint of the family {family}.",
                found=_shown(Path(path)),
                where=path,
                fix="leave the family out to have it told from the files",
            )
        found = claimed
    try:
        result = named(family).read(found, overrides)
        checkpoint = Checkpoint(
            result.config,
            result.tensors,
            ignored=dict(result.report.ignored),
            special_ids=result.special_ids,
            head=result.head,
        )
    except AlbertkitError as error:
        raise error if "where" in error.facts else _at(error, found) from error
    place = Path(tokenizer) if tokenizer is not None else result.tokenizer
    if place is not None:
        from albertkit.text.tokenizer import Tokenizer
        from albertkit.text.vocabulary import check_fits

        checkpoint.tokenizer = Tokenizer.load(place)
        check_fits(checkpoint.tokenizer, result.config)
    return Opened(checkpoint, family, found, result)


def _at(error: AlbertkitError, path: Path) -> AlbertkitError:
    """The same error with the file it is about."""
    facts = error.facts
    return type(error)(
        error.what,
        expected=facts.get("expected"),
        found=facts.get("found"),
        where=path,
        fix=facts.get("to do"),
    )


def _shown(path: Path) -> str:
    """What lies at a path, for a message."""
    if path.is_dir():
        names = sorted(x.name for x in path.iterdir())
        return "a folder with " + (", ".join(names[:8]) or "nothing in it")
    return "a file" if path.exists() else "files " + path.name + ".*"
