"""The public functions about checkpoints, by the names that users type."""

from __future__ import annotations

from pathlib import Path

import albertkit
from albertkit.model.heads import AlbertForPretraining


def test_a_model_is_loaded_and_converted_by_public_names(tiny_model: Path, tmp_path: Path) -> None:
    model = albertkit.load_model(tiny_model / "model")
    assert isinstance(model, AlbertForPretraining)
    assert not model.training
    done = albertkit.convert(tiny_model / "model", tmp_path / "tf", to="google_tf")
    assert len(done.kept) == len(albertkit.Checkpoint.load(tmp_path / "tf").tensors)
