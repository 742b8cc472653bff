"""The examples of a fine-tuning run: from files to examples with labels, with a part held out."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from albertkit.data.other_tables import has_part, open_table
from albertkit.data.tables import BadRows, Table
from albertkit.errors import RecipeError, TrainingError, listed
from albertkit.files import write_atomic
from albertkit.tasks.choice_columns import GivenColumns
from albertkit.tasks.choice_files import has_questions, read_questions
from albertkit.tasks.classify import names_of
from albertkit.tasks.codecs import CODECS
from albertkit.tasks.columns import Columns, find_columns, kind_of_labels, text_examples
from albertkit.tasks.columns import with_labels as labelled
from albertkit.tasks.kinds import KINDS, kinds_where
from albertkit.tasks.rows import Rows
from albertkit.tasks.span_answers import can_be_learned
from albertkit.tasks.span_files import AnswerColumns, has_answered, read_answered
from albertkit.tasks.splits import by_article, hold_out
from albertkit.tasks.tag_metrics import entities
from albertkit.tasks.tagged_files import as_bio, has_marks, read_tagged
from albertkit.text.tokenizer import Tokenizer
from albertkit.train.finetune_recipe import ExampleSettings

SPLIT = "split.json"
MIN_EXAMPLES = 4  # so that both sides of a split can have both of two classes
_PART = 1024  # examples that are encoded before they become arrays
Facts = list[tuple[str, str]]


@dataclass(frozen=True)
class Examples:
    """Training and held-out examples, the kind of head that they need, what was found and chosen.

    train and dev are examples of the task.
    """

    train: list[Any]
    dev: list[Any]
    kind: str
    facts: Facts
    split: dict[str, object] | None = None  # which lines are held out, if that was chosen here

    @classmethod
    def read(cls, task: str, settings: ExampleSettings, kind: str) -> Examples:
        """Read the files that a recipe names, and hold a part out if there is no file for that.

        kind: of the head, or auto.

        Raises:
            CorpusError: a file that cannot be read, columns that are not found, a bad row.
            TrainingError: too few examples.
        """
        known = kinds_where(task=task)
        if kind not in ("auto", *known):
            raise RecipeError(
                f"objective.kind must be one of auto, {', '.join(known)}.",
                found=kind,
                fix="correct objective.kind, or leave it out",
                command_fix="correct --kind, or leave it out",
            )
        _refuse_columns(task, settings)
        found = _READERS[task](settings, kind)
        if found.dev is None:
            return _split(found, settings)
        if not found.dev:
            raise TrainingError(
                "The file for measuring has no examples.",
                expected="examples like those of the training file",
                found="none",
                where=found.dev_path,
                fix="check the file, or leave dev out: a part of the training file is held out",
                command_fix="check the file, or leave --dev out: a part of the training file is "
                "held out",
            )
        facts = [
            *found.facts,
            ("to train on", f"{settings.train}: {about_labels(found.train, found.kind)}"),
            ("held out", f"{found.dev_path}: {about_labels(found.dev, found.kind)}"),
        ]
        return cls(found.train, found.dev, found.kind, facts + _about_bad(found.bad))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all examples: a resumed run has to have the same ones."""
        made = hashlib.sha256(self.kind.encode())
        for examples in (self.train, self.dev):
            for example in examples:
                made.update(repr(tuple(vars(example).values())[1:]).encode())
            made.update(b"\n")
        return made.hexdigest()

    def write_split(self, folder: Path) -> None:
        """Record in a run folder which lines are held out."""
        if self.split is not None:
            write_atomic(folder / SPLIT, json.dumps(self.split, ensure_ascii=False) + "\n")


@dataclass
class _Found:
    """What is in the files: examples of both, kind of head, facts, rows that were left out.

    dev: None if there is nothing for measuring, and a part of `train` is to be held out.
    """

    train: list[Any]
    dev: list[Any] | None
    dev_path: Path | None
    kind: str
    facts: Facts
    bad: BadRows


