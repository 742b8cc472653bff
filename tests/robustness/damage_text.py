"""Damage inside safetensors and text files: headers, configs and vocabularies that lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from damage_tf import Case
from tiny_files import WORDS

HUGE = 9 << 20  # bytes; more than any config or vocabulary may have


def safetensors_cases(whole: bytes) -> Iterator[Case]:
    """A file of tensors with a lie in its header; the names are those of the file."""
    size = int.from_bytes(whole[:8], "little")
    header: dict[str, Any] = json.loads(whole[8 : 8 + size])
    data = whole[8 + size :]
    names = [name for name in header if name != "__metadata__"]
    one, twin = (next(n for n in names if n.endswith(x)) for x in ("query.weight", "key.weight"))
    start, end = header[one]["data_offsets"]
    last = max(names, key=lambda name: header[name]["data_offsets"][1])

    def raw(text: bytes, rest: bytes = data, size: int | None = None) -> bytes:
        return (len(text) if size is None else size).to_bytes(8, "little") + text + rest

    def of(name: str = one, rest: bytes = data, **changed: object) -> bytes:
        values = {**header, name: {**header[name], **changed}}
        return raw(json.dumps(values).encode(), rest)

    text = json.dumps(header).encode()
    yield "written anew", raw(text), None
    yield "with other notes", raw(json.dumps({**header, "__metadata__": 3}).encode()), None
    yield "two tensors in one place", of(data_offsets=header[twin]["data_offsets"]), "overlap"
    yield "a tensor 4 bytes early", of(data_offsets=[start - 4, end - 4]), "overlap"
    yield "a tensor 4 bytes late", of(data_offsets=[start + 4, end + 4]), "gap"
    yield "a tensor that ends before it begins", of(data_offsets=[end, start]), "bytes for"
    yield "a tensor of no bytes", of(data_offsets=[start, start]), "bytes for"
    yield "a negative place", of(data_offsets=[-4, end - start - 4]), "no kind, shape"
    yield "a place of 2 ** 63", of(data_offsets=[2**63, 2**63 + end - start]), "no kind, shape"
    yield "a place of 2 ** 49", of(data_offsets=[2**49, 2**49 + end - start]), "gap"
    yield "a place with a point", of(data_offsets=[float(start), float(end)]), "no kind, shape"
    yield "one place only", of(data_offsets=[start]), "no kind, shape"
    yield "places in a text", of(data_offsets="01"), "no kind, shape"
    for kind, found in [
        ("F64", "bytes for"),
        ("F16", "bytes for"),
        ("I32", "\n"),
        ("I64", "bytes"),
    ]:
        yield f"a tensor of {kind}", of(dtype=kind), found
    for kind in ("F8_E4M3", "", "f32", "U8"):
        yield f"a tensor of {kind!r}", of(dtype=kind), "unusual kind"
    yield "a kind that is a list", of(dtype=["F32"]), "no kind, shape"
    shape = header[one]["shape"]
    yield "a shape of more axes", of(shape=[*shape, 1]), "\n"
    yield "a shape of one more", of(shape=[*shape[:-1], shape[-1] + 1]), "bytes for"
    yield "a negative shape", of(shape=[-x for x in shape]), "no kind, shape"
    yield "a shape of 2 ** 49 squared", of(shape=[2**49, 2**49]), "no kind, shape"
    yield "a shape of nothing and much", of(shape=[0, 2**49, 2**49]), "no kind, shape"
    yield "a shape of 40 axes", of(shape=[1] * 40), "no kind, shape"
    yield "true as a size", of(shape=[True, *shape[1:]]), "no kind, shape"
    yield "bytes behind", raw(text, data + bytes(4)), "bytes where"
    yield "bytes missing", raw(text, data[:-4]), "bytes where"
    again = json.dumps({one: header[one]}).encode()[1:]
    yield "a name twice", raw(text[:-1] + b", " + again), "occurs twice"
    field = b'"dtype": "F32", "dtype": "F16"'
    yield "a kind twice", raw(text.replace(b'"dtype": "F32"', field, 1)), "occurs twice"
    more = {**header, "x": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}
    yield "a tensor too many", raw(json.dumps(more).encode()), "\n"
    for digits in ("9" * 5000, "\u00b2", "-1"):
        name = f"albert.encoder.albert_layer_groups.{digits}.x"
        more = {**header, name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}
        yield f"a group {digits[:9]}", raw(json.dumps(more).encode()), "\n"
    less = {name: value for name, value in header.items() if name != last}
    rest = data[: header[last]["data_offsets"][0]]
    yield "a tensor left out", raw(json.dumps(less).encode(), rest), "\n"
    for size in (0, 1, len(text) - 1, len(text) + 1, len(whole), 2**31, 2**63, 2**64 - 1):
        yield f"a header of {size} bytes", raw(text, size=size), "\n"
    yield "a list as header", raw(b"[]", b""), "not a JSON object"
    yield "no JSON", raw(b"{'a': 1}", b""), "not JSON"
    yield "no UTF-8", raw(b'{"\xff": 1}', b""), "not JSON"
    yield "100,000 lists", raw(b"[" * 100_000, b""), "not JSON"
    yield "100,000 objects", raw(b'{"a":' * 100_000, b""), "not JSON"
    yield "a number of 10,000 digits", raw(b'{"a":' + b"9" * 10_000 + b"}", b""), "not JSON"
    yield "3 MB of header", raw(text.ljust(3 << 20)), "with a header of"


def json_cases(whole: bytes) -> Iterator[Case]:
    """A config with one value that cannot be, or a text that is no config."""
    values: dict[str, Any] = json.loads(whole)
    yield "written anew", json.dumps(values).encode(), None
    yield "with a mark of Unicode", b"\xef\xbb\xbf" + whole, None
    yield "with lines of another system", whole.replace(b"\n", b"\r\n"), None
    inside = values.get("config", values)
    numbers = [k for k, v in inside.items() if type(v) is int and not k.endswith("_id") and v > 0]
    numbers = [k for k in numbers if k not in ("cls_token_index", "down_scale_factor")]  # dead
    assert len(numbers) > 4

    def of(key: str, value: object) -> bytes:
        changed = {**inside, key: value}
        return json.dumps({**values, "config": changed} if "config" in values else changed).encode()

    for key in numbers:
        for value in (0, -1, 10**400, 2**31, 1.5, "4", [4], {}, True):
            yield f"{key} {str(value)[:12]!r}", of(key, value), "\n"
    # Only time and memory are asked for: some formats have one of these keys, and it is a depth.
    depths = [k for k in numbers if "layers" in k or "groups" in k or "inner" in k]
    for count in (1, 2, 3):
        deep = {**inside, **dict.fromkeys(depths[:count], 4096)}
        data = json.dumps({**values, "config": deep} if "config" in values else deep).encode()
        yield f"4096 as {count} depths", data, "?"
    for word in ("NaN", "Infinity", "-Infinity"):
        name = numbers[0]
        bad = of(name, "\u0000").replace(b'"\\u0000"', word.encode())
        yield f"{name} is {word}", bad, "\n"
    yield "one key twice", whole.rstrip()[:-1] + b', "x": 1, "x": 1}', "\n"
    for what, data in [
        ("nothing", b" "),
        ("a list", b"[]"),
        ("a number", b"7"),
        ("null", b"null"),
        ("an empty object", b"{}"),
        ("two objects", whole + whole),
        ("100,000 lists", b"[" * 100_000),
        ("100,000 objects", b'{"a":' * 100_000),
        ("UTF-16", whole.decode().encode("utf-16")),
        ("no UTF-8", whole.replace(b'"', b"\xff", 1)),
        ("zeros", bytes(len(whole))),
        ("9 MB of spaces", whole.ljust(HUGE)),
        ("9 MB of lists", b"[" + b"[]," * (HUGE // 3) + b"[]]"),
        ("a BERT", b'{"model_type": "bert", "hidden_size": 4}'),
    ]:
        yield what, data, "\n"


def vocabulary_cases(whole: bytes) -> Iterator[Case]:
    """vocab.txt"""
    lines = whole.decode().splitlines()
    yield "without its last end of line", whole[:-1], None
    yield "with lines of another system", whole.replace(b"\n", b"\r\n"), None
    for piece in WORDS[:5]:
        yield f"without {piece}", whole.replace(piece.encode(), b"x"), "lacks special pieces"
    yield "one piece more", whole + b"more\n", "does not fit"
    yield "one piece less", "\n".join(lines[:-1]).encode(), "does not fit"
    yield "no UTF-8", whole.replace(b"cat", b"c\xfft"), "not a WordPiece vocabulary"
    yield "UTF-16", whole.decode().encode("utf-16"), "not a WordPiece vocabulary"
    yield "blank lines", b"\n" * 9, "empty"
    yield "9 MB in one line", b"x" * HUGE, "larger than"
    yield "4 million lines", b"a\n" * (4 << 20), "larger than"
    many = b"".join(b"%x\n" % number for number in range(240_000))
    yield "240,000 pieces", whole + many, "does not fit"
    wide = "\U0001f600".encode() + b"x" * (7 << 20) + b"\n"
    yield "7 MB in one line with a wide letter", whole + wide, "larger than"


def settings_cases(whole: bytes) -> Iterator[Case]:
    """tokenizer_config.json"""
    yield "with a mark of Unicode", b"\xef\xbb\xbf" + whole, None
    for what, data in [
        ("a list", b"[]"),
        ("no JSON", b"{'a': 1}"),
        ("a text for yes", b'{"do_lower_case": "yes"}'),
        ("a number for yes", b'{"do_lower_case": 1}'),
        ("9 MB", b"{}".ljust(HUGE)),
        ("9 MB of lists", b"[" + b"[]," * (HUGE // 3) + b"[]]"),
        ("100,000 lists", b"[" * 100_000),
        ("no UTF-8", b'{"\xff": 1}'),
    ]:
        yield what, data, "settings of the tokenizer"


def index_json_cases(whole: bytes) -> Iterator[Case]:
    """model.safetensors.index.json"""
    values: dict[str, Any] = json.loads(whole)
    places: dict[str, Any] = values["weight_map"]
    first, other = list(places)[1], list(places)[-1]
    yield "written anew", json.dumps(values).encode(), None

    def of(**changed: object) -> bytes:
        return json.dumps({"weight_map": {**places, **changed}}).encode()

    for file in ("../x.safetensors", "/etc/passwd", "a/b", "", ".", "..", "a\\b", 3, None, ["x"]):
        yield f"a shard {file!r}", of(**{first: file}), "\n"
    yield "the index as a shard", of(**{first: "model.safetensors.index.json"}), "not a file of the"
    yield "a shard that is not there", of(**{first: "model-00009.safetensors"}), "\n"
    yield "a tensor in the other shard", of(**{first: places[other]}), "does not name"
    yield "a tensor too many", of(more=places[first]), "in the shards"
    less = {name: file for name, file in places.items() if name != first}
    yield "a tensor left out", json.dumps({"weight_map": less}).encode(), "does not name"
    yield "no map", b"{}", "no weight_map"
    yield "an empty map", b'{"weight_map": {}}', "no weight_map"
    yield "a list as map", b'{"weight_map": []}', "no weight_map"
    yield "2,000 shards", of(**{f"x{n}": f"{n}.safetensors" for n in range(2000)}), "1000 shards"
    yield "one tensor twice", b'{"weight_map": {"a": "b", "a": "b"}}', "\n"
    yield "9 MB of lists", b"[" + b"[]," * (HUGE // 3) + b"[]]", "bytes"
    yield "100,000 lists", b"[" * 100_000, "\n"
