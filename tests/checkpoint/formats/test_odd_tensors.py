"""Sound files whose tensors are not what their names promise: each is refused, by a clear error.

One tensor at a time has another number of axes, another size, whole numbers, or is left out. A
family looks at shapes before it knows that they are those of an ALBERT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import tiny_files

from albertkit.checkpoint.checkpoint import open_checkpoint
from albertkit.checkpoint.formats import hdf5, pdparams, torch_save
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.checkpoint.formats.safetensors_file import write_tensors
from albertkit.checkpoint.formats.tensor_bundle import read_bundle, write_bundle
from albertkit.errors import AlbertkitError

Tensors = dict[str, Array]
# The file of each family's weights, how it is read, and how it is written.
FILES: dict[str, tuple[str, Callable[[Path], Tensors], Callable[[Path, Mapping[str, Array]], None]]]


def odd(tensor: Array) -> Iterator[tuple[str, Array | None]]:
    """What may stand in a tensor's place."""
    yield "left out", None
    yield "a number", np.array(2.5, np.float32)
    yield "one axis", np.ascontiguousarray(tensor.reshape(-1)) if tensor.ndim > 1 else None
    yield "an axis more", tensor[None]
    yield "five axes", tensor.reshape(*tensor.shape, *[1] * (5 - tensor.ndim))
    yield "one more", np.concatenate([tensor, tensor[:1]])
    yield "one less", tensor[:-1] if len(tensor) > 2 else None
    yield "nothing of it", tensor[:0]


def of_torch(path: Path) -> Tensors:
    return dict(torch_save.read_weights(path).tensors)


def of_paddle(path: Path) -> Tensors:
    return dict(pdparams.read_weights(path).tensors)


def of_bundle(path: Path) -> Tensors:
    bundle = read_bundle(path.with_suffix(""))
    return {name: bundle.raw(name) for name in bundle.entries}


def of_keras(path: Path) -> Tensors:
    return {name: found.array for name, found in hdf5.read(path).items()}


FILES = {
    "huggingface": (
        "model.safetensors",
        lambda path: tiny_files.named_tensors("huggingface"),
        write_tensors,
    ),
    "uer": ("model.bin", of_torch, torch_save.write_weights),
    "paddlenlp": ("model_state.pdparams", of_paddle, pdparams.write_weights),
    "google_tf": (
        "model.ckpt-best.index",
        of_bundle,
        lambda path, tensors: write_bundle(path.with_suffix(""), tensors),
    ),
    "brightmart_tf": (
        "albert_model.ckpt.index",
        of_bundle,
        lambda path, tensors: write_bundle(path.with_suffix(""), tensors),
    ),
    "keras_hub": (
        "model.weights.h5",
        of_keras,
        lambda path, tensors: hdf5.write(path, tensors, "float32"),
    ),
}
# What a file may lack: heads, as a whole or their unused copies.
MAY_LACK = ("predictions", "sop_classifier", "pooler", "target.", "seq_relationship")


@pytest.mark.parametrize("family", FILES)
def test_a_tensor_that_is_not_what_its_name_promises_is_refused(
    family: str, tmp_path: Path
) -> None:
    file, read, write = FILES[family]
    place = tiny_files.put(tiny_files.folder_of(family), tmp_path / "x")
    before = {name: np.array(tensor) for name, tensor in read(place / file).items()}
    write(place / file, before)
    open_checkpoint(place)  # the undamaged twin, written by the same hand
    passed, count = [], 0
    for name, tensor in before.items():
        for what, value in odd(tensor):
            changed = {n: x for n, x in before.items() if n != name}
            if value is not None:
                changed[name] = value
            elif what != "left out":
                continue
            count += 1
            found = outcome(place, lambda changed=changed: write(place / file, changed))
            if found not in ("refused", "not written"):
                passed.append((name, what))
    assert count > 150
    wrong = [(name, what) for name, what in passed if not may_be(name, what)]
    assert not wrong, wrong


def may_be(name: str, what: str) -> bool:
    """Whether a file may be like that."""
    if "position_ids" in name:  # 0, 1, 2, ... in any shape
        return what not in ("a number", "one more")
    if name == "embedding.seg.embedding.weight":  # its rows tell the number of segments
        return what in ("one more", "one less")
    return what == "left out" and any(part in name for part in MAY_LACK)


def outcome(place: Path, write: Callable[[], None]) -> str:
    """Whether a folder opens after this; any other error fails the test."""
    try:
        write()
    except (ValueError, TypeError):  # HDF5 cannot hold it
        return "not written"
    try:
        open_checkpoint(place)
    except AlbertkitError as error:
        return "refused" if "\n" in str(error) else "refused without facts"
    return "opened"


def test_positions_are_passed_over_only_if_they_count_up(tmp_path: Path) -> None:
    file, read, write = FILES["huggingface"]
    place = tiny_files.put(tiny_files.folder_of("huggingface"), tmp_path / "x")
    for values, expected in [
        (np.arange(6)[None], "opened"),
        (np.arange(512) // 2 * 2, "refused"),
        (np.arange(1, 7), "refused"),
        (np.array([0, np.nan, 2]), "refused"),
        (np.zeros(6), "refused"),
    ]:
        positions = {"albert.embeddings.position_ids": values.astype(np.float32)}
        tensors = {**read(place / file), **positions}
        found = outcome(place, lambda tensors=tensors: write(place / file, tensors))
        assert found == expected, values
