"""The model card of a pretraining run: its recipe, data and held-out figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albertkit import settings as recipes
from albertkit.config import AlbertConfig
from albertkit.data.shards import Shards
from albertkit.settings import setting
from albertkit.train.baselines import Baselines
from albertkit.train.metrics import read_metrics
from albertkit.train.model_card import NOT_STATED, CardFacts, model_card
from albertkit.train.validation import wilson_interval

if TYPE_CHECKING:
    from albertkit.train.prepare import Data
    from albertkit.train.recipe import PretrainingRecipe


@dataclass(frozen=True, kw_only=True)
class CardSettings:
    """What only a person knows about a model; it stands in the model card."""

    name: str = setting("", "name of the model; the folder of the run if empty")
    language: str = setting("", "en, zh, ...; what was found in the text if empty")
    license: str = setting(NOT_STATED, "licence of the weights, as an SPDX name")
    data: str = setting(NOT_STATED, "where the text is from")
    data_license: str = setting(NOT_STATED, "licences of the text")


def run_card(
    recipe: PretrainingRecipe, config: AlbertConfig, data: Data, baselines: Baselines
) -> str:
    """Card of the model in RUN/model as of the last line of RUN/metrics.jsonl.

    Folders stand in it with their last names only: a card is published.
    """
    settings, folder = recipe.card, recipe.run.output
    train, held_out = data.train, data.validation
    path = folder / "metrics.jsonl"
    lines = read_metrics(path) if path.is_file() else []
    curve = [line for line in lines if line["event"] == "validation"]
    return model_card(
        CardFacts(
            name=settings.name or folder.name,
            config=config,
            language=settings.language or _language_of(train.index),
            license=settings.license,
            data=[
                ("source", settings.data),
                ("trained on", _size_of(train)),
                ("held out", _size_of(held_out)),
                ("words told by", str(train.index["segmenter"]["name"])),
                ("SHA-256 of the tokens", train.index["files"]["tokens.bin"]["sha256"]),
            ],
            data_license=settings.data_license,
            recipe=recipes.to_toml(_without_folders(recipe)),
            figures=figures(curve[-1], baselines) if curve else [],
            curve=curve,
        )
    )


def figures(last: Mapping[str, Any], baselines: Baselines) -> list[tuple[str, str, str]]:
    """Held-out figures with their 95 % intervals, and the line that each has to beat."""
    return [
        (
            "masked-LM loss",
            f"{last['mlm_loss']:.3f} nats",
            f"{baselines.unigram_entropy:.3f} nats, unigram entropy",
        ),
        (
            "masked-LM accuracy",
            _share(last["mlm_accuracy"], last["mlm_count"]),
            f"{baselines.unigram_accuracy:.1%}, most frequent token",
        ),
        (
            "sentence-order accuracy",
            _share(last["sop_accuracy"], last["sop_count"]),
            f"{baselines.order_accuracy:.1%}, bag of words",
        ),
    ]


def _share(share: float, count: int) -> str:
    low, high = wilson_interval(share * count, count)
    return f"{share:.1%} ({low:.1%} to {high:.1%}; {count:,} cases)"


def _language_of(index: Mapping[str, Any]) -> str:
    """The language of most files, as the reader of the text saw it."""
    languages = index.get("corpus", {}).get("languages", {})
    return max(languages, key=languages.__getitem__) if languages else NOT_STATED


def _size_of(shards: Shards) -> str:
    return f"{shards.num_tokens:,} tokens in {shards.num_documents:,} documents"


def _without_folders(recipe: PretrainingRecipe) -> PretrainingRecipe:
    return replace(
        recipe,
        data=replace(recipe.data, path=Path(recipe.data.path.name)),
        run=replace(recipe.run, output=Path(recipe.run.output.name)),
    )
