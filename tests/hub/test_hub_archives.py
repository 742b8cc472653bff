"""Archives of strangers: what is taken out, what is refused."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from albertkit.errors import AlbertkitError, CheckpointError
from albertkit.hub import archives
from albertkit.hub.archives import unpack

FILES = {
    "albert_base/albert_config.json": b"{}",
    "albert_base/model.ckpt-best.index": b"index",
    "albert_base/model.ckpt-best.data-00000-of-00001": bytes(range(256)) * 40,
    "albert_base/model.ckpt-best.meta": b"graph",
    "albert_base/30k-clean.model": b"pieces",
    "albert_base/30k-clean.vocab": b"words",
    "albert_base/vocab_chinese.txt": b"[PAD]\n",
}
OTHERS = {"albert_base/run.sh": b"rm -rf /", "__MACOSX/albert_base/._model.ckpt.index": b"x"}
OTHERS |= {"albert_base/.hidden.index": b"x", "albert_base/events.out": b"x"}


def tar_of(path: Path, members: dict[str, bytes], *extra: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        folder = tarfile.TarInfo("./albert_base")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in extra:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.mkdir("albert_base")
        for name, content in members.items():
            packed.writestr(name, content)
    return path


def packed(tmp_path: Path, kind: str, members: dict[str, bytes]) -> Path:
    make = zip_of if kind == "zip" else tar_of
    return make(tmp_path / f"a.{kind}", members)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        x.relative_to(folder).as_posix(): x.read_bytes() for x in folder.rglob("*") if x.is_file()
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_only_the_files_of_a_checkpoint_come_out(tmp_path: Path, out: Path, kind: str) -> None:
    made = unpack(packed(tmp_path, kind, FILES | OTHERS), out)
    assert contents(out) == FILES
    assert sorted(made) == sorted(out / name for name in FILES)


ESCAPES = ["../evil.index", "/tmp/evil.index", "a/../../evil.index", "a\\..\\evil.index"]
ESCAPES += ["C:/evil.index"]


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
@pytest.mark.parametrize("name", ESCAPES)
def test_paths_that_leave_the_folder_are_refused(
    tmp_path: Path, out: Path, kind: str, name: str
) -> None:
    archive = packed(tmp_path, kind, {name: b"x"})
    with pytest.raises(CheckpointError, match="a path that leaves the folder"):
        unpack(archive, out)
    assert list(tmp_path.rglob("evil*")) == []


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, out: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("albert_base/x.index")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(CheckpointError, match="a link, a device"):
        unpack(tar_of(tmp_path / "a.tar.gz", {}, member), out)
    assert contents(out) == {}


def test_a_sparse_file_in_a_tar_is_refused(tmp_path: Path, out: Path) -> None:
    member = tarfile.TarInfo("albert_base/x.index")
    member.type = tarfile.GNUTYPE_SPARSE
    with pytest.raises(CheckpointError):
        unpack(tar_of(tmp_path / "a.tar.gz", {}, member), out)


def test_a_link_in_a_zip_is_refused(tmp_path: Path, out: Path) -> None:
    member = zipfile.ZipInfo("albert_base/x.index")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(CheckpointError, match="a link or a device"):
        unpack(tmp_path / "a.zip", out)


def test_rare_compression_and_encryption_in_a_zip_are_refused(tmp_path: Path, out: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.index", b"x" * 100)
    with pytest.raises(CheckpointError, match="rare kind of compression"):
        unpack(tmp_path / "a.zip", out)
    data = bytearray(zip_of(tmp_path / "b.zip", {"x.index": b"x"}).read_bytes())
    for place in _places(data, b"PK\x03\x04", 6) + _places(data, b"PK\x01\x02", 8):
        data[place] |= 1
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(CheckpointError, match="an encrypted file"):
        unpack(tmp_path / "b.zip", out)


def _places(data: bytearray, magic: bytes, offset: int) -> list[int]:
    return [i + offset for i in range(len(data)) if data[i : i + 4] == magic]


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_one_name_twice_is_refused(tmp_path: Path, out: Path, kind: str) -> None:
    archive = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("x.index", "1")
            with pytest.warns(UserWarning, match="Duplicate name"):
                file.writestr("x.index", "2")
    else:
        tar_of(archive, {"x.index": b"1"}, tarfile.TarInfo("x.index"))
    with pytest.raises(CheckpointError, match="the same name twice"):
        unpack(archive, out)


def test_a_file_that_is_also_a_folder_is_refused(tmp_path: Path, out: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", {"x.index": b"1", "x.index/y.index": b"2"})
    with pytest.raises(CheckpointError, match="the same name twice"):
        unpack(archive, out)


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
@pytest.mark.parametrize("name", ["x.index", "unwanted.txt"])
def test_a_bomb_is_stopped(
    tmp_path: Path, out: Path, kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """30 MB of zeros in 30 kB; nothing may be written beyond the limit."""
    monkeypatch.setattr(archives, "SPARE_BYTES", 1 << 20)
    archive = packed(tmp_path, kind, {name: bytes(30 << 20), "y.index": b"y"})
    assert archive.stat().st_size < 1 << 16
    if kind == "zip" and name == "unwanted.txt":
        unpack(archive, out)  # what nobody wants is not even unpacked
        return
    with pytest.raises(CheckpointError, match="grows far beyond its size"):
        unpack(archive, out)
    assert sum(map(len, contents(out).values())) <= archive.stat().st_size * 20 + (1 << 20)


def test_a_tar_header_that_asks_for_memory_is_stopped(tmp_path: Path, out: Path) -> None:
    """A pax header of 50 MB: within the limit of the archive, beyond that of a header."""
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 50 << 20
    raw = io.BytesIO()
    raw.write(header.tobuf(tarfile.USTAR_FORMAT))
    raw.write(bytes(header.size))
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(raw.getvalue()))
    with pytest.raises(CheckpointError, match="a header is longer than a header can be"):
        unpack(tmp_path / "a.tar.gz", out)


def test_too_many_members_are_refused(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
    for kind in ("tar.gz", "zip"):
        archive = packed(tmp_path, kind, {f"{n}.txt": b"" for n in range(30)})
        with pytest.raises(CheckpointError, match="more than 20 members"):
            unpack(archive, out)


def test_a_page_instead_of_an_archive_is_reported(tmp_path: Path, out: Path) -> None:
    (tmp_path / "a.zip").write_text("<!doctype html><title>Not Found</title>")
    with pytest.raises(CheckpointError, match="archive that can be unpacked") as error:
        unpack(tmp_path / "a.zip", out)
    assert "web page" in error.value.facts["to do"]


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_an_archive_without_checkpoint_is_reported(tmp_path: Path, out: Path, kind: str) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        unpack(packed(tmp_path, kind, {"a.txt": b""}), out)


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_damaged_archives_raise_typed_errors_only(tmp_path: Path, kind: str) -> None:
    whole = packed(tmp_path, kind, FILES).read_bytes()
    damaged = [whole[: len(whole) * n // 60] for n in range(60)]
    for n in range(120):
        flipped = bytearray(whole)
        flipped[len(whole) * n // 120] ^= 1 << n % 8
        damaged.append(bytes(flipped))
    refused = 0
    for number, data in enumerate(damaged):
        path, folder = tmp_path / f"{number}.bad", tmp_path / f"out{number}"
        path.write_bytes(data)
        folder.mkdir()
        try:
            unpack(path, folder)
        except AlbertkitError:
            refused += 1
    assert refused >= 60, "every archive that was cut off, and some of the others"


def test_the_checksum_of_a_tar_is_compared_although_it_stands_behind_its_end(
    tmp_path: Path, out: Path
) -> None:
    data = bytearray(tar_of(tmp_path / "a.tar.gz", {"x.index": b"abcd" * 9000}).read_bytes())
    data[-5] ^= 1  # gzip ends with CRC-32 and length
    (tmp_path / "a.tar.gz").write_bytes(data)
    with pytest.raises(CheckpointError, match="CRC"):
        unpack(tmp_path / "a.tar.gz", out)


def test_a_member_of_a_zip_without_a_name_is_refused(tmp_path: Path, out: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("\0x"), "x")
    with pytest.raises(CheckpointError, match="leaves the folder"):
        unpack(tmp_path / "a.zip", out)


def test_a_member_of_a_zip_has_the_size_that_is_declared(tmp_path: Path, out: Path) -> None:
    data = bytearray(zip_of(tmp_path / "a.zip", {"x.index": b"abcd"}).read_bytes())
    for place in _places(data, b"PK\x01\x02", 24)[1:]:  # the first is the folder
        data[place] += 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(CheckpointError, match="is not as long as announced"):
        unpack(tmp_path / "a.zip", out)
