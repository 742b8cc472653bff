"""Where a run goes on from: the numbers of any checkpoint, and new ones for what it lacks.

The recipe names the checkpoint, whose sizes and tokenizer hold. It is opened once: the training
state before step 0 holds its numbers, and RUN/start.json what people should know of it, so that a
resumed run needs it no more.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from albertkit.checkpoint.checkpoint import Checkpoint, Opened, open_checkpoint
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.config import AlbertConfig
from albertkit.data.folder import DataFolder
from albertkit.errors import RecipeError, TrainingError, VocabularyError, quoted
from albertkit.model.heads import AlbertForPretraining
from albertkit.settings import from_table
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.vocabulary import check_fits
from albertkit.train.model_card import NOT_STATED

START = "start.json"
POSITIONS = "albert.embeddings.position.weight"
# What a recipe may state otherwise than the checkpoint: no number of the model depends on it.
MAY_DIFFER = {
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout_prob",
    "initializer_range",
}
PARTS = {
    "albert.pooler.": "pooler",
    "masked_lm.": "masked-LM head",
    "sentence_order.": "sentence-order head",
}


@dataclass(frozen=True)
class Origin:
    """Facts about a start, as RUN/start.json keeps them."""

    name: str  # as the recipe names it
    family: str
    license: str  # of its weights, where its model card states one
    new: list[str]  # parts that it lacks, made from random numbers
    left_out: list[str]  # parts that it has and the run does not use
    sentence_order: bool  # whether the model has that head
    positions: int  # how many it had
    max_positions: int  # how many the model has

    @classmethod
    def read(cls, folder: Path) -> Origin:
        """The facts in a run folder. Raises TrainingError."""
        return read_start(folder, cls)

    def write(self, folder: Path) -> None:
        """Write the facts into a run folder."""
        write_start(folder, self)

    def describe(self) -> str:
        """One line for people."""
        facts = [f"{self.name} ({self.family})"]
        facts += [f"made new: {', '.join(self.new)}"] if self.new else []
        facts += [f"left out: {', '.join(self.left_out)}"] if self.left_out else []
        if self.max_positions > self.positions:
            facts.append(
                f"positions {self.positions} to {self.max_positions - 1} begin as copies of "
                "trained ones"
            )
        return "; ".join(facts)


Facts = TypeVar("Facts")


def read_start(folder: Path, kind: type[Facts]) -> Facts:
    """What a run began with, from RUN/start.json.

    Raises:
        TrainingError: the file is not there or not what the run wrote.
    """
    path = folder / START
    try:
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise TrainingError(
            "It cannot be read what this run went on from.",
            expected=f"{START} as the run wrote it",
            found=f"{type(error).__name__}: {error}",
            where=path,
            fix="put the file back, or start the run again in another folder",
        ) from error


def write_start(folder: Path, facts: Any) -> None:
    """Write what a run began with, a dataclass, into its folder."""
    text = json.dumps(dataclasses.asdict(facts), indent=1, ensure_ascii=False)
    (folder / START).write_text(text + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Start:
    """An opened checkpoint, and the config of the model that goes on from it."""

    checkpoint: Checkpoint
    config: AlbertConfig
    origin: Origin

    @classmethod
    def open(cls, name: str, stated: Mapping[str, Any], *, sentence_order: bool) -> Start:
        """Open a checkpoint by path or name; `stated`: the [model] table of the recipe.

        Raises:
            RecipeError: the table states another size than the checkpoint has.
            CheckpointError, ConfigError, DownloadError: as `Checkpoint.load`.
        """
        opened = open_checkpoint(name)
        checkpoint = opened.checkpoint
        config = agreed_config(checkpoint.config, stated, name)
        has_order = sentence_order or checkpoint.has_sentence_order
        has = {part: checkpoint._has(part) for part in PARTS}
        needed = {"albert.pooler.": has_order, "masked_lm.": True, "sentence_order.": has_order}
        head = checkpoint.head
        origin = Origin(
            name=name,
            family=opened.family,
            license=license_of(opened),
            new=[PARTS[part] for part in PARTS if needed[part] and not has[part]],
            left_out=[] if head is None else [f"head of its task ({head.kind})"],
            sentence_order=has_order,
            positions=checkpoint.config.max_position_embeddings,
            max_positions=config.max_position_embeddings,
        )
        return cls(checkpoint, config, origin)

    def check_data(self, data: DataFolder) -> None:
        """Refuse data that were cut with another tokenizer.

        Raises:
            VocabularyError: with what makes the right ones.
        """
        own = self.checkpoint.tokenizer
        if own is None:
            check_fits(data.tokenizer, self.config)
        else:
            require_tokenizer(data, own, self.origin.name)

    @torch.no_grad()
    def fill(self, model: AlbertForPretraining) -> None:
        """Copy the checkpoint's numbers; what it lacks keeps the values that the model has."""
        for name, parameter in model.named_parameters():
            tensor = self.checkpoint.tensors.get(name)
            if tensor is not None:
                if name == POSITIONS:
                    tensor = longer(tensor, len(parameter))
                parameter.copy_(torch.from_numpy(np.require(tensor, requirements=["C", "W"])))


