"""The examples of a fine-tuning run: from files to texts with labels, with a part held out."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from albertkit.data.batch import Batch
from albertkit.data.other_tables import has_part, open_table
from albertkit.data.tables import BadRows, Table
from albertkit.errors import TrainingError, listed
from albertkit.files import write_atomic
from albertkit.tasks.classify import names_of
from albertkit.tasks.columns import (
    Columns,
    LabelKind,
    find_columns,
    kind_of_labels,
    text_examples,
    with_labels,
)
from albertkit.tasks.examples import TextExample
from albertkit.tasks.splits import hold_out
from albertkit.tasks.windows import Windows
from albertkit.text.encoding import Encoding
from albertkit.text.tokenizer import Tokenizer
from albertkit.train.finetune_recipe import ExampleSettings

SPLIT = "split.json"
MIN_EXAMPLES = 4  # so that both sides of a split can have both of two classes
_PART = 1024  # texts that are encoded before they become arrays
Facts = list[tuple[str, str]]


@dataclass(frozen=True)
class Examples:
    """Training and held-out examples, the kind of their labels, and what was found and chosen."""

    train: list[TextExample]
    dev: list[TextExample]
    kind: LabelKind
    facts: Facts
    split: dict[str, object] | None = None  # which lines are held out, if that was chosen here

    @classmethod
    def read(cls, settings: ExampleSettings, kind: LabelKind, seed: int) -> Examples:
        """Read the files that a recipe names, and hold a part out if there is no file for that.

        Raises:
            CorpusError: a file that cannot be read, columns that are not found, a bad row.
            TrainingError: too few examples.
        """
        table, bad = open_table(settings.train), BadRows(settings.on_bad_row)
        columns = find_columns(
            table,
            text=settings.text_column or None,
            pair=settings.pair_column or None,
            label=settings.label_column or None,
        )
        raw = list(text_examples(table, columns, bad))
        if len(raw) < MIN_EXAMPLES:
            raise TrainingError(
                "There are too few examples to train on.",
                expected=f"{MIN_EXAMPLES} rows at least, better some hundred of each class",
                found=f"{len(raw)} rows",
                where=settings.train,
                fix="check that it is the right file",
            )
        if kind == "auto":
            kind = kind_of_labels([example.label for example in raw])
        examples = with_labels(raw, kind, table.path, separator=settings.label_separator)
        facts = [("columns", columns.describe() + _about_header(table))]
        held_out = settings.dev
        if held_out is None and has_part(settings.train, "dev"):  # the folder brings its own
            held_out = settings.train
        if held_out is None:
            return cls._split(examples, settings, kind, seed, [*facts, *_about_bad(bad)])
        table = open_table(held_out, "dev")
        dev = _read_dev(table, settings, columns, kind, bad)
        facts += [
            ("to train on", f"{settings.train}: {about_labels(examples, kind)}"),
            ("held out", f"{table.path}: {about_labels(dev, kind)}"),
        ]
        return cls(examples, dev, kind, [*facts, *_about_bad(bad)])

    @classmethod
    def _split(
        cls,
        examples: Sequence[TextExample],
        settings: ExampleSettings,
        kind: LabelKind,
        seed: int,
        facts: Facts,
    ) -> Examples:
        """Hold a share of one file out."""
        train, dev = hold_out(examples, settings.dev_share, seed, by_class=kind == "classification")
        if not dev:
            raise TrainingError(
                "No example can be held out, so nothing could be measured.",
                expected="two different texts of a class at least",
                found=f"{len(examples)} examples",
                where=settings.train,
                fix="pass more examples, or dev='FILE'",
                command_fix="give more examples, or --dev FILE",
            )
        facts += [
            ("to train on", f"{settings.train}: {about_labels(train, kind)}"),
            (
                "held out",
                f"{len(dev):,} rows of it, {settings.dev_share:.0%} of each class by chance "
                f"(seed {seed}); which ones is in {SPLIT}",
            ),
        ]
        split = {
            "file": str(settings.train),
            "seed": seed,
            "share": settings.dev_share,
            "held_out_lines": [int(example.id) for example in dev],
        }
        return cls(train, dev, kind, facts, split)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all examples: a resumed run has to have the same ones."""
        made = hashlib.sha256(self.kind.encode())
        for examples in (self.train, self.dev):
            for example in examples:
                made.update(repr((example.text, example.pair, example.label)).encode("utf-8"))
            made.update(b"\n")
        return made.hexdigest()

    def write_split(self, folder: Path) -> None:
        """Record in a run folder which lines are held out."""
        if self.split is not None:
            write_atomic(folder / SPLIT, json.dumps(self.split, ensure_ascii=False) + "\n")


