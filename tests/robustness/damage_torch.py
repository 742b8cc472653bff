"""Damage inside torch's and Paddle's files: zip archives and pickles that are sound but lie."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np
from damage_tf import Case
from hostile_pickles import array, glob, many, raw_bytes, storage, tensor, text, whole

ROOT = "archive"
_UNKNOWN = 0xFFFFFFFF


def members(data: bytes) -> dict[str, bytes]:
    """Contents of a zip archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def plain_zip(contents: Mapping[str, bytes] | list[tuple[str, bytes]], kind: int = 0) -> bytes:
    """An archive of these members; a list may hold a name twice."""
    made = io.BytesIO()
    pairs = contents if isinstance(contents, list) else list(contents.items())
    with zipfile.ZipFile(made, "w", kind) as new:
        new.NameToInfo = {}
        for name, value in pairs:
            new.NameToInfo.clear()  # zipfile warns of doubled names
            new.writestr(zipfile.ZipInfo(name), value, kind)
    return made.getvalue()


class Directory:
    """The directory of an archive, field by field, to write lies into it."""

    SIZES = {"flags": 2, "method": 2, "crc": 4, "packed": 4, "size": 4, "extra": 2, "header": 4}
    PLACES = {"flags": 8, "method": 10, "crc": 16, "packed": 20, "size": 24, "extra": 30}
    PLACES |= {"header": 42}
    LOCAL = {"flags": 6, "method": 8, "crc": 14, "packed": 18, "size": 22}

    def __init__(self, data: bytes) -> None:
        self.data = data
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            self.headers = {info.filename: info.header_offset for info in opened.infolist()}
            place = opened.start_dir
        self.places = {}
        for name in self.headers:
            self.places[name] = place
            lengths = struct.unpack_from("<3H", data, place + 28)
            place += 46 + sum(lengths)
        self.end = place

    def packed(self, name: str) -> int:
        """How many bytes an entry takes."""
        return int(struct.unpack_from("<L", self.data, self.places[name] + 20)[0])

    def changed(self, name: str, *, both: bool = False, **values: int) -> bytes:
        """The archive with other fields of one entry, in its own header, too, if `both`."""
        made = bytearray(self.data)
        for field, value in values.items():
            width = self.SIZES[field]
            raw = (value % 256**width).to_bytes(width, "little")
            spots = [self.places[name] + self.PLACES[field]]
            if both and field in self.LOCAL:
                spots.append(self.headers[name] + self.LOCAL[field])
            for spot in spots:
                made[spot : spot + width] = raw
        return bytes(made)

    def ended(self, **values: int) -> bytes:
        """The archive with other numbers in its last record."""
        names = ["disk", "other", "here", "count", "size", "start", "comment"]
        old = struct.unpack_from("<4H2LH", self.data, self.end + 4)
        fields = {**dict(zip(names, old, strict=True)), **values}
        return self.data[: self.end + 4] + struct.pack("<4H2LH", *fields.values())

    def wide(self, name: str, size: int, packed: int, header: int) -> bytes:
        """The archive with the long form's fields for one entry."""
        place = self.places[name]
        extra = struct.pack("<HH3Q", 1, 24, size, packed, header)
        made = bytearray(self.changed(name, size=_UNKNOWN, packed=_UNKNOWN, header=_UNKNOWN))
        name_size, old_extra = struct.unpack_from("<2H", made, place + 28)
        made[place + 30 : place + 32] = struct.pack("<H", len(extra))
        start = place + 46 + name_size
        made[start : start + old_extra] = extra
        grown = len(extra) - old_extra
        spot = self.end + grown + 12
        old = struct.unpack_from("<L", made, spot)[0]
        made[spot : spot + 4] = struct.pack("<L", old + grown)
        return bytes(made)


