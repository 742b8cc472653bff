"""The table of guesses: long sentences are shortened between words."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from albertkit.cli.guesses import show_masks
from albertkit.infer.predictor import Predictor


class Fillings:
    """A predictor with one guess for everything."""

    def fill_mask(self, texts: list[str], top_k: int) -> list[list[Any]]:
        return [[SimpleNamespace(tokens=["▁x"])] for _ in texts]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("assignments " * 9 + "[MASK]" + " literals" * 9, "… assignments"),
        ("字" * 90 + "[MASK]" + "字" * 90, "… 字"),
        ("short [MASK] text", "short"),
    ],
)
def test_no_word_is_cut(text: str, shown: str) -> None:
    said = io.StringIO()
    console = Console(file=said, width=400)
    show_masks(console, "text", [(text, "x")], cast(Predictor, Fillings()))
    [line] = [line for line in said.getvalue().splitlines() if "[MASK]" in line]
    assert line.strip().startswith(shown)
    words = set(line.split()) - {"x", "…"}
    assert words <= {*text.split(), text.split()[-1]} or "字" in text