def _read_dev(
    table: Table, settings: ExampleSettings, columns: Columns, kind: str, bad: BadRows
) -> list[TextExample]:
    """Examples of the file for measuring, whose columns have the names of the training file."""
    same = find_columns(table, text=columns.text, pair=columns.pair, label=columns.label)
    dev = with_labels(
        list(text_examples(table, same, bad)), kind, table.path, separator=settings.label_separator
    )
    if not dev:
        raise TrainingError(
            "The file for measuring has no examples.",
            expected="rows with a text and a label",
            found="none",
            where=table.path,
            fix="check the file, or leave dev out: a part of the training file is held out then",
            command_fix="check the file, or leave --dev out: a part of the training file is held "
            "out then",
        )
    return dev


def _about_header(table: Table) -> str:
    if table.kind in ("tsv", "csv") and not table.has_header:
        return "; there is no header line, so columns have numbers"
    return ""


def _about_bad(bad: BadRows) -> Facts:
    if not bad.skipped:
        return []
    return [("left out", f"{len(bad.skipped):,} rows: {listed(bad.skipped, 3)}")]


def about_labels(examples: Sequence[TextExample], kind: str) -> str:
    """How many examples there are, and of which classes."""
    count = f"{len(examples):,} examples"
    if kind == "regression":
        numbers = [float(e.label) for e in examples if isinstance(e.label, (int, float))]
        return f"{count}, numbers from {min(numbers):g} to {max(numbers):g}"
    counts = Counter(name for example in examples for name in names_of(example))
    parts = [f"{name} ({number:,})" for name, number in counts.most_common()]
    what = "labels, any of them" if kind == "multi_label" else "classes"
    return f"{count}, {len(counts)} {what}: {listed(parts, 6)}"


@dataclass(frozen=True)
class Rows:
    """Windows of N texts as arrays: R rows of tokens, and to which text each belongs."""

    batch: Batch
    owners: npt.NDArray[np.int64]  # (R,)
    unknown: float  # share of the characters that the vocabulary does not have

    @classmethod
    def of(cls, tokenizer: Tokenizer, examples: Sequence[TextExample], max_tokens: int) -> Rows:
        """Encode examples."""
        batches, owners, unknown = [], [], 0
        for begin in range(0, len(examples), _PART):
            part = examples[begin : begin + _PART]
            windows = Windows.of(
                tokenizer, [e.text for e in part], [e.pair for e in part], max_tokens
            )
            batches.append(Batch.of(windows.encodings))
            owners.append(windows.owners + begin)
            unknown += sum(_unknown_characters(e, tokenizer.unk_id) for e in windows.encodings)
        characters = sum(len(e.text) + len(e.pair or "") for e in examples)
        share = min(1.0, unknown / max(1, characters))
        return cls(Batch.joined(batches), np.concatenate(owners), share)

    @property
    def windows(self) -> Windows:
        """The same without encodings, to merge what was computed."""
        return Windows([], self.owners)

    @property
    def num_texts(self) -> int:
        """N."""
        return int(self.owners[-1]) + 1

    def describe(self) -> str:
        """How long the texts are, in tokens."""
        lengths = self.batch.lengths
        parts = f"median {int(np.median(lengths))} tokens, longest row {int(lengths.max())}"
        long = int((np.bincount(self.owners) > 1).sum())
        if long:
            parts += f"; {long:,} longer texts are read in windows, {len(lengths):,} rows together"
        return parts


def _unknown_characters(encoding: Encoding, unk_id: int) -> int:
    """Characters of a sequence that became the unknown token."""
    if unk_id not in encoding.ids:
        return 0
    pairs = zip(encoding.ids, encoding.offsets, strict=True)
    return sum(end - start for token, (start, end) in pairs if token == unk_id)


def without_folders(settings: ExampleSettings) -> ExampleSettings:
    """The settings with the last names of their files only: a model card is published."""
    dev = None if settings.dev is None else Path(settings.dev.name)
    return replace(settings, train=Path(settings.train.name), dev=dev)
