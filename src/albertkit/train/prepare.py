"""From a recipe to the objects of a run; whatever cannot work is refused here, before any step."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from albertkit import settings as recipes
from albertkit.config import AlbertConfig
from albertkit.data.folder import DataFolder
from albertkit.data.loader import PretrainingLoader, SampleSettings
from albertkit.data.shards import Shards
from albertkit.errors import RecipeError, VocabularyError
from albertkit.model.heads import AlbertForPretraining
from albertkit.sizes import size
from albertkit.text.vocabulary import check_fits
from albertkit.train.baselines import Baselines, order_accuracy, unigram_entropy
from albertkit.train.loop import device_of, seed_of
from albertkit.train.optim import Adam
from albertkit.train.recipe import PretrainingRecipe, RunSettings
from albertkit.train.resume import RECIPE
from albertkit.train.stages import Stages
from albertkit.train.start import Origin, Start, require_tokenizer
from albertkit.train.validation import ValidationSet

_BASELINE_PAIRS = 20_000
# Settings that a resumed run may change: they decide no weight, or (device, threads) only rounding.
# The number of validation rows is not among them: the baselines belong to those rows.
MAY_CHANGE = {"output", "device", "threads", "log_every", "validate_every", "save_every", "keep"}
MAY_CHANGE |= {"stop_below", "tensorboard"}
# Sentence order is trained unless it is "off"; runs of release 0.1 do not have the key.
_DEFAULTS_NOT_HASHED = {"sentence_order": "on"}


@dataclass(frozen=True)
class PreparedRun:
    """A recipe with every choice made and every config key written out, its config and data."""

    recipe: PretrainingRecipe
    config: AlbertConfig
    data: DataFolder
    replay: DataFolder | None = None
    start: Start | None = None  # None also where a state holds its numbers
    origin: Origin | None = None  # facts about the start of a run that goes on from a checkpoint

    @classmethod
    def resolve(cls, recipe: PretrainingRecipe, begun: Path | None = None) -> PreparedRun:
        """Open the data and make every choice that was left to the program.

        begun: folder of a run to resume; its checkpoint to start from is not opened again.

        Raises RecipeError, ConfigError, ShardError, VocabularyError, TrainingError, and what
        `Checkpoint.load` raises.
        """
        data = DataFolder.open(recipe.data.path)
        if not recipe.stages:
            raise RecipeError(
                "The recipe has no stage.",
                expected="at least one [[stages]] table",
                fix="add a [[stages]] table with steps, tokens and batch_size",
            )
        replay = None
        if recipe.data.replay is not None:
            replay = DataFolder.open(recipe.data.replay)
            require_tokenizer(replay, data.tokenizer, recipe.start.checkpoint or str(data.path))
        run = _resolved(recipe.run, data, replay)
        start = origin = None
        if recipe.start.checkpoint and begun is None:
            order = run.sentence_order == "on"
            start = Start.open(recipe.start.checkpoint, recipe.model, sentence_order=order)
            start.check_data(data)
            config, origin = start.config, start.origin
        else:
            table = dict(recipe.model)
            if recipe.start.checkpoint and begun is not None:
                table, origin = _model_of(begun) | table, Origin.read(begun)
            config = model_config(table, data.tokenizer.vocab_size)
            _check_vocabulary(recipe, config, data)
        _check_rows(recipe, config)
        name = {"size": recipe.model["size"]} if "size" in recipe.model else {}
        recipe = dataclasses.replace(recipe, model=name | dataclasses.asdict(config), run=run)
        return cls(recipe, config, data, replay, start, origin)

    @property
    def sentence_order(self) -> bool:
        """Whether sentence order is trained beside masked-LM."""
        return self.recipe.run.sentence_order == "on"

    @property
    def identity(self) -> dict[str, str]:
        """SHA-256 of everything in the recipe that decides the weights, and of the data."""
        run = {
            key: value
            for key, value in recipes.to_table(self.recipe.run).items()
            if key not in MAY_CHANGE and _DEFAULTS_NOT_HASHED.get(key) != value
        }
        deciding = recipes.to_table(self.recipe) | {"run": run, "data": {}, "card": {}}
        # Keys that release 0.1 did not have count only where they are used.
        if not self.recipe.start.checkpoint:
            del deciding["start"]
        for stage in deciding["stages"]:
            if stage["whole_words"]:
                del stage["whole_words"]
            for name in [field.name for field in dataclasses.fields(SampleSettings)]:
                if name in stage:  # behind the others, as release 0.1 had them
                    stage[name] = stage.pop(name)
        recipe = hashlib.sha256(repr(deciding).encode()).hexdigest()
        data = self.data.fingerprint
        if self.replay is not None:
            parts = [data, self.replay.fingerprint, repr(self.recipe.data.replay_share)]
            data = hashlib.sha256(" ".join(parts).encode()).hexdigest()
        return {"recipe": recipe, "data": data}

    def stages(self) -> Stages:
        """The stages over the training shards."""
        share = self.recipe.data.replay_share
        return Stages(
            self.recipe.stages,
            self.data.train,
            self.recipe.run.seed,
            sentence_order=self.sentence_order,
            replay=(self.replay.train, share) if self.replay is not None and share else None,
        )

    def build(self) -> tuple[AlbertForPretraining, Adam]:
        """A model on its device, and its optimizer; the same weights for the same seed.

        Fresh, or with the numbers of the checkpoint that the run goes on from.
        """
        torch.manual_seed(seed_of(self.recipe.run.seed, -1))
        origin = self.origin
        has_order = origin is None or origin.sentence_order
        model = AlbertForPretraining(self.config, has_order, pooler=has_order)
        if self.start is not None:
            self.start.fill(model)
        model.to(self.recipe.run.device)
        return model, Adam(model.named_parameters(), self.recipe.optim)

    def validation_set(self) -> ValidationSet:
        """Held-out rows of the last stage's length, the length that the finished model is for."""
        return self._held_out(self.data)

    def replay_set(self) -> ValidationSet | None:
        """The same of the text that is replayed, if some is."""
        return None if self.replay is None else self._held_out(self.replay)

    def _held_out(self, data: DataFolder) -> ValidationSet:
        stage, run = self.recipe.stages[-1], self.recipe.run
        loader = PretrainingLoader(
            data.validation,
            data.validation.special_ids,
            stage.loader_settings(run.seed, sentence_order=self.sentence_order),
            stage.micro_batch_size or stage.batch_size,
        )
        return ValidationSet.of(loader, run.validation_rows)

    def measure_baselines(self, validation_set: ValidationSet) -> Baselines:
        """Unigram entropy and bag-of-words order accuracy for the held-out rows; takes seconds."""
        counts = self.data.train.token_counts()
        targets = validation_set.targets
        order = None
        if self.sentence_order:
            stage = len(self.recipe.stages) - 1
            loader = self.stages().loader_of(self.data.train, stage)
            pairs = min(_BASELINE_PAIRS, loader.num_samples(0))
            batches = (loader.batch(step) for step in range(-(-pairs // loader.batch_size)))
            order = order_accuracy(batches, validation_set.batches, vocab_size=len(counts))
        return Baselines(
            unigram_entropy=unigram_entropy(counts, targets),
            unigram_accuracy=float((targets == counts.argmax()).mean()),
            order_accuracy=order,
        )

    def describe(self, validation_set: ValidationSet) -> list[tuple[str, str]]:
        """What a run works with, every choice that was left to the program included."""
        run, config, data = self.recipe.run, self.config, self.data
        origin = [] if self.origin is None else [("goes on from", self.origin.describe())]
        return [
            *origin,
            ("data", str(data.path)),
            *self._about_replay(),
            ("to train on", _size_of(data.train)),
            ("held out", f"{_size_of(data.validation)}; {_rows(validation_set.num_rows)} used"),
            ("objective", self._objective()),
            (
                "model",
                f"{config.num_hidden_layers} layers of width {config.hidden_size}, vocabulary "
                f"{config.vocab_size:,}",
            ),
            *(
                (f"stage {n}", f"{s.steps:,} steps of {s.batch_size} rows of {s.tokens} tokens")
                for n, s in enumerate(self.recipe.stages)
            ),
            (
                "computed by",
                f"{self.recipe.optim.name} on {run.device}, {run.precision}, "
                + ("1 thread" if run.threads == 1 else f"{run.threads} threads"),
            ),
        ]

    def _about_replay(self) -> list[tuple[str, str]]:
        if self.replay is None:
            return []
        share = self.recipe.data.replay_share
        use = f"{share:.0%} of the rows" if share else "held-out text is measured, no row trained"
        return [("replay", f"{self.replay.path}: {use}")]

    def _objective(self) -> str:
        if not self.sentence_order:
            why = "" if self.data.has_pairs else ", for the data lack documents of two sentences"
            return f"masked-LM alone, without sentence order{why}"
        text = "masked-LM and sentence order"
        single = int(self.data.train.index.get("single_sentence_documents", 0))
        if single == 1:
            text += "; 1 document of one sentence has no pair and is not used"
        elif single:
            text += f"; {single:,} documents of one sentence have no pair and are not used"
        return text


def model_config(table: dict[str, object], data_vocab_size: int) -> AlbertConfig:
    """Config of the [model] section: a named size, changed by the other keys."""
    if not table:
        raise RecipeError(
            "The recipe names no model.",
            expected="a [model] table, or a model to go on from",
            found="neither",
            fix="pass start_from=MODEL, or a recipe such as 'tiny-en'",
            command_fix="add --from MODEL, or take a recipe such as tiny-en",
        )
    name = table.pop("size", None)
    if name is not None and not isinstance(name, str):
        raise RecipeError(
            "'model.size' must be the name of a size.",
            found=repr(name),
            fix='write the name in quotes, as in size = "albert-base-v2"',
        )
    if table.get("vocab_size") == "from_data":
        table["vocab_size"] = data_vocab_size
    base = dataclasses.asdict(size(name)) if name is not None else {}
    return recipes.from_table({**base, **table}, AlbertConfig, name="model")


def _resolved(run: RunSettings, data: DataFolder, replay: DataFolder | None) -> RunSettings:
    """Device, threads and sentence order decided."""
    order = run.sentence_order
    if order == "auto":
        pairs = data.has_pairs and (replay is None or replay.has_pairs)
        order = "on" if pairs else "off"
    threads, device = run.threads or torch.get_num_threads(), device_of(run.device)
    return dataclasses.replace(run, device=device, threads=threads, sentence_order=order)


def _model_of(begun: Path) -> dict[str, Any]:
    """The [model] table that a run began with."""
    return recipes.load(begun / RECIPE, PretrainingRecipe).model


def _check_vocabulary(recipe: PretrainingRecipe, config: AlbertConfig, data: DataFolder) -> None:
    """Refuse a model that the data do not belong to."""
    if recipe.start.checkpoint:  # its table may be padded to a round size
        check_fits(data.tokenizer, config)
        return
    found = data.tokenizer.vocab_size
    if config.vocab_size != found:
        raise VocabularyError(
            "The data were tokenized with a vocabulary that is not the model's.",
            expected=f"{config.vocab_size:,} pieces, the model's vocab_size",
            found=f"{found:,} pieces",
            where=recipe.data.path,
            fix='set={"model.vocab_size": "from_data"} makes a model for these data',
            command_fix="--set model.vocab_size=from_data makes a model for these data",
        )


def _check_rows(recipe: PretrainingRecipe, config: AlbertConfig) -> None:
    """Refuse rows longer than the positions."""
    for number, stage in enumerate(recipe.stages):
        if stage.tokens > config.max_position_embeddings:
            raise RecipeError(
                f"The rows of stage {number} are longer than the model's positions.",
                expected=f"stages.{number}.tokens up to {config.max_position_embeddings}",
                found=stage.tokens,
                fix="shorten the rows, or give more positions "
                f"(set model.max_position_embeddings to {stage.tokens})",
                command_fix=f"--max-positions {stage.tokens}, or shorter rows",
            )


def _size_of(shards: Shards) -> str:
    many = "" if shards.num_documents == 1 else "s"
    return f"{shards.num_tokens:,} tokens in {shards.num_documents:,} document{many}"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