def zip_cases(whole_file: bytes) -> Iterator[Case]:
    """A model's archive with a lie about one of its entries."""
    directory, parts = Directory(whole_file), members(whole_file)
    one, two = f"{ROOT}/data/0", f"{ROOT}/data/1"
    size, head = len(parts[one]), directory.headers
    pkl = f"{ROOT}/data.pkl"
    yield "written anew", plain_zip(parts), None
    yield "without checksums", directory.changed(one, both=True, crc=0), None
    sound = directory.wide(one, size, size, head[one])
    yield "in the long form", sound, None
    yield "one storage over another", directory.changed(one, header=head[two]), "another header"
    names = {**parts, f"{ROOT}/data/x": parts[one]}
    alike = Directory(plain_zip(names))
    over = alike.changed(f"{ROOT}/data/x", header=alike.headers[one])
    yield "two names for one storage", over, "another header"
    inner = plain_zip({f"{ROOT}/data/y": b"abcd"})
    nested = Directory(plain_zip({**parts, f"{ROOT}/data/y": b"abcd", f"{ROOT}/data/z": inner}))
    start = nested.data.index(inner)
    inside = nested.changed(f"{ROOT}/data/y", header=start)
    yield "an entry inside another", inside, "over another"
    twice = plain_zip([*parts.items(), (one, parts[one])])
    yield "one name twice", twice, "twice"
    for what, value in [("none", 0), ("half", size // 2), ("double", 2 * size), ("2 GB", 1 << 31)]:
        lie = directory.changed(one, both=True, packed=value, size=value)
        yield f"a size of {what}", lie, "\n"
        yield f"an unpacked size of {what}", directory.changed(one, size=value), "packed or"
    for what, values in [
        ("2 ** 63", (1 << 63, 1 << 63, head[one])),
        ("2 ** 64 - 1", (2**64 - 1, 2**64 - 1, head[one])),
        ("nothing", (0, 0, head[one])),
    ]:
        yield f"a long size of {what}", directory.wide(one, *values), "\n"
    yield "a long place of 2 ** 63", directory.wide(one, size, size, 1 << 63), "outside"
    short = directory.changed(one, size=_UNKNOWN, packed=_UNKNOWN)
    yield "a long form without its sizes", short, "outside"
    yield "said to be deflated", directory.changed(one, both=True, method=8), "packed or"
    yield "deflated", plain_zip(parts, zipfile.ZIP_DEFLATED), "packed or"
    yield "said to be encrypted", directory.changed(one, both=True, flags=1), "packed or"
    yield "another checksum", directory.changed(one, both=True, crc=12345), "checksum"
    yield "a comment of 9 bytes", directory.ended(comment=9), "comment"
    yield "60,000 entries", directory.ended(here=60_000, count=60_000), "a directory of"
    yield "one entry less", directory.ended(here=len(parts) - 1, count=len(parts) - 1), "too long"
    yield "a directory of 4 GB", directory.ended(size=_UNKNOWN - 1), "a directory of"
    yield "a directory at 0", directory.ended(start=0), "a directory of"
    yield "a storage left out", plain_zip({n: x for n, x in parts.items() if n != one}), "\n"
    yield "a storage in two", plain_zip({**parts, one: parts[one][:-4]}), "outside its file"
    yield "a storage too long", plain_zip({**parts, one: parts[one] + bytes(4)}), "bytes for"
    yield "an archive inside", plain_zip({**parts, f"{ROOT}/x.zip": inner}), "inside an archive"
    yield "a path that leaves", plain_zip({**parts, f"{ROOT}/../x": b""}), "with the name"
    yield "another root", plain_zip({**parts, "x/y": b""}), "without data.pkl"
    yield "no pickle", plain_zip({n: x for n, x in parts.items() if n != pkl}), "without data.pkl"
    for name, old, new, found in _pickle_lies(parts[pkl]):
        yield name, plain_zip({**parts, pkl: parts[pkl].replace(old, new, 1)}), found


def _pickle_lies(pickled: bytes) -> Iterator[tuple[str, bytes, bytes, str | None]]:
    """What to replace in a pickle of float32 tensors."""
    assert pickled.count(b"FloatStorage") > 1
    for kind in ("Half", "BFloat16", "Double", "Long", "Byte"):
        new = f"ctorch\n{kind}Storage\n".encode()
        yield f"a storage of {kind}", b"ctorch\nFloatStorage\n", new, "\n"
    whole_numbers = b"ctorch\nIntStorage\n"
    yield "whole numbers of the same width", b"ctorch\nFloatStorage\n", whole_numbers, "\n"
    quantized = b"ctorch\nQInt8Storage\n"
    yield "a storage of an unknown kind", b"ctorch\nFloatStorage\n", quantized, "QInt8Storage"
    yield "on another device", text("cpu"), text("cuda:0"), None
    yield (
        "a key that leaves",
        text("storage") + b"ctorch\nFloatStorage\n" + text("0"),
        (text("storage") + b"ctorch\nFloatStorage\n" + text("../0")),
        "\n",
    )
    offset = b"tQK\0("
    yield "an offset of 9", offset, b"tQK\x09(", "beyond its storage"
    yield "an offset of 2 ** 62", offset, b"tQ" + whole(1 << 62) + b"(", "beyond its storage"
    yield "a negative offset", offset, b"tQ" + whole(-1) + b"(", "without storage"
    yield "a shape of one axis more", offset, offset + whole(1), "different length"
    yield "a call of os.system", b"ctorch._utils\n_rebuild_tensor_v2\n", b"cos\nsystem\n", "os.sys"


def sharing_cases() -> Iterator[Case]:
    """Tensors in one storage: legal; a tensor beyond it: not. Six zeros, two names."""
    first = text("a") + tensor(storage())

    def both(second: bytes) -> bytes:
        body = b"}(" + first + text("b") + second + b"u"
        parts = {"data.pkl": b"\x80\x04" + body + b".", "data/0": bytes(24), "version": b"3\n"}
        return plain_zip({f"{ROOT}/{name}": x for name, x in parts.items()})

    for what, shape, offset, strides in [
        ("the same part", (2, 3), 0, (3, 1)),
        ("turned", (3, 2), 0, (1, 3)),
        ("the last row", (3,), 3, (1,)),
        ("overlapping rows", (2, 2), 1, (1, 1)),
        ("nothing", (0, 5), 2, (5, 1)),
    ]:
        yield what, both(tensor(storage(), offset, shape, strides)), "opens"
    for what, shape, offset, strides in [
        ("one number further", (2, 3), 1, (3, 1)),
        ("a row further", (3, 3), 0, (3, 1)),
        ("a wide stride", (2, 2), 0, (5, 1)),
        ("numbers repeated", (7, 1), 0, (0, 1)),
        ("numbers repeated in billions", (1 << 20, 1 << 20), 0, (0, 0)),
    ]:
        yield what, both(tensor(storage(), offset, shape, strides)), "beyond its storage"
    half = storage(6, "0", glob("torch", "HalfStorage"))
    yield "in half precision", both(tensor(half)), "two kinds or sizes"
    yield "in another size", both(tensor(storage(5), 0, (5,), (1,))), "two kinds or sizes"


def stream_cases(whole_file: bytes) -> Iterator[Case]:
    """torch's older stream with a lie in one of its pickles or counts."""
    pickles, place = [], 0
    data = io.BytesIO(whole_file)
    for _ in range(5):
        _skip(data)
        pickles.append(whole_file[place : data.tell()])
        place = data.tell()
    magic, version, machine, tensors, keys = pickles
    rest = whole_file[place:]

    def made(**changed: bytes) -> bytes:
        parts = {"magic": magic, "version": version, "machine": machine, "tensors": tensors}
        return b"".join({**parts, "keys": keys, "rest": rest, **changed}.values())

    names = pickle.loads(keys)
    yield "the same", made(), None
    big = pickle.dumps({"little_endian": False}, 2)
    yield "another order of bytes", made(machine=big), "are named"
    yield "another magic number", made(magic=pickle.dumps(7, 2)), "not of torch"
    yield "version 9", made(version=pickle.dumps(9, 2)), "not of torch"
    yield "a key left out", made(keys=pickle.dumps(names[1:], 2)), "not in the file"
    yield "a key twice", made(keys=pickle.dumps([*names, names[0]], 2)), "not in the file"
    yield "a key too many", made(keys=pickle.dumps([*names, "x"], 2)), "no tensor uses"
    yield "two keys swapped", made(keys=pickle.dumps([names[1], names[0], *names[2:]], 2)), "\n"
    yield "keys that are numbers", made(keys=pickle.dumps(list(range(9)), 2)), "without keys"
    for count in (0, 1, -1, 1 << 40, 2**63 - 1):
        lie = struct.pack("<q", count) + rest[8:]
        yield f"a storage of {count}", made(rest=lie), "are named"
    yield "bytes behind", made(rest=rest + b"\0"), "behind the last storage"
    for name, old, new, found in _pickle_lies(tensors):
        yield name, made(tensors=tensors.replace(old, new, 1)), found


def _skip(data: io.BytesIO) -> None:
    """Go behind the next pickle without running it."""
    import pickletools

    for _ in pickletools.genops(data):
        pass


def paddle_cases() -> Iterator[Case]:
    """Pickles of one array or two; the first three are sound."""
    numbers = np.arange(6, dtype="<f4").tobytes()
    shape = many(whole(2), whole(3))
    good = array(text("f4"), shape, raw_bytes(numbers))

    def of(*values: bytes) -> bytes:
        body = b"}(" + b"".join(text(f"x{n}") + value for n, value in enumerate(values)) + b"u."
        return b"\x80\x04" + body

    yield "one array", of(good), "opens"
    yield (
        "the same array twice",
        b"\x80\x04}(" + text("a") + good + b"\x94" + text("b") + b"h\0u.",
        "opens",
    )
    yield "a pair", of(many(text("parameter_0"), good)), "opens"
    for code, found in [("f8", "outside"), ("f2", "bytes for"), ("O8", "kind O8"), ("V4", "kind")]:
        yield f"an array of {code}", of(array(text(code), shape, raw_bytes(numbers))), found
    for sizes, found in [
        ((7,), "outside"),
        ((5,), "bytes for"),
        ((1 << 40, 1 << 40), "no file can hold"),
        ((0,), "bytes for"),
        ((1,) * 40, "a shape"),
    ]:
        yield (
            f"a shape {sizes[:3]}",
            of(array(text("f4"), many(*map(whole, sizes)), raw_bytes(numbers))),
            found,
        )
    yield "a text as an array", of(text("abc")), "no array"
    yield "an array without numbers", of(good[: good.rindex(b"(") - 40]), "\n"
    half = array(text("f2"), many(whole(12)), b"h\0")
    bomb = b"\x80\x04" + raw_bytes(bytes(24)) + b"\x940}("
    bomb += b"".join(text(f"x{n}") + half for n in range(9)) + b"u."
    yield "nine arrays of the same few bytes", bomb, "opens"
    far = raw_bytes(bytes(1 << 20)) + b"\x940}("
    one = array(text("f2"), many(whole(1 << 19)), b"h\0")
    far += b"".join(text(f"x{n}") + one for n in range(3000)) + b"u."
    yield "3,000 arrays of the same megabyte", b"\x80\x04" + far, "many arrays"
    lines = b"I1\n0" * 100_000
    yield "100,000 lines", b"\x80\x04" + lines + of(good)[2:], "opens"
    yield "bytes behind", of(good) + b"\0", "behind the pickle"
    yield "a list of arrays", b"\x80\x04](" + good + b"e.", "no named tensors"
    yield "numbers as names", b"\x80\x04}K\1" + good + b"s.", "no named tensors"
