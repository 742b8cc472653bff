"""The model that a fine-tuning run begins with: any checkpoint, or one of this package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.errors import TrainingError, VocabularyError, quoted
from albertkit.files import clear_leftovers
from albertkit.hub.by_script import CHINESE, ENGLISH, model_for_most
from albertkit.tasks.head import TaskHead
from albertkit.tasks.rows import Rows
from albertkit.text.tokenizer import Tokenizer
from albertkit.train.finetune_data import Examples
from albertkit.train.finetune_health import is_untrained
from albertkit.train.start import license_of, read_start

UNKNOWN_SHARE = 0.3  # of the characters: beyond it the model cannot read the texts


@dataclass(frozen=True)
class TaskOrigin:
    """Facts about the model that was fine-tuned, as RUN/start.json keeps them."""

    name: str
    family: str
    license: str
    new: list[str]  # parts that it lacks, made from random numbers
    left_out: list[str]  # parts that it has and the run does not use
    untrained: bool  # its numbers are those of an initialisation

    def describe(self) -> str:
        """One line for people."""
        facts = [f"{self.name} ({self.family})"]
        facts += [f"made new: {', '.join(self.new)}"] if self.new else []
        facts += [f"left out: {', '.join(self.left_out)}"] if self.left_out else []
        facts += ["its weights were never trained"] if self.untrained else []
        return "; ".join(facts)


def open_start(name: str, head: TaskHead, begun: Path | None) -> tuple[Checkpoint, TaskOrigin]:
    """The model to begin with; for a run that is resumed its own, where it has one."""
    if begun is not None:
        clear_leftovers(begun)
        if (begun / "model").is_dir():
            return Checkpoint.load(begun / "model"), read_start(begun, TaskOrigin)
    opened = open_checkpoint(name)
    if opened.tokenizer_error is not None:
        raise opened.tokenizer_error
    checkpoint = opened.checkpoint
    old = checkpoint.head
    origin = TaskOrigin(
        name=name,
        family=opened.family,
        license=license_of(opened),
        new=["pooler"] if head.needs_pooler and not checkpoint.has_pooler else [],
        left_out=[] if old in (None, head) else [f"head of its task ({old.kind})"],
        untrained=is_untrained(checkpoint.tensors),
    )
    return checkpoint, origin


def by_script(examples: Examples) -> str:
    """Name of the model of this package for most of the texts; noted among the facts."""
    name, share = model_for_most(example.text for example in examples.train)
    other = "" if share > 0.995 else f" of {share:.0%} of the texts"
    examples.facts.append(("model chosen", f"{name}, by the script{other}"))
    return name


def tokenizer_of(checkpoint: Checkpoint, name: str) -> Tokenizer:
    """The tokenizer of a checkpoint.

    Raises:
        VocabularyError: it has none.
    """
    if checkpoint.tokenizer is None:
        raise VocabularyError(
            "This model has no tokenizer.",
            expected="a vocabulary beside its weights",
            found="none",
            where=name,
            fix="put the vocabulary that came with it, spiece.model or vocab.txt, into its folder",
        )
    return checkpoint.tokenizer


def refuse_unknown(rows: Rows, name: str) -> None:
    """Refuse texts that a tokenizer does not know, as Chinese ones with an English model.

    Raises:
        TrainingError: with a model for them.
    """
    if rows.unknown <= UNKNOWN_SHARE:
        return
    other = CHINESE if name != CHINESE else ENGLISH
    raise TrainingError(
        "The model does not know the characters of these texts.",
        expected=f"at most {UNKNOWN_SHARE:.0%} unknown characters",
        found=f"{rows.unknown:.0%} unknown to the tokenizer of {name}",
        fix=f"take a model for their language, such as model={other!r}",
        command_fix=f"take a model for their language, such as --model {quoted(other)}",
    )
