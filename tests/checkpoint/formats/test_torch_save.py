"""torch's files are read as torch reads them, and torch reads ours; odd archives are refused."""

from __future__ import annotations

import io
import mmap
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile_pickles import archive, entry, stream, tensor
from hostile_pickles import storage as storage_id

from albertkit.checkpoint.formats import pdparams, torch_save
from albertkit.checkpoint.formats.stored_zip import read_entries
from albertkit.errors import CheckpointError

DTYPES = ["float32", "float16", "bfloat16"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.bin"


def some(dtype: torch.dtype = torch.float32) -> OrderedDict[str, torch.Tensor]:
    made = torch.Generator().manual_seed(3)
    return OrderedDict(
        matrix=torch.randn(5, 7, generator=made).to(dtype),
        vector=torch.randn(3, generator=made).to(dtype),
        number=torch.tensor(2.5, dtype=dtype),
        empty=torch.zeros(0, 4, dtype=dtype),
    )


def same(found: dict[str, np.ndarray], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        value = value.detach().float() if value.dtype.is_floating_point else value
        np.testing.assert_array_equal(found[name], value.numpy(), name)
        assert found[name].shape == tuple(value.shape)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "bfloat16", "float64", "int64", "int32", "uint8", "bool"]
)
def test_every_kind_of_number_is_read(dtype: str, zipped: bool, file: Path) -> None:
    values = some(getattr(torch, dtype))
    torch.save(values, file, _use_new_zipfile_serialization=zipped)
    read = torch_save.read_weights(file)
    same(read.tensors, values)
    assert {kind for kind, _ in read.kinds.values()} == {dtype}
    assert torch_save.list_tensors(file) == read.kinds
    assert bool(read.problems) == (dtype == "float64")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_views_of_a_storage_are_read(dtype: torch.dtype, zipped: bool, file: Path) -> None:
    whole = some(dtype)["matrix"]
    values = {
        "turned": whole.T,
        "row": whole[2],
        "column": whole[:, 3],
        "inside": whole[1:4, 2:6],
        "again": whole,
        "parameter": torch.nn.Parameter(whole[0], requires_grad=True),
    }
    torch.save(values, file, _use_new_zipfile_serialization=zipped)
    same(torch_save.read_weights(file).tensors, values)


def test_a_module_saves_what_is_read(file: Path) -> None:
    module = torch.nn.Linear(3, 2)
    torch.save(module.state_dict(), file)  # with attributes: _metadata
    same(torch_save.read_weights(file).tensors, module.state_dict())


def test_float32_tensors_are_views_of_the_file(file: Path) -> None:
    torch.save(some(), file)
    matrix = torch_save.read_weights(file).tensors["matrix"]
    base: object = matrix
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    assert isinstance(base, mmap.mmap)
    assert not matrix.flags.writeable


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_plain_pickle_of_arrays_is_read(protocol: int, file: Path) -> None:
    values = {"a": np.arange(6, dtype="f4").reshape(2, 3)}
    file.write_bytes(pickle.dumps(values, protocol))
    np.testing.assert_array_equal(torch_save.read_weights(file).tensors["a"], values["a"])


def test_another_order_of_bytes_is_read(file: Path) -> None:
    body = entry("weight", tensor(storage_id()))
    numbers = np.arange(6, dtype=">f4").tobytes()
    data = archive(body, {"byteorder": b"big"}).replace(bytes(24), numbers)
    file.write_bytes(rezip(data, {}))
    found = torch_save.read_weights(file).tensors["weight"]
    np.testing.assert_array_equal(found, np.arange(6, dtype="f4").reshape(2, 3))


@pytest.mark.parametrize("dtype", DTYPES)
def test_torch_opens_what_is_written(dtype: str, file: Path) -> None:
    values = {name: value.numpy() for name, value in some().items()}
    values["turned"] = values["matrix"].T
    torch_save.write_weights(file, values, dtype)
    opened = torch.load(file, weights_only=True)
    assert isinstance(opened, OrderedDict)
    for name, value in values.items():
        expected = torch.from_numpy(np.array(value)).to(getattr(torch, dtype))
        assert torch.equal(opened[name], expected), name
    same(torch_save.read_weights(file).tensors, opened)
    again = torch.load(file, weights_only=True, mmap=True)
    assert torch.equal(again["matrix"], opened["matrix"])


