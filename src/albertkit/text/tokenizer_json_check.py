"""What a tokenizer.json must be before the library that runs it may see it.

That library (`tokenizers`, in Rust) answers most damage with an error, but ends the process where
it cannot have the memory that a file asks for: as many ids as the largest number in a vocabulary,
as many units as a table of replacements claims to have, and a text that grows with each step.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from albertkit.text.sentencepiece_check import check_table
from albertkit.text.vocabulary_files import MAX_PIECES

# Kinds of models by the way they mark words: a space mark in front, or ## inside.
KINDS = {"Unigram": "sentencepiece", "BPE": "sentencepiece", "WordPiece": "wordpiece"}
_MAX_GROWTH = 4096  # characters that all steps of a normalizer together make of one; mostly 1
_TABLE = "precompiled_charsmap"


def read_tokenizer_json(content: bytes) -> dict[str, Any]:
    """The JSON object of a tokenizer with a model that we know, safe to be run.

    Raises:
        ValueError: with what is wrong; RecursionError for values nested too deep.
    """
    values = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_checked)
    if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
        raise ValueError("JSON without a model")
    kind = values["model"].get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"a model of type {kind!r}")
    vocab = values["model"].get("vocab")
    ids = vocab.values() if isinstance(vocab, dict) else ()  # of Unigram it is a list
    largest = max((each for each in ids if isinstance(each, int)), default=0)
    if largest >= MAX_PIECES:
        raise ValueError(f"ids up to {largest}")
    growth = _growth(values.get("normalizer"))
    if growth > _MAX_GROWTH:
        raise ValueError(f"a normalizer that makes up to {growth:,} characters of one")
    return values


def _checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of the file; its table of replacements, if it has one, was walked."""
    for name, value in pairs:
        if name == _TABLE and isinstance(value, str):
            check_table(base64.b64decode(value, validate=True))
    return dict(pairs)


def _growth(step: Any) -> int:
    """How many characters the replacements of a normalizer make of one, at most."""
    if isinstance(step, list):
        growth = 1
        for each in step:
            growth = min(growth * _growth(each), 1 << 40)  # stays a number that can be printed
        return growth
    if not isinstance(step, dict):
        return 1
    added = [step.get(name) for name in ("content", "prepend")]
    own = max((len(text) for text in added if isinstance(text, str)), default=1)
    return max(own, 1) * _growth(step.get("normalizers"))
