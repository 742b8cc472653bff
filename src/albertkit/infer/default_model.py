"""Which model answers when none is named: the one of this package for the script of the text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from albertkit.errors import PredictionError
from albertkit.hub import shipped
from albertkit.hub.by_script import CHINESE, ENGLISH, model_for
from albertkit.infer.texts import shown
from albertkit.text.tokenizer import MASK


def choose_model(texts: Sequence[str], before: str | None = None) -> str:
    """Name of the shipped model for texts with Chinese characters, or without.

    A text without a letter ("2009") goes with either. before: what earlier texts chose.

    Raises:
        PredictionError: texts of both kinds.
    """
    chosen, example = before, ""
    for number, text in enumerate(texts):
        wanted = model_for(text.replace(MASK, ""))
        if wanted is None or wanted == chosen:
            continue
        if chosen is not None:
            raise PredictionError(
                "Texts with and without Chinese characters come together, and no model is named.",
                expected=f"{ENGLISH} for English texts or {CHINESE} for Chinese ones, not both",
                found=f"{shown(text, number, texts)} after " + (example or f"texts for {chosen}"),
                fix=f'name the model, as in Predictor("{CHINESE}"), or take a predictor for each',
                command_fix=f"add --model {ENGLISH} or --model {CHINESE}, or ask twice",
            )
        chosen, example = wanted, shown(text, number, texts)
    return chosen or ENGLISH


def folder_of(name: str) -> Path:
    """Folder of a chosen model; one line on standard error says which it is and why."""
    print(f"model: {name}, chosen by the script of the first text", file=sys.stderr, flush=True)
    return shipped(name)
