"""Where downloaded originals are, and the proof that they are what was fetched first.

CACHE/models/NAME/files/       the files of one known model, ready to be opened
CACHE/models/NAME/sha256.json  what was fetched from where, and the SHA-256 of every file
CACHE/downloads/NAME/          files on their way; one that was fetched by hand may be put here

The record outlives the files: a model that is fetched again must be the same bytes. Models of the
Hugging Face hub are in that library's own cache, which transformers shares.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from albertkit.errors import DownloadError, reason
from albertkit.files import clear_leftovers, sha256_of, translate_os_errors, write_atomic
from albertkit.hub.fetch import Fetched


def cache_folder() -> Path:
    """ALBERTKIT_CACHE, or ~/.cache/albertkit."""
    given = os.environ.get("ALBERTKIT_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "albertkit"


@dataclass
class Record:
    """SHA-256 of what was fetched (by address) and of the files made of it (by relative path)."""

    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """The places of one known model in the cache."""

    name: str
    root: Path

    @classmethod
    def of(cls, name: str) -> Place:
        """The places of the model with this name."""
        return cls(name, cache_folder())

    @property
    def folder(self) -> Path:
        """The files, ready to be opened."""
        return self.root / "models" / self.name / "files"

    @property
    def record_file(self) -> Path:
        """What is known about them."""
        return self.root / "models" / self.name / "sha256.json"

    @property
    def downloads(self) -> Path:
        """Files on their way."""
        return self.root / "downloads" / self.name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time, the others wait; what a killed one left unpacked is removed."""
        from filelock import FileLock

        with translate_os_errors(self.downloads):
            self.downloads.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / "downloads" / f"{self.name}.lock"):
            clear_leftovers(self.folder.parent)
            yield

    def record(self) -> Record:
        """What was recorded when the model was first fetched; empty before.

        Raises:
            DownloadError: the record cannot be read.
        """
        if not self.record_file.exists():
            return Record()
        try:
            values = json.loads(self.record_file.read_text(encoding="utf-8"))
            sources, files = dict(values["sources"]), dict(values["files"])
            whole = all(isinstance(source["sha256"], str) for source in sources.values())
            if not whole or not all(isinstance(digest, str) for digest in files.values()):
                raise TypeError("a SHA-256 is not text")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DownloadError(
                "The record of a downloaded model is damaged.",
                expected="a JSON file with SHA-256 sums",
                found=f"{type(error).__name__}: {reason(error)}",
                where=self.record_file,
                fix=f"remove it and {self.folder}, then download the model again",
            ) from error
        return Record(sources, files)

    def check(self, fetched: Fetched) -> None:
        """Compare a file that arrived with what came from the same address the first time.

        Raises:
            DownloadError: it is another file.
        """
        known = self.record().sources.get(fetched.url)
        if known is not None and known["sha256"] != fetched.sha256:
            raise DownloadError(
                "The file at this address has changed since it was first downloaded.",
                expected=f"SHA-256 {known['sha256']}, recorded in {self.record_file}",
                found=f"SHA-256 {fetched.sha256}, {fetched.size:,} bytes",
                where=fetched.url,
                fix=f"find out why it changed; to trust the new one, remove {self.record_file}",
            )

    def accept(self, arrived: Iterable[Fetched], folder: Path) -> None:
        """Record what was fetched and the files in `folder`, about to become the model's."""
        record = self.record()
        for fetched in arrived:
            record.sources.setdefault(fetched.url, asdict(fetched))
        record.files = hashes(folder)
        with translate_os_errors(self.record_file):
            self.record_file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.record_file, json.dumps(asdict(record), indent=2, sort_keys=True) + "\n")

    def kept(self) -> Path | None:
        """The model's folder if it is there and unchanged; None if it was not fetched yet.

        Raises:
            DownloadError: a file is missing or is not the one that was fetched.
        """
        if not self.folder.is_dir():
            return None
        expected, found = self.record().files, hashes(self.folder)
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise DownloadError(
                    "A file in the cache is not the one that was downloaded.",
                    expected=_shown(expected.get(name), "no such file"),
                    found=_shown(found.get(name), "no such file"),
                    where=self.folder / name,
                    fix=f"remove {self.folder} and download the model again",
                )
        return self.folder


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its relative path; hidden files are left out."""
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def _shown(digest: str | None, missing: str) -> str:
    return f"SHA-256 {digest}" if digest else missing
