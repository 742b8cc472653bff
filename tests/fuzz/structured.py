"""Changes that keep a file readable: what a fuzzer of bytes seldom gets past the first brace.

A JSON document, the header of a safetensors file or a message of protobuf is read, a few of its
values are replaced, copied, added or taken away, and it is written again. Each gives None for what
it cannot read.
"""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

from albertkit.checkpoint.formats.leveldb_table import written_varint
from albertkit.checkpoint.formats.protobuf_wire import varint

Mutate = Callable[[bytes, Random], bytes | None]
Path = tuple[str | int, ...]

NUMBERS = (0, 1, -1, 2, 255, 2**31 - 1, 2**31, 2**63, -(2**70), 10**400, 0.5, -0.0, 1e-30, 1e308)
VALUES = (
    *(None, True, False, *NUMBERS, float("inf"), float("nan")),
    *("", "a", "1", "\0", "\ud800", "\u2581", "[CLS]", "..", "/", "x" * 3000),
    *([], {}, [[]], [None], ["a"], [1, 2, 3], {"a": 1}, {"": ""}),
)
WORDS = (
    *(b"", b"a", b"\0", b"\xff", bytes(16), "\u2581a".encode(), b"<unk>", b"[CLS]", b"<0x41>"),
    b"x" * 300,
)
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5  # kinds of a field of protobuf
MOST_CHANGES = 4
MOST_ITEMS = 40  # of a list or object that are looked into: vocabularies are long


def json_document(data: bytes, random: Random) -> bytes | None:
    """A JSON document with a few of its values changed."""
    try:
        document = json.loads(data)
        for _ in range(random.randint(1, MOST_CHANGES)):
            document = _changed(document, random)
        text = json.dumps(document, ensure_ascii=random.random() < 0.5)
    except (ValueError, RecursionError):
        return None
    return text.encode("utf-8", "surrogatepass")


def lines_or_document(data: bytes, random: Random) -> bytes | None:
    """A JSON document; or lines, of which a few of JSON, or cells of a table, are changed."""
    whole = json_document(data, random)
    if whole is not None:
        return whole
    lines = data.split(b"\n")
    for _ in range(random.randint(1, MOST_CHANGES)):
        place = random.randrange(len(lines))
        lines[place] = json_document(lines[place], random) or _cells(lines[place], random)
    return b"\n".join(lines)


def _cells(line: bytes, random: Random) -> bytes:
    """A line of a table with one of its cells replaced, doubled or taken away."""
    mark = b"\t" if b"\t" in line else b","
    cells = line.split(mark)
    place = random.randrange(len(cells))
    cells[place : place + 1] = random.choice(
        (
            [],
            [cells[place]] * 2,
            [random.choice(WORDS)],
            [str(random.choice(VALUES)).encode(errors="replace")],
        )
    )
    return mark.join(cells)


def behind_first_byte(mutate: Mutate) -> Mutate:
    """Changes of what stands behind the first byte, which chooses a reader."""

    def changed(data: bytes, random: Random) -> bytes | None:
        made = mutate(data[1:], random)
        return None if made is None else data[:1] + made

    return changed


def _changed(document: Any, random: Random) -> Any:
    """The document after one change."""
    paths = list(_paths(document))
    path = random.choice(paths)
    new = deepcopy(random.choice((random.choice(VALUES), _at(document, random.choice(paths)))))
    if not path:
        return document if random.random() < 0.9 else new
    owner, last = _at(document, path[:-1]), path[-1]
    change = random.randrange(4)
    if change == 0:
        del owner[last]
    elif change == 1 and isinstance(owner, list):
        owner.insert(random.randint(0, len(owner)), new)
    elif change == 1:
        names = [name for each in paths for name in each if isinstance(name, str)]
        owner[random.choice(names)] = new
    else:
        owner[last] = new
    return document


def _paths(document: Any, path: Path = ()) -> Iterator[Path]:
    """Where the values of a document are: keys and numbers that lead to each."""
    yield path
    if isinstance(document, dict):
        for key in list(document)[:MOST_ITEMS]:
            yield from _paths(document[key], (*path, key))
    elif isinstance(document, list):
        for number, value in enumerate(document[:MOST_ITEMS]):
            yield from _paths(value, (*path, number))


def _at(document: Any, path: Path) -> Any:
    for each in path:
        document = document[each]
    return document


def safetensors_file(data: bytes, random: Random) -> bytes | None:
    """Tensors whose header, a JSON document of a length that stands before it, is changed."""
    size = int.from_bytes(data[:8], "little")
    header = json_document(data[8 : 8 + size], random)
    return header and len(header).to_bytes(8, "little") + header + data[8 + size :]


def protobuf_message(data: bytes, random: Random) -> bytes | None:
    """A message of protobuf with a few of its fields changed, those of messages inside it too."""
    try:
        for _ in range(random.randint(1, MOST_CHANGES)):
            data = _message(data, random)
    except ValueError:
        return None
    return data


def _message(data: bytes, random: Random) -> bytes:
    """The message after one change."""
    fields = list(_fields(data))
    place = random.randrange(len(fields) + 1)
    if place == len(fields) or random.random() < 0.1:
        kind = random.choice((VARINT, BYTES))
        fields.insert(place, (random.randint(1, 50), kind, _value(kind, random)))
    elif random.random() < 0.1:
        del fields[place]
    elif random.random() < 0.1:
        fields.insert(random.randrange(len(fields)), random.choice(fields))
    else:
        number, kind, value = fields[place]
        if isinstance(value, bytes) and kind == BYTES and random.random() < 0.8:
            with contextlib.suppress(ValueError):  # a text, not a message
                fields[place] = number, kind, _message(value, random)
        else:
            fields[place] = number, kind, _value(kind, random)
    return b"".join(_written(*field) for field in fields)


def _value(kind: int, random: Random) -> int | bytes:
    """A number, a text, or the eight or four bytes of a number."""
    if kind == VARINT:
        return random.choice((*range(8), 127, 255, 2**31 - 1, 2**31, 2**63, 2**64 - 1))
    if kind == BYTES:
        return random.choice(WORDS)
    values = (0.0, 1.0, -1e6, 1e6, 1e-30, 1e38, float("inf"), float("nan"))
    return struct.pack("<d" if kind == EIGHT_BYTES else "<f", random.choice(values))


def _fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, kind and value of each field; a ValueError for what is no message."""
    data, place = memoryview(message), 0
    while place < len(data):
        key, place = varint(data, place)
        number, kind = key >> 3, key & 7
        if number == 0 or kind not in (VARINT, BYTES, EIGHT_BYTES, FOUR_BYTES):
            raise ValueError(f"no field at byte {place}")
        if kind == VARINT:
            value, place = varint(data, place)
            yield number, kind, value
            continue
        size = {EIGHT_BYTES: 8, FOUR_BYTES: 4}.get(kind, 0)
        if kind == BYTES:
            size, place = varint(data, place)
        if place + size > len(data):
            raise ValueError(f"a field that is longer than the message at byte {place}")
        yield number, kind, message[place : place + size]
        place += size


def _written(number: int, kind: int, value: int | bytes) -> bytes:
    key = written_varint(number << 3 | kind)
    if isinstance(value, int):
        return key + written_varint(value)
    return key + (written_varint(len(value)) if kind == BYTES else b"") + value
