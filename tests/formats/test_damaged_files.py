"""Damaged files of every format: a clear error, or numbers that differ just where the damage is.

A new format is one line in FORMATS.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from damage import damaged, open_each

from albertkit import families
from albertkit.convert import convert

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@dataclass(frozen=True)
class Format:
    """A file to damage: how to make its folder, its name, and whether checksums cover numbers."""

    make: Callable[[Path, Path], Path]  # (tiny model, free folder) -> what families.open gets
    file: str
    checked: bool


def written(family: str, source: str = "model", allow_loss: bool = False, dtype: str = "float32"):  # type: ignore[no-untyped-def]
    """A folder that we write ourselves."""

    def make(tiny_model: Path, folder: Path) -> Path:
        convert(tiny_model / source, folder, family, allow_loss=allow_loss, dtype=dtype)
        return folder

    return make


def kept(place: str):  # type: ignore[no-untyped-def]
    """A folder of the reference data, made by the original program."""

    def make(tiny_model: Path, folder: Path) -> Path:
        shutil.copytree(GOLDEN / place, folder)
        return folder

    return make


FORMATS = {
    "safetensors": Format(written("huggingface"), "model.safetensors", checked=False),
    "tensor bundle, index": Format(written("google_tf"), "model.ckpt-best.index", checked=True),
    "tensor bundle, data": Format(
        written("google_tf"), "model.ckpt-best.data-00000-of-00001", checked=True
    ),
}


def differing(before: families.Opened, after: families.Opened) -> int:
    """How many numbers are not the same bit by bit; all of them if names or shapes differ."""
    old, new = before.checkpoint.tensors, after.checkpoint.tensors
    if old.keys() != new.keys() or any(old[name].shape != new[name].shape for name in old):
        return sum(x.size for x in old.values())
    pairs = [(old[name], new[name]) for name in old]
    return sum(
        int((np.ascontiguousarray(a).view("u4") != np.ascontiguousarray(b).view("u4")).sum())
        for a, b in pairs
    )


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_refused_or_differs_where_it_is_damaged(
    name: str, tiny_model: Path, tmp_path: Path
) -> None:
    kind = FORMATS[name]
    place = kind.make(tiny_model, tmp_path / "good")
    file = place / kind.file
    whole = file.read_bytes()
    twin = families.open(place)  # the undamaged twin opens
    good = shutil.copytree(place, tmp_path / "kept")
    twin = families.open(good)

    def open_it() -> str:
        return f"opened, {differing(twin, families.open(place))} differ"

    outcomes = open_each(damaged(whole, name), file, open_it)
    counts = Counter(outcomes.values())
    bad = {
        case: outcome
        for case, outcome in outcomes.items()
        if outcome != "refused" and not outcome.startswith("opened")
    }
    assert not bad, bad
    flips = {case: outcome for case, outcome in outcomes.items() if case.startswith("bit ")}
    opened = {case: o for case, o in flips.items() if o.startswith("opened")}
    wide = {
        case: o for case, o in opened.items() if o not in ("opened, 0 differ", "opened, 1 differ")
    }
    assert not wide, wide
    if kind.checked:
        assert all(o == "opened, 0 differ" for o in opened.values()), opened
    cuts = {case: o for case, o in outcomes.items() if case.startswith("cut")}
    assert set(cuts.values()) == {"refused"}, cuts
    assert counts["refused"] > len(cuts)


@pytest.mark.parametrize("name", [name for name in FORMATS if not FORMATS[name].checked])
def test_a_flip_in_the_numbers_loads_and_differs_exactly_there(
    name: str, tiny_model: Path, tmp_path: Path
) -> None:
    kind = FORMATS[name]
    place = kind.make(tiny_model, tmp_path / "good")
    twin = families.open(shutil.copytree(place, tmp_path / "kept"))
    file = place / kind.file
    data = bytearray(file.read_bytes())
    table = twin.checkpoint.tensors["albert.embeddings.word.weight"]
    start = data.find(np.ascontiguousarray(table).tobytes())
    assert start > 0
    row, column = 7, 3
    data[start + 4 * (row * table.shape[1] + column)] ^= 1
    file.write_bytes(bytes(data))
    changed = families.open(place)
    assert differing(twin, changed) == 1
    after = changed.checkpoint.tensors["albert.embeddings.word.weight"]
    assert after[row, column] != table[row, column]