def agreed_config(config: AlbertConfig, stated: Mapping[str, Any], name: str) -> AlbertConfig:
    """The checkpoint's config with what a recipe may change: dropout, and more positions.

    Raises:
        RecipeError: an unknown key, or a size that is not the checkpoint's.
    """
    given = {key: value for key, value in stated.items() if value != "from_data"}
    has = dataclasses.asdict(config)
    size = given.pop("size", None)
    wanted = dataclasses.asdict(from_table({**has, **given}, AlbertConfig, name="model"))
    for key, value in wanted.items():
        more = key == "max_position_embeddings" and value > has[key]
        if value != has[key] and key not in MAY_DIFFER and not more:
            raise _disagrees(f"model.{key}", has[key], value, name)
    if size is not None:
        raise _disagrees("model.size", "the sizes of the checkpoint alone", size, name)
    return AlbertConfig(**wanted)


def _disagrees(key: str, has: object, stated: object, name: str) -> RecipeError:
    fix = f"take '{key}' out of the recipe (the recipe `continue` states no sizes)"
    if key == "model.max_position_embeddings":
        fix = f"ask for {has} positions or more"
    return RecipeError(
        "The recipe states another model than the one to go on from.",
        expected=f"{key} = {has}, as in {name}",
        found=f"{key} = {stated}",
        fix=fix,
    )


def longer(table: Array, positions: int) -> Array:
    """A table of positions (P, W) with more rows (positions, W).

    The new ones repeat those behind position 0, where only [CLS] ever stands: P begins like 1.
    """
    size = len(table)
    new = np.arange(size, positions)
    copied = 1 + (new - 1) % (size - 1) if size > 1 else new * 0
    return np.concatenate([table, table[copied]])


def require_tokenizer(data: DataFolder, tokenizer: Tokenizer, model: str) -> None:
    """Refuse data cut with another tokenizer than that of a model.

    Raises:
        VocabularyError: with the command that cuts them again.
    """
    if data.tokenizer.fingerprint != tokenizer.fingerprint:
        raise VocabularyError(
            "The data were cut with another tokenizer than the model's.",
            expected=_about(tokenizer),
            found=_about(data.tokenizer),
            where=data.path,
            fix=f"albertkit.make_data(TEXT, vocab={model!r}, output=...)",
            command_fix=f"albertkit make-data TEXT --vocab {quoted(model)} "
            f"--output {quoted(f'{data.path}-2')}",
        )


def _about(tokenizer: Tokenizer) -> str:
    return (
        f"tokenizer {tokenizer.fingerprint[:16]}, {tokenizer.vocab_size:,} {tokenizer.kind} pieces"
    )


def license_of(opened: Opened) -> str:
    """The licence that the model card beside the weights states in its header."""
    place = Path(opened.path)
    card = (place if place.is_dir() else place.parent) / "README.md"
    if not card.is_file():
        return NOT_STATED
    header = card.read_text(encoding="utf-8", errors="replace").partition("---\n")[2]
    stated = re.search(r'^license: *"?([^"\n]+)"?$', header.partition("\n---")[0], re.MULTILINE)
    return stated[1].strip() if stated and stated[1] != "unknown" else NOT_STATED