class _Texts:
    """Tables of texts with classes or numbers."""

    @classmethod
    def read(cls, settings: ExampleSettings, kind: str) -> _Found:
        table, bad = open_table(settings.train), BadRows(settings.on_bad_row)
        columns = find_columns(
            table,
            text=settings.text_column or None,
            pair=settings.pair_column or None,
            label=settings.label_column or None,
        )
        raw = list(text_examples(table, columns, bad))
        _refuse_few(len(raw), settings.train)
        if kind == "auto":
            kind = kind_of_labels([example.label for example in raw])
        train = labelled(raw, kind, table.path, separator=settings.label_separator, bad=bad)
        header = table.has_header or table.kind not in ("tsv", "csv")
        note = "" if header else "; there is no header line, so columns have numbers"
        facts = [("columns", columns.describe() + note)]
        held_out = settings.dev
        if held_out is None and has_part(settings.train, "dev"):  # the folder brings its own
            held_out = settings.train
        if held_out is None:
            return _Found(train, None, None, kind, facts, bad)
        table = open_table(held_out, "dev")
        dev = cls._dev(table, settings, columns, kind, bad)
        return _Found(train, dev, table.path, kind, facts, bad)

    @staticmethod
    def _dev(
        table: Table, settings: ExampleSettings, columns: Columns, kind: str, bad: BadRows
    ) -> list[Any]:
        """Examples of the file for measuring, whose columns are named as in the training file."""
        same = find_columns(table, text=columns.text, pair=columns.pair, label=columns.label)
        raw = list(text_examples(table, same, bad))
        return labelled(raw, kind, table.path, separator=settings.label_separator, bad=bad)


class _Tagged:
    """Files of words and tags."""

    @staticmethod
    def read(settings: ExampleSettings, kind: str) -> _Found:
        bad = BadRows(settings.on_bad_row)
        train = list(read_tagged(settings.train, bad))
        _refuse_few(len(train), settings.train)
        dev = None if settings.dev is None else list(read_tagged(settings.dev, bad))
        if has_marks(train):
            train, dev = as_bio(train), None if dev is None else as_bio(dev)
        [kind] = kinds_where(task="tag")
        return _Found(train, dev, settings.dev, kind, [], bad)


class _Questions:
    """Questions with options."""

    @staticmethod
    def read(settings: ExampleSettings, kind: str) -> _Found:
        bad, given = BadRows(settings.on_bad_row), given_columns(settings)
        questions, columns = read_questions(settings.train, given, bad)
        train = list(questions)
        _refuse_few(len(train), settings.train)
        [kind] = kinds_where(task="choose")
        facts = [("columns", columns)]
        path = settings.dev
        if path is None and has_questions(settings.train, "dev"):  # the folder brings its own
            path = settings.train
        if path is None:
            return _Found(train, None, None, kind, facts, bad)
        dev = list(read_questions(path, given, bad, split="dev")[0])
        return _Found(train, dev, path, kind, facts, bad)


def given_columns(settings: ExampleSettings) -> GivenColumns:
    """Columns of questions that a recipe names."""
    return GivenColumns(
        settings.context_column or None,
        settings.question_column or None,
        tuple(settings.option_columns),
        settings.label_column or None,
    )


class _Answers:
    """Files of questions about contexts."""

    @staticmethod
    def read(settings: ExampleSettings, kind: str) -> _Found:
        bad = BadRows(settings.on_bad_row)
        columns = AnswerColumns(
            settings.question_column, settings.context_column, settings.label_column
        )
        every = read_answered(settings.train, bad, columns)
        train = [example for example in every if can_be_learned(example)]
        _refuse_few(len(train), settings.train)
        facts = []
        if len(train) < len(every):
            lost = [example.id for example in every if not can_be_learned(example)]
            facts = [("not trained on", f"{len(lost):,} questions whose answer is not in their "
                      f"context: {listed(lost, 3)}")]  # fmt: skip
        held_out = settings.dev
        if held_out is None and has_answered(settings.train, "dev"):
            held_out = settings.train
        dev = None if held_out is None else read_answered(held_out, bad, columns, split="dev")
        if kind == "auto":
            kind = "beam_span" if any(example.is_impossible for example in train) else "span"
        return _Found(train, dev, held_out, kind, facts, bad)


_READERS = {
    "classify": _Texts.read,
    "tag": _Tagged.read,
    "choose": _Questions.read,
    "span": _Answers.read,
}


# The columns that a task reads; of tag words and tags have their places.
_COLUMNS = {
    "classify": {"text_column", "pair_column", "label_column"},
    "tag": set[str](),
    "choose": {"context_column", "question_column", "option_columns", "label_column"},
    "span": {"context_column", "question_column", "label_column"},
}


def _refuse_columns(task: str, settings: ExampleSettings) -> None:
    """Refuse names of columns that the task would not look at."""
    every = set.union(*_COLUMNS.values())
    unused = sorted(x for x in every - _COLUMNS[task] if getattr(settings, x))
    if unused:
        used = sorted(_COLUMNS[task])
        options = [f"--{name.replace('_', '-')}" for name in (*unused, *used)]
        raise RecipeError(
            f"{task} does not read {listed(unused)}.",
            expected=", ".join(used) if used else "a word and its tag on each line, without names",
            found=", ".join(f"{name}={getattr(settings, name)!r}" for name in unused),
            fix=f"leave {listed(unused)} out",
            command_fix=f"leave {listed(options[: len(unused)])} out",
        )


