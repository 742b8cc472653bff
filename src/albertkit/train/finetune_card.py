"""The model card of a fine-tuned model: its examples, recipe and held-out figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from albertkit import settings as recipes
from albertkit.tasks.figures import TITLES, shown_figures
from albertkit.tasks.head import TaskHead
from albertkit.train.finetune_data import about_labels
from albertkit.train.finetune_health import Baseline
from albertkit.train.finetune_prepare import PreparedTask
from albertkit.train.model_card import NOT_STATED, CardFacts, model_card
from albertkit.train.validation import wilson_interval


def task_card(prepared: PreparedTask, best: Mapping[str, Any], baseline: Baseline) -> str:
    """Card of the model in RUN/model with the figures of its validation, if there was one.

    Folders stand in it with their last names only: a card is published.
    """
    recipe, examples = prepared.published_recipe(), prepared.examples
    settings, origin = recipe.card, prepared.origin
    name = recipe.model.checkpoint
    return model_card(
        CardFacts(
            name=settings.name or prepared.recipe.run.output.name,
            config=prepared.config,
            language=settings.language or NOT_STATED,
            license=settings.license,
            data=[
                ("fine-tuned from", origin.describe().replace(origin.name, name)),
                ("licence of that model", origin.license),
                ("source", settings.data),
                ("trained on", about_labels(examples.train, examples.kind)),
                ("held out", about_labels(examples.dev, examples.kind)),
                ("SHA-256 of the examples", examples.fingerprint),
            ],
            data_license=settings.data_license,
            recipe=recipes.to_toml(recipe),
            figures=_figures(best, baseline, prepared.head),
            head=prepared.head,
        )
    )


def _figures(
    best: Mapping[str, Any], baseline: Baseline, head: TaskHead
) -> list[tuple[str, str, str]]:
    if not best:
        return []
    rows = [("loss", f"{best['loss']:.3f}", f"{baseline.loss:.3f}, the best constant answer")]
    for name in shown_figures(head, best):
        value = f"{best[name]:.3f}"
        if name == "accuracy":
            low, high = wilson_interval(best[name] * best["count"], best["count"])
            value = f"{best[name]:.1%} ({low:.1%} to {high:.1%}; {best['count']:,} cases)"
        line = f"{baseline.metric:.3f}, a constant answer" if name == best["metric"] else ""
        rows.append((TITLES[name], value, line))
    return rows