def test_what_is_written_is_a_sound_archive_of_aligned_entries(file: Path) -> None:
    torch_save.write_weights(file, {name: x.numpy() for name, x in some().items()})
    with zipfile.ZipFile(file) as opened:
        assert opened.testzip() is None
        assert opened.namelist()[0] == "archive/data.pkl"
    data = np.frombuffer(file.read_bytes(), np.uint8)
    assert all(one.start % 64 == 0 for one in read_entries(data).values())


def test_numbers_too_large_for_float16_are_refused(file: Path) -> None:
    large = {"x": np.array([1.0, 7e4], "f4")}
    torch_save.write_weights(file, {"x": np.array([1.0, np.inf], "f4")}, "float16")
    torch_save.write_weights(file, large, "bfloat16")
    for write in (torch_save.write_weights, pdparams.write_weights):
        with pytest.raises(CheckpointError, match="too large for float16"):
            write(file, large, "float16")


def rezip(data: bytes, changes: dict[str, bytes | None], **options: object) -> bytes:
    """The same archive, with other entries; its checksums fit again."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        entries = {name: read_raw(data, old, name) for name in old.namelist()}
        for name, value in {**entries, **changes}.items():
            if value is not None:
                new.writestr(name, value, **options)
    return made.getvalue()


def read_raw(data: bytes, old: zipfile.ZipFile, name: str) -> bytes:
    info = old.getinfo(name)
    start = (
        info.header_offset
        + 30
        + len(name)
        + struct.unpack_from("<H", data, info.header_offset + 28)[0]
    )
    return data[start : start + info.file_size]


GOOD = archive(entry("weight", tensor(storage_id())))


def patch(old: bytes, new: bytes, last: bool = False) -> bytes:
    assert old in GOOD
    place = GOOD.rindex(old) if last else GOOD.index(old)
    return GOOD[:place] + new + GOOD[place + len(old) :]


def odd_archives() -> dict[str, tuple[bytes, str]]:
    data, pkl = "archive/data/0", "archive/data.pkl"
    central = GOOD.rindex(b"PK\x01\x02")
    end = GOOD.rindex(b"PK\x05\x06")
    start = GOOD.index(b"PK\x01\x02")
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as made:
        for name in (pkl, data):
            made.writestr(name, bytes(24))
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr(data, bytes(24))

    def with_end(**values: int) -> bytes:
        names = ["disk", "other", "here", "count", "size", "start", "comment"]
        fields = dict(zip(names, struct.unpack_from("<4H2LH", GOOD, end + 4), strict=True))
        return GOOD[: end + 4] + struct.pack("<4H2LH", *{**fields, **values}.values())

    def header(offset: int, value: int, width: int = 4) -> bytes:
        """The directory's entry of data/0, with another field."""
        place = GOOD.index(b"PK\x01\x02", start + 1) + offset
        return GOOD[:place] + value.to_bytes(width, "little") + GOOD[place + width :]

    return {
        "no end": (GOOD[:-3], "no directory"),
        "a comment": (GOOD[:-2] + b"\x03\0abc", "no directory"),
        "something behind": (GOOD + b"x", "no directory"),
        "something before": (b"PK\x03\x04" + bytes(60) + GOOD, "a directory of"),
        "two disks": (with_end(disk=1), "several parts"),
        "more entries than there are": (with_end(here=5, count=5), "too short"),
        "fewer entries": (with_end(here=2, count=2), "too long"),
        "a directory elsewhere": (with_end(start=0), "a directory of"),
        "a huge directory": (with_end(size=2**32 - 2), "a directory of"),
        "60,000 entries": (with_end(here=60_000, count=60_000), "a directory of"),
        "an entry twice": (twice.getvalue(), "twice"),
        "compressed": (
            rezip(GOOD, {}, compress_type=zipfile.ZIP_DEFLATED),
            "packed or encrypted",
        ),
        "encrypted": (header(8, 1, 2), "packed or encrypted"),
        "another size": (header(24, 2**31), "packed or encrypted"),
        "both sizes larger": (
            header(20, 2000)[: GOOD.index(b"PK\x01\x02", start + 1) + 24]
            + (2000).to_bytes(4, "little")
            + header(20, 2000)[GOOD.index(b"PK\x01\x02", start + 1) + 28 :],
            "outside the archive",
        ),
        "over another": (header(42, 0), "another header"),
        "outside": (header(42, 2**31), "outside the archive"),
        "inside the directory": (header(42, central), "outside the archive"),
        "another name in the header": (
            patch(b"archive/data/0", b"archive/data/1"),
            "another header",
        ),
        "a wrong checksum": (patch(bytes(24), b"\1" + bytes(23)), "checksum"),
        "a pickle with a wrong checksum": (patch(b"weight", b"Weight"), "checksum"),
        "an escape": (rezip(GOOD, {"archive/../../x": b""}), "with the name"),
        "an absolute name": (rezip(GOOD, {"/etc/x": b""}), "with the name"),
        "a drive": (rezip(GOOD, {"C:/x": b""}), "with the name"),
        "a folder": (rezip(GOOD, {"archive/sub/": b""}), "with the name"),
        "an archive inside": (rezip(GOOD, {"archive/x.zip": GOOD}), "inside an archive"),
        "a module inside": (rezip(GOOD, {"archive/x.pt": GOOD}), "inside an archive"),
        "two roots": (rezip(GOOD, {"other/data.pkl": b"."}), "without data.pkl"),
        "no pickle": (rezip(GOOD, {pkl: None, "archive/x": b""}), "without data.pkl"),
        "no storage": (rezip(GOOD, {data: None}), "no entry for the storage"),
        "a short storage": (rezip(GOOD, {data: bytes(20)}), "outside its file"),
        "a long storage": (rezip(GOOD, {data: bytes(28)}), "28 bytes for 6 numbers"),
        "only a beginning": (b"PK\x03\x04", "no directory"),
        "a tar": (b"./" + bytes(600), "pickle is damaged"),
        "nothing": (b"", "empty file"),
    }


