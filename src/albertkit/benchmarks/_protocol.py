"""What a suite of benchmarks is: the shape of every file in this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from albertkit.data.archives import COMPRESSED
from albertkit.errors import CorpusError
from albertkit.tasks.examples import ChoiceExample, SpanExample, TagExample, TextExample

Example = TextExample | TagExample | ChoiceExample | SpanExample
Reader = Callable[[Path], Iterator[Example]]
PACKED = ("", *COMPRESSED)


class FilesMissing(CorpusError):
    """A data set has no split of this name, or the folder does not have its files."""


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters as `source` publishes them, for the models of `models`.

    Length in steps or in epochs, warm-up in steps or as a share of all; dropout: of the layers and
    of attention. start_from: the data set whose fine-tuned model is the first state. What the
    source does not say is None.
    """

    source: str
    learning_rate: float
    batch_size: int
    max_tokens: int
    steps: int | None = None
    epochs: float | None = None
    warmup_steps: int | None = None
    warmup_share: float | None = None
    dropout: float | None = None
    classifier_dropout: float | None = None
    start_from: str | None = None
    models: str = "all sizes"

    def recipe(self) -> dict[str, float]:
        """The same as keys of a recipe for fine-tuning, those that are known."""
        share = self.warmup_share
        if self.warmup_steps is not None and self.steps is not None:
            share = self.warmup_steps / self.steps
        values = {
            "schedule.learning_rate": self.learning_rate,
            "schedule.batch_size": self.batch_size,
            "schedule.steps": self.steps,
            "schedule.epochs": self.epochs,
            "schedule.warmup_share": share,
            "objective.max_tokens": self.max_tokens,
            "model.hidden_dropout": self.dropout,
            "model.attention_dropout": self.dropout,
            "model.classifier_dropout": self.classifier_dropout,
        }
        return {key: value for key, value in values.items() if value is not None}


@dataclass(frozen=True)
class DataSet:
    """One data set in its official files.

    name: as in commands ("sst-2"); title: as in papers. language: en or zh. kind: of its head, a
    key of `tasks.kinds`.
    splits: for each split the ways its files may be named, the official one first; a way is one
    or more patterns in the folder of the data set, read in their order. Files may be packed.
    read: the examples of one file; those without a known label have None. labels: names of the
    classes in the official order; none where they come from the training data. scores: names of
    its scores (`_scores.py`), the deciding one first. settings: published hyper-parameters.
    folders: other names of its folder. model_of: the data set whose model answers this one, which
    has no training of its own. beside: a split that is scored with another one, as MNLI's
    mismatched examples are.
    """

    name: str
    title: str
    language: str
    kind: str
    read: Reader
    splits: Mapping[str, tuple[tuple[str, ...], ...]]
    scores: tuple[str, ...]
    labels: tuple[str, ...] = ()
    settings: tuple[Settings, ...] = ()
    folders: tuple[str, ...] = field(default=())
    model_of: str | None = None
    beside: Mapping[str, str] = field(default_factory=dict)

    def files(self, folder: Path, split: str) -> list[Path]:
        """Files of a split in the folder of the data set, or of the suite with a folder for it.

        Raises:
            FilesMissing: the data set has no split of this name, or its files were not found.
        """
        if split not in self.splits:
            raise FilesMissing(
                f"{self.title} has no split {split!r}.",
                expected=", ".join(self.splits),
                found=split,
                fix="name one of its splits",
            )
        places = [folder, *(folder / name for name in (self.title, self.name, *self.folders))]
        for place in places:
            for patterns in self.splits[split]:
                found = [_matching(place, pattern) for pattern in patterns]
                if all(found):
                    return [path for paths in found for path in paths]
        named = " or ".join(" and ".join(patterns) for patterns in self.splits[split])
        raise FilesMissing(
            f"The files of {self.title} ({split}) were not found.",
            expected=f"{named}, as they are or packed, in the folder or below {self.title}/",
            found="none of them",
            where=folder,
            fix="give the folder that holds the official files",
        )

    def examples(self, folder: str | Path, split: str) -> Iterator[Example]:
        """Every example of a split, in the order of its files; ids are unique within it.

        Raises:
            CorpusError: a file is missing, or is not of the official format.
        """
        for path in self.files(Path(folder), split):
            yield from self.read(path)


def _matching(folder: Path, pattern: str) -> list[Path]:
    """Files of a pattern, each by the first of its packings that is there."""
    found: dict[str, Path] = {}
    for packing in PACKED:
        for path in folder.glob(pattern + packing):
            found.setdefault(str(path)[: len(str(path)) - len(packing)], path)
    return [found[name] for name in sorted(found)]


class Benchmark(Protocol):
    """A module of this folder."""

    TITLE: str  # "GLUE (Wang et al. 2018)"
    SETS: tuple[DataSet, ...]
