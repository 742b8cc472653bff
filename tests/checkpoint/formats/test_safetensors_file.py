"""Our reader and writer of safetensors agree with the library's, and refuse what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from albertkit.checkpoint.formats.safetensors_file import (
    list_tensors,
    narrow,
    read_weights,
    write_tensors,
)
from albertkit.errors import CheckpointError


def file_of(header: object, data: bytes = bytes(24), size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + data


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64", "int64", "int32"])
def test_what_the_library_writes_is_read(dtype: str, tmp_path: Path) -> None:
    kind = getattr(torch, dtype)
    values = {"a": torch.arange(6).reshape(2, 3).to(kind) / 1, "b": torch.tensor(2).to(kind)}
    values = {name: x.to(kind) for name, x in values.items()}
    save_file(values, tmp_path / "x")
    read = read_weights(tmp_path / "x")
    for name, value in values.items():
        wide = value.float() if kind.is_floating_point else value
        np.testing.assert_array_equal(read.tensors[name], wide.numpy())
        assert read.kinds[name] == (dtype, tuple(value.shape))
    assert list_tensors(tmp_path / "x") == read.kinds
    assert bool(read.problems) == (dtype == "float64")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_library_reads_what_is_written(dtype: str, tmp_path: Path) -> None:
    draws = np.random.default_rng(2).normal(size=(300, 5000)).astype("f4")
    values = {"a": draws, "turned": draws.T, "b": np.array(2.5, "f4"), "c": np.zeros((0, 3), "f4")}
    write_tensors(tmp_path / "x", values, dtype)
    found = load_file(tmp_path / "x")
    for name, value in values.items():
        expected = torch.from_numpy(np.array(value)).to(getattr(torch, dtype))
        assert torch.equal(found[name], expected), name
        assert found[name].dtype == expected.dtype


def test_numbers_are_rounded_as_torch_rounds_them() -> None:
    bits = np.random.default_rng(1).integers(0, 2**32, 200_000, dtype=np.uint64).astype(np.uint32)
    edges = np.array([0, 1, 0x7FFF, 0x8000, 0x3F808000, 0x3F818000, 0x7F7FFFFF, 0x7F800000], "u4")
    numbers = np.concatenate([bits, edges, edges | 0x80000000]).view("f4")
    numbers = numbers[~np.isnan(numbers)]
    expected = torch.from_numpy(numbers).bfloat16().view(torch.int16).numpy().view("u2")
    np.testing.assert_array_equal(narrow(numbers, "bfloat16"), expected)
    for nan in (0x7F800001, 0xFFFFFFFF, 0x7FC00000):  # stays one: rounding would make it infinite
        kept = narrow(np.array([nan], "u4").view("f4"), "bfloat16").astype("u4") << 16
        assert np.isnan(kept.view("f4")).all()


ENTRY = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        file_of({"a": ENTRY})[:-1],
        file_of({"a": ENTRY}) + b"x",
        file_of({"a": ENTRY}, size=2**63),
        file_of({"a": ENTRY}, size=2**40),
        file_of({"a": ENTRY}, size=1),
        file_of(b"[" * 5000),
        file_of(b"{" + b'"a":{' * 5000),
        file_of(b'{"a":1,"a":2}'),
        file_of(b"\xff\xfe{}"),
        file_of([1]),
        file_of({"a": 3}),
        file_of({"a": None}),
        file_of({"a": {**ENTRY, "dtype": ["F32"]}}),
        file_of({"a": {**ENTRY, "dtype": "F8_E4M3"}}),
        file_of({"a": {**ENTRY, "shape": [2, -3]}}),
        file_of({"a": {**ENTRY, "shape": [2, 4]}}),
        file_of({"a": {**ENTRY, "shape": [2.0, 3]}}),
        file_of({"a": {**ENTRY, "shape": [True, 6]}}),
        file_of({"a": {**ENTRY, "shape": [0, 2**62], "data_offsets": [0, 0]}}, b""),
        file_of({"a": {**ENTRY, "shape": [1] * 40 + [6]}}),
        file_of({"a": {**ENTRY, "shape": [10**4000, 1]}}),
        file_of({"a": {**ENTRY, "data_offsets": [4, 28]}}),
        file_of({"a": {**ENTRY, "data_offsets": [24, 0]}}),
        file_of({"a": {**ENTRY, "data_offsets": [0]}}),
        file_of({"a": ENTRY, "b": ENTRY}),
        file_of({"a": ENTRY, "b": {**ENTRY, "data_offsets": [28, 52]}}, bytes(52)),
        file_of(b'{"a":' + b"[],".join([b"["] * 1) + b"[]," * 800_000 + b"0]}"),
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_damaged_headers_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        read_weights(tmp_path / "x")
    assert len(str(caught.value)) < 1000


def test_the_header_that_they_are_made_of_is_good(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(file_of({"a": ENTRY}))
    assert read_weights(tmp_path / "x").tensors["a"].shape == (2, 3)
