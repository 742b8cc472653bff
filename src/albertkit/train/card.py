"""The model card of a pretraining run: its recipe, data and held-out figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from albertkit import settings as recipes
from albertkit.config import AlbertConfig
from albertkit.data.folder import DataFolder
from albertkit.data.shards import Shards
from albertkit.train.baselines import Baselines
from albertkit.train.figures import Figure, figures
from albertkit.train.metrics import read_metrics
from albertkit.train.model_card import NOT_STATED, CardFacts, model_card
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.start import Origin

HEADS = "masked-LM and sentence-order head"
MLM_HEAD = "masked-LM head and a sentence-order head that was not trained"


def run_card(
    recipe: PretrainingRecipe,
    config: AlbertConfig,
    data: DataFolder,
    baselines: Baselines,
    origin: Origin | None = None,
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
                *_about(origin),
                ("source", settings.data),
                ("trained on", _size_of(train)),
                ("held out", _size_of(held_out)),
                ("words found by", str(train.index["segmenter"]["name"])),
                ("SHA-256 of the tokens", train.index["files"]["tokens.bin"]["sha256"]),
            ],
            data_license=settings.data_license,
            recipe=recipes.to_toml(_without_folders(recipe)),
            figures=[_row(figure) for figure in figures(curve[-1], baselines)] if curve else [],
            curve=curve,
            heads=_heads(recipe, origin),
        )
    )


def _heads(recipe: PretrainingRecipe, origin: Origin | None) -> str:
    if recipe.run.sentence_order != "off":
        return HEADS
    if origin is None:
        return MLM_HEAD
    if origin.sentence_order:
        return "masked-LM head and a sentence-order head that this run did not train"
    return "masked-LM head"


def _about(origin: Origin | None) -> list[tuple[str, str]]:
    """What the model went on from: whose licence and text count too."""
    if origin is None:
        return []
    published = replace(origin, name=_published(origin.name))
    return [("goes on from", published.describe()), ("licence of that model", origin.license)]


def _published(name: str) -> str:
    """A name as it is; of a path its last part."""
    return Path(name).name if Path(name).is_absolute() else name


def _row(figure: Figure) -> tuple[str, str, str]:
    value = f"{figure.text} nats"
    baseline = f"{figure.baseline_text} nats"
    if figure.is_share:
        value = f"{figure.text} ({figure.interval}; {figure.count:,} cases)"
        baseline = figure.baseline_text
    return figure.title, value, f"{baseline}, {figure.baseline_name}"


def _language_of(index: Mapping[str, Any]) -> str:
    """The language of most files, as the reader of the text saw it."""
    languages = index.get("corpus", {}).get("languages", {})
    return max(languages, key=languages.__getitem__) if languages else NOT_STATED


def _size_of(shards: Shards) -> str:
    return f"{shards.num_tokens:,} tokens in {shards.num_documents:,} documents"


def _without_folders(recipe: PretrainingRecipe) -> PretrainingRecipe:
    return replace(
        recipe,
        data=replace(
            recipe.data,
            path=Path(recipe.data.path.name),
            replay=None if recipe.data.replay is None else Path(recipe.data.replay.name),
        ),
        start=replace(recipe.start, checkpoint=_published(recipe.start.checkpoint)),
        run=replace(recipe.run, output=Path(recipe.run.output.name)),
    )
