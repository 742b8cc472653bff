"""OpenVINO's int8 models in the user's cache: kept, and made again where the cache cannot be used.

Run by the stage `engines` of run.py with its own Python; no part of the ordinary tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import albertkit
from albertkit import Checkpoint
from albertkit.data.batch import Batch
from albertkit.graph.openvino_graph import packed_model
from albertkit.infer.engines import _quantized

MODEL = Checkpoint.load(Path(albertkit.__file__).parent / "weights" / "tiny-en")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was quantized; here it stays in float32, since only the cache is looked at."""
    found: list[tuple[str, ...]] = []

    def quantize(checkpoint: Checkpoint, want: tuple[str, ...], batches: Sequence[Batch]) -> Any:
        found.append(want)
        return packed_model(checkpoint, want)

    monkeypatch.setattr(_quantized, "quantize_packed", quantize)
    return found


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_a_model_is_kept_and_made_again_where_its_file_is_damaged(
    suffix: str,
    made: list[tuple[str, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALBERTKIT_CACHE", str(tmp_path))
    for _ in range(2):
        _quantized.quantized_model(MODEL, ("pooled",), [])
    assert len(made) == 1
    [file] = tmp_path.rglob(f"*{suffix}")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    for _ in range(2):
        _quantized.quantized_model(MODEL, ("pooled",), [])
    assert len(made) == 2


def test_a_cache_that_cannot_be_written_costs_time_only(
    made: list[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ALBERTKIT_CACHE", str(tmp_path / "file"))
    model = _quantized.quantized_model(MODEL, ("pooled",), [])
    assert [output.get_any_name() for output in model.outputs] == ["pooled"]
