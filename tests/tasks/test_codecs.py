"""Examples of every task become rows in batches: the rows of each text encoded by itself."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albertkit.tasks.codecs import CODECS
from albertkit.tasks.examples import ChoiceExample, SpanExample, TagExample, TextExample
from albertkit.tasks.rows import Rows
from albertkit.text.encoding import Encoding
from albertkit.text.tokenizer import Tokenizer
from albertkit.train import finetune_data

SHORT, LONG = "A caf\u00e9\u2026 costs 10,", "the  cat, 2009, sat \u4e2d\u56fd on `a'' mat. " * 9
EXAMPLES: dict[str, list[Any]] = {
    "classify": [TextExample("1", SHORT), TextExample("2", LONG, SHORT), TextExample("3", LONG)],
    "tag": [
        TagExample("1", tuple(text.split()), ("O",) * len(text.split())) for text in (SHORT, LONG)
    ],
    "span": [
        SpanExample("1", LONG, SHORT, ((9, "2009"),)),
        SpanExample("2", SHORT, LONG),
        SpanExample("3", LONG, "cat?", ((5, "cat"),)),
    ],
    "choose": [ChoiceExample("1", LONG, "why _ ?", (SHORT, "a", "b"), 1)],
}


@pytest.mark.parametrize("task", EXAMPLES)
def test_rows_of_a_batch_are_those_of_each_text_by_itself(
    task: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = Tokenizer.load(tiny_model / "model")
    encode = type(tokenizer).encode

    def refused(*args: Any, **options: Any) -> Encoding:
        raise AssertionError("a text is encoded by itself")

    monkeypatch.setattr(Tokenizer, "encode", refused)
    rows = CODECS[task].encode(tokenizer, EXAMPLES[task], 24)

    def one_by_one(self: Tokenizer, texts: Any, **options: Any) -> list[Encoding]:
        return [encode(self, *((x,) if isinstance(x, str) else x), **options) for x in texts]

    monkeypatch.setattr(Tokenizer, "encode_batch", one_by_one)
    expected = CODECS[task].encode(tokenizer, EXAMPLES[task], 24)
    assert len(rows.batch) > len(EXAMPLES[task])  # long ones are read in windows
    are_equal(rows, expected)


@pytest.mark.parametrize("task", EXAMPLES)
def test_many_examples_are_encoded_in_parts(
    task: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = Tokenizer.load(tiny_model / "model")
    examples = EXAMPLES[task] * 2
    whole = CODECS[task].encode(tokenizer, examples, 24)
    monkeypatch.setattr(finetune_data, "_PART", 1)
    rows = finetune_data.encoded(task, tokenizer, examples, 24)
    assert type(rows) is type(whole)
    are_equal(rows, replace(whole, unknown=rows.unknown))  # of parts, the mean of their shares


def are_equal(rows: Rows, expected: Rows) -> None:
    for name in [field.name for field in fields(rows) if field.name != "batch"]:
        assert np.array_equal(getattr(rows, name), getattr(expected, name)), name
    for name in ("ids", "segment_ids", "lengths"):
        assert np.array_equal(getattr(rows.batch, name), getattr(expected.batch, name)), name
