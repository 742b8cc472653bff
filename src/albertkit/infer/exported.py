"""What an exporter leaves beside a model: which engine opens the folder, and what it computes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from albertkit.checkpoint.families._configs import write as write_config
from albertkit.config import AlbertConfig
from albertkit.errors import PredictionError, shown
from albertkit.files import sha256_of, strict_json
from albertkit.tasks.head import TaskHead

MANIFEST = "albertkit_export.json"
_FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """One exported model.

    engine: opens the folder. precision: fp32, fp16, bf16 or int8. task: what the outputs are for.
    outputs: of an `Engine`, with their names in the file. files: SHA-256 by name. versions: of the
    packages that wrote it. source: the checkpoint.
    """

    engine: str
    precision: str
    task: str
    outputs: Mapping[str, Sequence[str]]
    config: AlbertConfig
    head: TaskHead | None
    files: Mapping[str, str]
    versions: Mapping[str, str]
    source: str

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        values = {
            "format": _FORMAT,
            **asdict(self),
            "config": write_config(self.config, own=True),
            "head": None if self.head is None else self.head.to_json(),
        }
        text = json.dumps(values, indent=2, sort_keys=True) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, title: str, file: str, precision: str) -> Manifest:
        """Read it for an engine, and hold the files against their hashes.

        Args:
            folder: what an exporter wrote.
            title: name of the engine. file: that the engine opens.
            precision: that was asked for, or auto.

        Raises:
            PredictionError: it is for another engine or precision, it is damaged or of a newer
                version, or a file was changed.
        """
        values = _object(folder)
        format = values.pop("format", None)
        if format != _FORMAT:
            raise PredictionError(
                "This folder was exported by another version of albertkit.",
                expected=f"format {_FORMAT}",
                found=f"format {shown(format)}",
                where=folder,
                fix="export the model again with this version, or update albertkit with pip",
            )
        head = values.pop("head", None)
        try:
            config = AlbertConfig.from_json(values.pop("config"), dialect="albertkit")
            found = cls(
                config=config, head=None if head is None else TaskHead.from_json(head), **values
            )
            wrong = [n for n, hash in found.files.items() if not _is_file(folder / n, hash)]
        except (TypeError, KeyError, AttributeError) as error:
            raise _damaged(folder, str(error)) from error
        if wrong:
            raise _damaged(folder, f"{wrong[0]} is missing or was changed")
        if file not in found.files or precision not in ("auto", found.precision):
            raise PredictionError(
                f"{title} cannot open this folder with these settings.",
                expected=f"an export with {file}, precision {precision}",
                found=f"one for the engine {found.engine}, precision {found.precision}",
                where=folder,
                fix="leave engine and precision out",
                command_fix="leave --engine and --precision out",
            )
        return found


def is_exported(path: str | Path) -> bool:
    """Whether a path is a folder that an exporter wrote."""
    return (Path(path) / MANIFEST).is_file()


def engine_of(folder: Path) -> str:
    """Name of the engine that opens an exported folder."""
    return str(_object(folder).get("engine", ""))


def precision_of(folder: Path) -> str:
    """Precision of an exported folder."""
    return str(_object(folder).get("precision", ""))


def _object(folder: Path) -> dict[str, Any]:
    values = strict_json(folder / MANIFEST)
    if not isinstance(values, dict):
        raise _damaged(folder, "not a JSON object")
    return values


def _is_file(path: Path, hash: str) -> bool:
    return path.is_file() and sha256_of(path) == hash


def _damaged(folder: Path, found: str) -> PredictionError:
    return PredictionError(
        "The exported folder is damaged.",
        expected=f"the files that {MANIFEST} lists, as they were written",
        found=found,
        where=folder,
        fix="export the model again",
    )
