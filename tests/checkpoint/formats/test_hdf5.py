"""Our reader of Keras' HDF5 files, held against h5py; and what it refuses."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from damage import damaged, open_each

from albertkit.checkpoint.formats import hdf5
from albertkit.errors import CheckpointError, OutputError

TESTS = Path(__file__).resolve().parents[2]
HERE = sorted((TESTS / "golden" / "keras_hub").rglob("*.h5"))
SHARED = sorted((TESTS.parents[1] / "shared" / "golden" / "keras_hub").rglob("*.h5"))
SMALL = TESTS / "golden" / "keras_hub" / "g1_i2" / "masked_lm_preset" / "task.weights.h5"


def by_h5py(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, x: found.__setitem__(name, x[()]) if isinstance(x, h5py.Dataset) else None
        )
    return found


def check_same(path: Path) -> dict[str, np.ndarray]:
    expected, found = by_h5py(path), hdf5.read(path)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == str(tensor.dtype)
        assert np.array_equal(found[name].array, tensor)
    return expected


@pytest.mark.parametrize("path", HERE, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_kerass_files_are_read_as_h5py_reads_them(path: Path) -> None:
    assert hdf5.is_hdf5(path)
    assert check_same(path)
    assert not next(iter(hdf5.read(path).values())).array.flags.writeable


@pytest.mark.shared
def test_all_kerass_files_are_read_as_h5py_reads_them() -> None:
    assert len(SHARED) >= 24
    for path in SHARED:
        check_same(path)


def test_large_groups_and_every_kind_of_number(tmp_path: Path) -> None:
    kinds = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for number in range(700):  # several levels of a B-tree
            shape = ((), (3,), (2, 3), (1, 2, 3))[number % 4]
            kind = kinds[number % len(kinds)]
            file[f"some/group/{number}"] = np.full(shape, number % 100).astype(kind)
            file[f"some/group/{number}"].attrs["note"] = "x" * (number % 60)
    assert len(check_same(tmp_path / "x.h5")) == 700


def test_small_arrays_may_lie_in_their_header(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        kind = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        kind.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((5,))
        new = h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, dcpl=kind)
        new.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(5, dtype=np.float32))
    assert np.array_equal(hdf5.read(tmp_path / "x.h5")["x"].array, np.arange(5))


def chunked(file: h5py.File) -> None:
    file.create_dataset("x", data=np.ones((10, 10), np.float32), chunks=(5, 5))


def packed(file: h5py.File) -> None:
    file.create_dataset("x", data=np.ones((10, 10), np.float32), compression="gzip")


def linked(file: h5py.File) -> None:
    file["x"] = np.ones(3, np.float32)
    file["y"] = h5py.SoftLink("/x")


def linked_hard(file: h5py.File) -> None:
    file["x"] = np.ones(3, np.float32)
    file["y"] = file["x"]


def linked_outside(file: h5py.File) -> None:
    file["x"] = h5py.ExternalLink("/etc/passwd", "/")


def stored_outside(file: h5py.File) -> None:
    file.create_dataset("x", shape=(3,), dtype="f4", external="/etc/passwd")


def round_about(file: h5py.File) -> None:
    file.create_group("a")["b"] = file["/"]


def big_endian(file: h5py.File) -> None:
    file["x"] = np.ones(3, ">f4")


def words(file: h5py.File) -> None:
    file["x"] = ["a", "b"]


def records(file: h5py.File) -> None:
    file["x"] = np.ones(3, np.dtype([("a", "f4"), ("b", "f4")]))


def nothing(file: h5py.File) -> None:
    file["x"] = np.ones((0, 3), np.float32)


def never_written(file: h5py.File) -> None:
    file.create_dataset("x", shape=(3,), dtype="f4")


def deep(file: h5py.File) -> None:
    file.create_group("/".join(["group"] * 60))["x"] = np.ones(3, np.float32)


@pytest.mark.parametrize(
    "make",
    [
        chunked,
        packed,
        linked,
        linked_hard,
        linked_outside,
        stored_outside,
        round_about,
        big_endian,
        words,
        records,
        nothing,
        never_written,
        deep,
    ],
)
def test_what_keras_does_not_write_is_refused(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        make(file)
    with pytest.raises(CheckpointError, match="HDF5"):
        hdf5.read(tmp_path / "x.h5")


def test_newer_layouts_are_refused_by_name(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w", libver="latest") as file:
        file["x"] = np.ones(3, np.float32)
    with pytest.raises(CheckpointError, match="superblock 3"):
        hdf5.read(tmp_path / "x.h5")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"PK\x03\x04" + bytes(100))
    assert not hdf5.is_hdf5(tmp_path / "x.h5")
    assert not hdf5.is_hdf5(tmp_path)
    with pytest.raises(CheckpointError, match="signature"):
        hdf5.read(tmp_path / "x.h5")


def test_views_are_written_in_pieces(tmp_path: Path) -> None:
    wide = np.random.default_rng(1).normal(size=(1500, 1400)).astype(np.float32)  # 8 MB
    tensors = {"a/b/turned": wide.T, "a/b/heads": wide.T.reshape(1400, 15, 100), "c": wide[0]}
    hdf5.write(tmp_path / "x.h5", tensors, "float32")
    found = check_same(tmp_path / "x.h5")
    for name, tensor in tensors.items():
        assert np.array_equal(found[name], tensor)


def test_bfloat16_is_kept_as_keras_keeps_it(tmp_path: Path) -> None:
    hdf5.write(tmp_path / "x.h5", {"x": np.array([1.0, -2.5, 3.140625], np.float32)}, "bfloat16")
    found = hdf5.read(tmp_path / "x.h5")["x"]
    assert found.dtype == "bfloat16"
    assert found.array.tolist() == [0x3F80, 0xC020, 0x4049]  # by hand: upper halves
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["x"].attrs["dtype"] == "bfloat16"
        assert file["x"].dtype == np.dtype("V2")


def test_a_place_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        hdf5.write(tmp_path / "no" / "x.h5", {"x": np.ones(3, np.float32)}, "float32")


def structures(data: bytes, seed: int) -> list[tuple[str, bytes]]:
    """Copies whose addresses, sizes and counts became others of the file, or huge."""
    draw = random.Random(seed)
    spots = [place for place in range(len(data)) if data[place]]
    cases = []
    for number in range(600):
        copy = bytearray(data)
        for _ in range(draw.choice([1, 1, 2, 8])):
            place = draw.choice(spots) & ~7
            value = draw.choice([0, 1, 2**63, 2**64 - 1, len(data), draw.choice(spots) & ~7])
            width = draw.choice([1, 2, 4, 8])
            copy[place : place + width] = (value % 256**width).to_bytes(width, "little")
        cases.append((f"values {number}", bytes(copy)))
    return cases


def test_damaged_files_are_refused_or_read(tmp_path: Path) -> None:
    data = SMALL.read_bytes()
    cases = {**dict(damaged(data, "hdf5")), **dict(structures(data, 3))}
    place = tmp_path / "x.h5"

    def open_it() -> str:
        sizes = [found.array.tobytes() for found in hdf5.read(place).values()]
        return f"opened {len(sizes) > 0}"

    outcomes = open_each(iter(cases.items()), place, open_it)
    counts = Counter(outcomes.values())
    assert set(counts) <= {"refused", "opened True", "opened False"}, counts
    assert all(o == "refused" for name, o in outcomes.items() if name.startswith("cut"))
    assert counts["refused"] > 400
    assert counts["opened True"] > 300