@pytest.mark.parametrize("name", odd_archives())
def test_odd_archives_are_refused(name: str, file: Path) -> None:
    data, found = odd_archives()[name]
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match=found):
        torch_save.read_weights(file)


def test_the_archive_that_they_are_made_of_is_good(file: Path) -> None:
    for data in (GOOD, rezip(GOOD, {})):
        file.write_bytes(data)
        assert torch_save.read_weights(file).tensors["weight"].shape == (2, 3)


def test_an_archive_without_checksums_is_read(file: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(some(), file)
    finally:
        torch.serialization.set_crc32_options(before)
    same(torch_save.read_weights(file).tensors, some())


def old_streams() -> dict[str, tuple[bytes, str]]:
    good = stream(entry("weight", tensor(storage_id())))
    cut = len(good) - 24

    def counted(count: int) -> bytes:
        return good[: cut - 8] + struct.pack("<q", count) + good[cut:]

    return {
        "cut": (good[:-1], "a storage ends"),
        "cut at the count": (good[: cut - 1], "outside its file"),
        "something behind": (good + b"x", "behind the last storage"),
        "another count": (counted(7), "7 numbers where 6"),
        "a negative count": (counted(-6), "-6 numbers"),
        "another magic number": (good.replace(b"\x6c\xfc\x9c", b"\x6c\xfc\x9d", 1), "not of torch"),
        "another version": (good.replace(b"M\xe9\x03", b"M\xea\x03"), "not of torch"),
        "no keys": (good.replace(b"](X\1\0\0\0" + b"0e", b"]" + b"0]" * 4), "not in the file"),
        "another key": (good.replace(b"](X\1\0\0\0" + b"0e", b"](X\1\0\0\0" + b"1e"), "not in the"),
        "a key twice": (
            good.replace(b"](X\1\0\0\0" + b"0e", b"](X\1\0\0\0" + b"0" + b"2e"),
            "not in the file",
        ),
        "no tensors": (good[:17], "bytes where"),
    }


@pytest.mark.parametrize("name", old_streams())
def test_odd_streams_are_refused(name: str, file: Path) -> None:
    data, found = old_streams()[name]
    assert data != stream(entry("weight", tensor(storage_id())))
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match=found):
        torch_save.read_weights(file)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"student": some(), "teacher": some()}, "student, teacher"),
        ({"epoch": 3}, "epoch, a int"),
        ([1, 2], "list"),
        ({1: torch.ones(2)}, "dict"),
        (torch.ones(2), "TorchTensor"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_other_things_than_a_dict_of_tensors_are_refused(
    value: object, found: str, zipped: bool, file: Path
) -> None:
    torch.save(value, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=found):
        torch_save.read_weights(file)


def test_a_whole_module_is_refused(file: Path) -> None:
    torch.save(torch.nn.Linear(2, 3), file)
    with pytest.raises(CheckpointError, match="torch.nn.modules.linear.Linear"):
        torch_save.read_weights(file)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        torch_save.read_weights(tmp_path / "none.bin")
