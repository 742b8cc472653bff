"""The table of kinds of head, and that nobody keeps a second one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from albertkit.checkpoint.families._head_configs import ARCHITECTURES
from albertkit.tasks.kinds import KINDS, PARTS, kinds_where

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "albertkit"


def test_the_parts_are_those_of_the_tensors():
    assert PARTS == ("classifier", "span", "beam_span")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"task": "classify"}, ("classification", "multi_label", "regression")),
        ({"part": "classifier", "reads": "tokens"}, ("token_classification",)),
        (
            {"part": "classifier", "reads": "pooled", "count": 1},
            ("regression", "multiple_choice"),
        ),
        (
            {"part": "classifier", "reads": "pooled", "count": 3},
            ("classification", "multi_label"),
        ),
        ({"part": "span", "count": 3}, ()),
    ],
)
def test_kinds_are_found_by_what_is_known_of_a_head(asked, found):
    assert kinds_where(**asked) == found


def test_the_endings_of_class_names_are_those_of_the_table():
    for ending, kind in ARCHITECTURES.items():
        assert KINDS[kind].transformers == f"Albert{ending}"


def test_nobody_lists_the_kinds_again():
    """Four kinds or more by name in one file: a second table."""
    names = re.compile(rf'"({"|".join(KINDS)})"')
    again = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if path.name not in ("kinds.py", "_head_configs.py")
        and "onnx" not in path.parts
        and len(set(names.findall(path.read_text(encoding="utf-8"))) - {"span", "beam_span"}) > 3
    ]
    assert again == []
