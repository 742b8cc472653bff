"""Damage inside the archives that models come in: lies of a tar's headers, of a zip's directory."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterator

from damage_tf import Case
from damage_torch import Directory, members, plain_zip
from tiny_files import tar

DEFLATED = zipfile.ZIP_DEFLATED


def zip_archive_cases(whole: bytes) -> Iterator[Case]:
    """A model's .zip with a lie about one of its members."""
    directory, parts = Directory(whole), members(whole)
    one, two = list(parts)[:2]
    size, head = len(parts[one]), directory.headers
    yield "written anew", plain_zip(parts, DEFLATED), None
    yield "written without packing", plain_zip(parts), None
    yield "with something nobody wants", plain_zip({**parts, "albert/run.sh": b"x"}), None
    yield "in the long form", directory.wide(one, size, directory.packed(one), head[one]), None
    yield "one member over another", directory.changed(one, header=head[two]), "damaged"
    yield "a member at the end", directory.changed(one, header=directory.end - 30), "damaged"
    yield "a member outside", directory.changed(one, header=1 << 31), "damaged"
    yield "a place of 2 ** 63", directory.wide(one, size, directory.packed(one), 1 << 63), "damaged"
    yield "one name twice", plain_zip([*parts.items(), (one, parts[one])]), "the same name twice"
    for what, value in [("none", 0), ("half", size // 2), ("2 GB", 1 << 31)]:
        yield f"a size of {what}", directory.changed(one, size=value), "\n"
        # zipfile reads on; size and checksum of what comes out are right, or it is refused.
        yield f"a packed size of {what}", directory.changed(one, packed=value), "?"
    for what, value in [("2 ** 63", 1 << 63), ("2 ** 64 - 1", 2**64 - 1)]:
        yield f"a long size of {what}", directory.wide(one, value, value, head[one]), "\n"
    yield "a long form that is not there", directory.changed(one, size=2**32 - 1), "\n"
    yield "said to be stored", directory.changed(one, both=True, method=0), "damaged"
    yield "of method 99", directory.changed(one, both=True, method=99), "rare kind"
    yield "said to be encrypted", directory.changed(one, both=True, flags=1), "encrypted"
    yield "another checksum", directory.changed(one, both=True, crc=7), "damaged"
    yield "a path that leaves", plain_zip({**parts, "../x.index": b""}), "leaves the folder"
    yield "an absolute path", plain_zip({**parts, "/x.index": b""}), "leaves the folder"
    yield "a member without a name", plain_zip({**parts, "": b""}), "leaves the folder"
    yield "a link", _linked(parts), "a link or a device"
    yield "a name that is no text", whole.replace(one.encode()[-4:], b"\xff\xfe\xfd\xfc"), "?"
    yield "another name in the header", whole.replace(one.encode(), one.upper().encode(), 1), "\n"
    many = plain_zip({f"{n}.txt": b"" for n in range(3000)})
    yield "3,000 members", many, "more than 1000 members"
    yield "60,000 members", many_members(60_000), "longer than a directory can be"
    yield "a directory at 0", directory.ended(start=0), "\n"
    yield "a directory of 4 GB", directory.ended(size=2**32 - 2), "damaged"
    yield "a directory of nothing", directory.ended(size=0), "\n"
    yield "nothing inside", plain_zip({}), "holds no checkpoint"
    yield "only a beginning", b"PK\x03\x04", "damaged"
    bomb = plain_zip({"x.index": bytes(100 << 20)}, DEFLATED)
    yield "100 MB of zeros", bomb, "grows far beyond"


def many_members(count: int) -> bytes:
    """An archive whose directory has so many entries of the same empty member."""
    with_one = plain_zip({"a.txt": b""})
    directory = Directory(with_one)
    start = directory.places["a.txt"]
    entry = with_one[start : directory.end]
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, count * len(entry), start, 0)
    return with_one[:start] + entry * count + last


def _linked(parts: dict[str, bytes]) -> bytes:
    raw = io.BytesIO(plain_zip(parts))
    with zipfile.ZipFile(raw, "a") as made:
        link = zipfile.ZipInfo("albert/x.index")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
    return raw.getvalue()


def tar_cases(whole: bytes) -> Iterator[Case]:
    """A model's .tar.gz with a lie in one of its headers, or bytes that gzip's checksum covers."""
    raw = gzip.decompress(whole)
    with tarfile.open(fileobj=io.BytesIO(raw)) as opened:
        parts = {info.name: raw[info.offset_data :][: info.size] for info in opened}
        first = next(iter(opened)).offset_data

    def packed(data: bytes, level: int = 6) -> bytes:
        return gzip.compress(data, level, mtime=0)

    def headed(*, last: bool = False, content: bytes = b"", **values: object) -> bytes:
        """The archive with one more member, before or behind the others."""
        member = tarfile.TarInfo("albert/more.index")
        for name, value in values.items():
            setattr(member, name, value)
        more = member.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)
        return packed(raw.rstrip(b"\0") + bytes(600) + more if last else more + raw)

    yield "written anew", tar(parts), None
    yield "without packing", packed(raw, 0), None
    yield "in two parts of gzip", packed(raw[:700]) + packed(raw[700:]), None
    yield "zeros behind", whole + bytes(100), None
    yield "something behind", whole + b"abc", "damaged"
    flipped = bytearray(packed(raw, 0))
    place = flipped.index(raw[first : first + 40]) + 3
    flipped[place] ^= 1
    yield "a bit of a file", bytes(flipped), "CRC"
    flipped = bytearray(whole)
    flipped[-6] ^= 1
    yield "another checksum", bytes(flipped), "CRC"
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    yield "another length", bytes(flipped), "damaged"
    flipped = bytearray(raw)
    flipped[0] ^= 1
    yield "a header with another checksum", packed(bytes(flipped)), "damaged"
    yield "a link", headed(type=tarfile.SYMTYPE, linkname="/etc/passwd"), "a link, a device"
    yield "a hard link", headed(type=tarfile.LNKTYPE, linkname="albert"), "a link, a device"
    yield "a device", headed(type=tarfile.CHRTYPE), "a link, a device"
    yield "a pipe", headed(type=tarfile.FIFOTYPE), "a link, a device"
    yield "a sparse file", headed(type=tarfile.GNUTYPE_SPARSE), "\n"
    yield "a path that leaves", headed(name="../x.index"), "leaves the folder"
    yield "an absolute path", headed(name="/x.index"), "leaves the folder"
    yield "a name twice", tar({**parts, "./" + next(iter(parts)): b""}), "the same name twice"
    for what, size in [("1 MB", 1 << 20), ("8 GB", 8 << 30), ("2 ** 62", 1 << 62)]:
        yield f"a size of {what}", headed(size=size), "\n"
    negative = bytearray(raw)
    negative[124:136] = b"\xff" * 4 + struct.pack(">q", -512)
    yield "a negative size", packed(_summed(negative)), "\n"
    words = bytearray(raw)
    words[124:136] = b"abcdefghijkl"
    yield "a size that is no number", packed(_summed(words)), "damaged"
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE):
        long = headed(type=kind, size=3 << 20, content=b"x" * (3 << 20))
        yield f"3 MB of name ({kind.decode()})", long, "longer than a header"
    chain = tarfile.TarInfo("././@LongLink")
    chain.type = tarfile.GNUTYPE_LONGNAME
    yield "1,500 names of names", packed(chain.tobuf(tarfile.GNU_FORMAT) * 1500 + raw), "\n"
    pax = b"".join(b"%d a=%s\n" % (6 + 9000 + 2, b"=" * 9000) for _ in range(90))
    yield "90 odd records", headed(type=tarfile.XHDTYPE, size=len(pax), content=pax), "?"
    yield "a record of size", headed(type=tarfile.XHDTYPE, size=13, content=b"13 size=-999\n"), "\n"
    yield "3,000 members", tar({f"{n}.txt": b"" for n in range(3000)}), "more than 1000 members"
    yield "100 MB of zeros", packed(bytes(100 << 20)), "\n"
    yield "100 MB in a member", tar({"x.index": bytes(100 << 20)}), "grows far beyond"
    yield "nothing inside", packed(bytes(1024)), "holds no checkpoint"
    yield "no tar", packed(b"abc"), "damaged"
    yield "only a beginning", b"\x1f\x8b\x08", "damaged"


def _summed(header: bytearray) -> bytes:
    """A tar whose first header has the right checksum."""
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header)
