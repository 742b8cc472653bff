"""From a recipe to the objects of a run; whatever cannot work is refused here, before any step."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import torch

from albertkit import settings as recipes
from albertkit.config import AlbertConfig
from albertkit.data.loader import PretrainingLoader
from albertkit.data.shards import INDEX, TOKENIZER, TRAIN, VALIDATION, Shards
from albertkit.errors import RecipeError, ShardError, TrainingError, VocabularyError
from albertkit.model.heads import AlbertForPretraining
from albertkit.sizes import size
from albertkit.text.tokenizer import Tokenizer
from albertkit.train.baselines import Baselines, order_accuracy, unigram_entropy
from albertkit.train.loop import seed_of
from albertkit.train.optim import Adam
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.stages import Stages
from albertkit.train.validation import HeldOut

_BASELINE_PAIRS = 20_000
# Settings that a resumed run may change: they decide no weight, or (device, threads) only rounding.
# The number of validation rows is not among them: the baselines belong to those rows.
_FREE = {"output", "device", "threads", "log_every", "validate_every"}
_FREE |= {"save_every", "keep", "stop_below"}


@dataclasses.dataclass(frozen=True)
class Data:
    """A data folder: shards to train on, held-out shards, and their tokenizer."""

    train: Shards
    validation: Shards
    tokenizer: Tokenizer
    fingerprint: str  # SHA-256 over both indexes, which hold the hashes of everything else

    @classmethod
    def open(cls, folder: Path) -> Data:
        """Open what albertkit make-data wrote. Raises ShardError, VocabularyError."""
        train = Shards(folder / TRAIN)
        if not (folder / VALIDATION / INDEX).is_file():
            raise ShardError(
                "These data have no held-out documents: nothing could tell whether a run learns.",
                expected=f"a folder {VALIDATION} beside {TRAIN}",
                where=folder,
                fix="make the data again with held-out documents "
                "(albertkit make-data --validation-fraction 0.02)",
            )
        tokenizer = Tokenizer.load(folder / TOKENIZER)
        for name in (TRAIN, VALIDATION):
            Shards(folder / name, tokenizer_fingerprint=tokenizer.fingerprint)
        indexes = b"".join((folder / name / INDEX).read_bytes() for name in (TRAIN, VALIDATION))
        return cls(
            train, Shards(folder / VALIDATION), tokenizer, hashlib.sha256(indexes).hexdigest()
        )


def settle(recipe: PretrainingRecipe, data: Data) -> tuple[PretrainingRecipe, AlbertConfig]:
    """The recipe with every choice made and every config key written out, and that config."""
    config = model_config(dict(recipe.model), data.tokenizer.vocab_size)
    check_fit(recipe, config, data)
    threads = recipe.run.threads or torch.get_num_threads()
    device = recipe.run.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            "There is no CUDA device for this run.",
            expected="a GPU that torch can use",
            found=f"torch {torch.__version__} without one",
            fix="set run.device to cpu or auto, or install a torch build with CUDA",
        )
    if not recipe.stages:
        raise RecipeError("The recipe has no stage.", expected="at least one [[stages]] table")
    run = dataclasses.replace(recipe.run, threads=threads, device=device)
    name = {"size": recipe.model["size"]} if "size" in recipe.model else {}
    full = name | dataclasses.asdict(config)
    return dataclasses.replace(recipe, model=full, run=run), config


def model_config(table: dict[str, object], data_vocab_size: int) -> AlbertConfig:
    """Config of the [model] section: a named size, changed by the other keys."""
    name = table.pop("size", None)
    if name is not None and not isinstance(name, str):
        raise RecipeError("'model.size' has the wrong type.", expected="a name", found=repr(name))
    if table.get("vocab_size") == "from_data":
        table["vocab_size"] = data_vocab_size
    base = dataclasses.asdict(size(name)) if name is not None else {}
    return recipes.from_table({**base, **table}, AlbertConfig, name="model")


def check_fit(recipe: PretrainingRecipe, config: AlbertConfig, data: Data) -> None:
    """Refuse a model that the data do not belong to, and rows longer than its positions."""
    found = data.tokenizer.vocab_size
    if config.vocab_size != found:
        raise VocabularyError(
            "The data were tokenized with a vocabulary that is not the model's.",
            expected=f"{config.vocab_size:,} pieces, the model's vocab_size",
            found=f"{found:,} pieces",
            where=recipe.data.path,
            fix="--set model.vocab_size=from_data makes a model for these data",
        )
    for number, stage in enumerate(recipe.stages):
        if stage.tokens > config.max_position_embeddings:
            raise RecipeError(
                f"The rows of stage {number} are longer than the model's positions.",
                expected=f"stages.{number}.tokens up to {config.max_position_embeddings}",
                found=stage.tokens,
                fix="shorten the rows, or raise model.max_position_embeddings",
            )


def hash_of(recipe: PretrainingRecipe) -> str:
    """SHA-256 of everything in a settled recipe that decides the weights."""
    run = {k: v for k, v in recipes.to_table(recipe.run).items() if k not in _FREE}
    deciding = recipes.to_table(recipe) | {"run": run, "data": {}, "card": {}}
    return hashlib.sha256(repr(deciding).encode()).hexdigest()


def check_same(saved: dict[str, str], now: dict[str, str], folder: Path) -> None:
    """Refuse to resume a run with another recipe or with other data."""
    for what, fix in (
        (
            "recipe",
            f"take {folder / 'recipe.toml'}; only run.{', run.'.join(sorted(_FREE))} may change",
        ),
        ("data", "give data.path the data folder that the run began with"),
    ):
        if saved.get(what) != now[what]:
            raise TrainingError(
                f"This run began with another {what}; its result would be neither's.",
                expected=f"{what} {str(saved.get(what))[:16]}",
                found=f"{what} {now[what][:16]}",
                where=folder,
                fix=fix,
            )


def build(config: AlbertConfig, recipe: PretrainingRecipe) -> tuple[AlbertForPretraining, Adam]:
    """A fresh model on its device, and its optimizer; the same weights for the same seed."""
    torch.manual_seed(seed_of(recipe.run.seed, -1))
    model = AlbertForPretraining(config).to(recipe.run.device)
    return model, Adam(model.named_parameters(), recipe.optim)


def hold_out(recipe: PretrainingRecipe, stages: Stages, data: Data) -> HeldOut:
    """Held-out rows of the last stage's length, the length that the finished model is for."""
    settings = recipe.stages[-1]
    loader = PretrainingLoader(
        data.validation,
        data.validation.special_ids,
        settings.loader_settings(recipe.run.seed, sentence_order=True),
        settings.micro_batch_size or settings.batch_size,
    )
    return HeldOut.of(loader, recipe.run.validation_rows)