def _refuse_few(count: int, path: Path) -> None:
    if count < MIN_EXAMPLES:
        raise TrainingError(
            "There are too few examples to train on.",
            expected=f"{MIN_EXAMPLES} rows at least, better some hundred of each class",
            found=f"{count} rows",
            where=path,
            fix="check that it is the right file",
        )


def _split(found: _Found, settings: ExampleSettings) -> Examples:
    """Hold a share of one file out."""
    by_class, seed = found.kind == "classification", settings.split_seed
    task = KINDS[found.kind].task
    CODECS[task].head_for(found.train, found.kind)  # refuses labels that cannot be learned
    train, dev = hold_out(found.train, settings.dev_share, seed, by_class=by_class)
    if not dev:
        raise TrainingError(
            "No example can be held out, so nothing could be measured.",
            expected="two different texts of a class at least",
            found=f"{len(found.train)} examples, {len({x.text for x in found.train})} texts",
            where=settings.train,
            fix="pass more examples, or dev='FILE'",
            command_fix="give more examples, or --dev FILE",
        )
    share = f"{settings.dev_share:.0%}{' of each class' if by_class else ''}"
    if task == "span":
        share += f" of the {'articles' if by_article(found.train) else 'contexts'}"
    unit = {"tag": "sentences", "span": "questions"}.get(task, "lines")
    facts = [
        *found.facts,
        ("to train on", f"{settings.train}: {about_labels(train, found.kind)}"),
        (
            "held out",
            f"{len(dev):,} examples of it, {share} by chance (seed {seed}); which ones is in "
            f"{SPLIT}",
        ),
    ]
    split = {
        "file": str(settings.train),
        "seed": seed,
        "share": settings.dev_share,
        f"held_out_{unit}": [int(e.id) if e.id.isdecimal() else e.id for e in dev],
    }
    return Examples(train, dev, found.kind, facts + _about_bad(found.bad), split)


def _about_bad(bad: BadRows) -> Facts:
    if not bad.skipped:
        return []
    return [("left out", f"{len(bad.skipped):,} rows: {listed(bad.skipped, 3)}")]


def about_labels(examples: Sequence[Any], kind: str) -> str:
    """How many examples there are, and of which classes."""
    count = f"{len(examples):,} examples"
    if kind == "regression":
        numbers = [float(e.label) for e in examples if isinstance(e.label, (int, float))]
        return f"{count}, numbers from {min(numbers):g} to {max(numbers):g}"
    if KINDS[kind].task == "span":
        contexts = len({example.context for example in examples})
        without = sum(example.is_impossible for example in examples)
        more = f", {without:,} without an answer" if without else ""
        return f"{len(examples):,} questions about {contexts:,} contexts{more}"
    if KINDS[kind].task == "tag":
        words = sum(len(example.words) for example in examples)
        count = f"{len(examples):,} sentences of {words:,} words"
        found = Counter(of for e in examples for of, _, _ in entities(e.tags or ()))
        return f"{count}, {len(found)} types: {listed(_counted(found), 6)}"
    if KINDS[kind].task == "choose":
        sizes = sorted({len(example.options) for example in examples})
        contexts = len({example.context for example in examples} - {""})
        about = f" about {contexts:,} contexts" if contexts else ""
        return f"{len(examples):,} questions{about}, {' or '.join(map(str, sizes))} options each"
    found = Counter(name for example in examples for name in names_of(example))
    what = "labels, any of them" if kind == "multi_label" else "classes"
    return f"{count}, {len(found)} {what}: {listed(_counted(found), 6)}"


def _counted(found: Counter[str]) -> list[str]:
    return [f"{name} ({number:,})" for name, number in found.most_common()]


def encoded(
    task: str, tokenizer: Tokenizer, examples: Sequence[Any], max_tokens: int, **options: int
) -> Rows:
    """Examples of a task as rows. options: of the `encode` of its task."""
    encode = CODECS[task].encode
    parts = [
        encode(tokenizer, examples[begin : begin + _PART], max_tokens, **options)
        for begin in range(0, len(examples), _PART)
    ]
    return type(parts[0]).joined(parts)  # each kind of rows knows its own arrays


def without_folders(settings: ExampleSettings) -> ExampleSettings:
    """The settings with the last names of their files only: a model card is published."""
    dev = None if settings.dev is None else Path(settings.dev.name)
    return replace(settings, train=Path(settings.train.name), dev=dev)
