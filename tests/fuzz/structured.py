"""Changes that keep a file readable: what a fuzzer of bytes seldom gets past the first brace.

A JSON document, the header of a safetensors file or a SentencePiece model is read, a few of its
values are replaced, copied, added or taken away, and it is written again. Each gives None for what
it cannot read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

from google.protobuf.message import DecodeError, Message
from sentencepiece import sentencepiece_model_pb2

Mutate = Callable[[bytes, Random], bytes | None]
Path = tuple[str | int, ...]

NUMBERS = (0, 1, -1, 2, 255, 2**31 - 1, 2**31, 2**63, -(2**70), 10**400, 0.5, -0.0, 1e-30, 1e308)
VALUES = (
    *(None, True, False, *NUMBERS, float("inf"), float("nan")),
    *("", "a", "1", "\0", "\ud800", "\u2581", "[CLS]", "..", "/", "x" * 3000),
    *([], {}, [[]], [None], ["a"], [1, 2, 3], {"a": 1}, {"": ""}),
)
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


def sentencepiece_model(data: bytes, random: Random) -> bytes | None:
    """A SentencePiece model with a few of its pieces or settings changed."""
    try:
        proto = sentencepiece_model_pb2.ModelProto.FromString(data)
        for _ in range(random.randint(1, MOST_CHANGES)):
            parts = (proto.trainer_spec, proto.normalizer_spec, proto.pieces.add())
            if random.random() < 0.7:
                del proto.pieces[-1]
                parts = (*parts[:2], random.choice(proto.pieces or [proto.pieces.add()]))
            _set_field(random.choice(parts), random)
        return bytes(proto.SerializeToString())
    except (DecodeError, ValueError):
        return None


def _set_field(message: Message, random: Random) -> None:
    """Give one field of a message another value of its type."""
    field = random.choice([x for x in message.DESCRIPTOR.fields if not x.is_repeated])
    if field.cpp_type == field.CPPTYPE_BOOL:
        value: Any = random.random() < 0.5
    elif field.cpp_type == field.CPPTYPE_ENUM:
        value = random.choice(field.enum_type.values).number
    elif field.cpp_type == field.CPPTYPE_STRING:
        old = getattr(message, field.name)
        words = ("[CLS]", "<unk>", "<0x41>", "\u2581a", "a", "\0", "\u00c5", "")
        value = _bytes(old, random) if isinstance(old, bytes) else random.choice(words)
    elif field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        value = random.choice((0.0, -1.0, 5.0, -1e6, 1e6, 1e-30, 1e38, float("nan")))
    else:
        value = random.choice((0, 1, -1, 5, 2**31 - 1, -(2**31)))
        value = (
            value if field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_INT64) else abs(value)
        )
    setattr(message, field.name, value)


def _bytes(old: bytes, random: Random) -> bytes:
    """Bytes of which a few are others."""
    made = bytearray(old or bytes(16))
    for _ in range(random.randint(1, MOST_CHANGES)):
        made[random.randrange(len(made))] = random.choice((0, 1, 128, 255, random.randrange(256)))
    return bytes(made)