def measure_baselines(
    recipe: PretrainingRecipe, stages: Stages, data: Data, held_out: HeldOut
) -> Baselines:
    """Unigram entropy and bag-of-words order accuracy for the held-out rows; takes seconds."""
    counts = data.train.token_counts()
    targets = held_out.targets
    loader = stages.loader(len(recipe.stages) - 1)
    pairs = min(_BASELINE_PAIRS, loader.num_samples(0))
    batches = (loader.batch(step) for step in range(-(-pairs // loader.batch_size)))
    return Baselines(
        unigram_entropy=unigram_entropy(counts, targets),
        unigram_accuracy=float((targets == counts.argmax()).mean()),
        order_accuracy=order_accuracy(batches, held_out.batches, vocab_size=len(counts)),
    )


def describe(
    recipe: PretrainingRecipe, config: AlbertConfig, data: Data, held_out: HeldOut
) -> list[tuple[str, str]]:
    """What a run works with, every choice that was left to the program included."""
    run = recipe.run
    return [
        ("data", str(recipe.data.path)),
        ("to train on", _size_of(data.train)),
        ("held out", f"{_size_of(data.validation)}; {held_out.num_rows:,} rows used"),
        (
            "model",
            f"{config.num_hidden_layers} layers of width {config.hidden_size}, vocabulary "
            f"{config.vocab_size:,}",
        ),
        *(
            (f"stage {number}", f"{s.steps:,} steps of {s.batch_size} rows of {s.tokens} tokens")
            for number, s in enumerate(recipe.stages)
        ),
        (
            "computed by",
            f"{recipe.optim.name} on {run.device}, {run.precision}, {run.threads} threads",
        ),
    ]


def _size_of(shards: Shards) -> str:
    return f"{shards.num_tokens:,} tokens in {shards.num_documents:,} documents"
