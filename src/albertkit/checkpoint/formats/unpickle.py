"""Pickles of arrays, decoded by a machine of our own that runs nothing.

A pickle is a program. Here a name in it stays a name, and the few calls that files of arrays
consist of (`unpickle_allowed.CALLS`) are done by functions of ours. Any other name is refused
at once, before the rest is read. Nothing recurses, and texts and arrays of bytes are not copied out
of the file.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from typing import NoReturn

from albertkit.checkpoint.formats.memory_map import Bytes
from albertkit.checkpoint.formats.pickled_objects import refused_object
from albertkit.checkpoint.formats.unpickle_allowed import (
    CALLS,
    CLASSES,
    SHORT,
    Ordered,
    Places,
    Symbol,
    Text,
    build,
    damaged,
    refused,
    storage,
)
from albertkit.errors import CheckpointError

# An ALBERT of 96 layers without sharing takes some 50,000 steps; each step makes at most one
# object of some 150 bytes.
MAX_STEPS = 250_000
_MAX_LINE = 1 << 16
_MAX_NUMBER = 16  # bytes; torch's magic number has ten
_MAX_DIGITS = 40
_MAX_TEXT = 8 << 20  # bytes of all short texts together; Python may keep four times as much


def load(data: Bytes, start: int = 0, *, storages: bool = False) -> tuple[object, int]:
    """Value of the pickle that begins at `start`, and the place behind it.

    Args:
        data: the file.
        start: where the pickle begins.
        storages: whether it may speak of torch's storages.

    Returns:
        dict, list, tuple, str, numbers, and the classes of `unpickle_allowed`.

    Raises:
        CheckpointError: damaged, or it asks for something that is not on the list.
    """
    return _Machine(data, start, storages).run()


class _Machine:
    """The state of one pickle: a stack, a memo, and the place in the file."""

    def __init__(self, data: Bytes, start: int, storages: bool) -> None:
        self.data = data.data
        self.place = start
        self.storages = storages
        self.places = Places(data)
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.text_left = _MAX_TEXT

    def run(self) -> tuple[object, int]:
        for _ in range(MAX_STEPS):
            code = self.take(1)[0]
            if code == 0x2E:  # STOP
                if len(self.stack) != 1 or self.marks:
                    self.fail("an end with other than one value")
                return self.stack[0], self.place
            step = _STEPS.get(code)
            if step is None:
                self.fail(f"the unknown step {code:#04x}")
            step(self)
        raise damaged(f"more than {MAX_STEPS} steps", self.place)

    def fail(self, found: str) -> NoReturn:
        raise damaged(found, self.place)

    def take(self, size: int) -> memoryview:
        if size > len(self.data) - self.place:
            self.fail(f"{size} bytes where {len(self.data) - self.place} are left")
        self.place += size
        return self.data[self.place - size : self.place]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def line(self) -> bytes:
        for size in (128, 4096, _MAX_LINE):  # most are short, and there may be many
            piece = bytes(self.data[self.place : self.place + size])
            end = piece.find(b"\n")
            if end >= 0:
                break
        else:
            self.fail("a line without end")
        self.place += end + 1
        return piece[:end]

    def line_text(self) -> str:
        return self.decoded(self.line(), "utf-8")

    def decoded(self, raw: bytes, encoding: str) -> str:
        self.text_left -= len(raw)
        if self.text_left < 0:
            self.fail(f"more than {_MAX_TEXT} bytes of texts")
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            self.fail("a text that is not UTF-8")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            self.fail("a value taken from an empty stack")
        return self.stack.pop()

    def top(self) -> object:
        self.push(value := self.pop())
        return value

    def pop_mark(self) -> list[object]:
        if not self.marks:
            self.fail("an end without a beginning")
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def pop_tuple(self) -> tuple[object, ...]:
        value = self.pop()
        if type(value) is not tuple:
            self.fail("a call without arguments")
        return value

    # Numbers and texts

    def int_line(self) -> None:
        raw = self.line()
        if raw in (b"00", b"01"):
            self.push(raw == b"01")
        else:
            self.push(self.parsed(raw, int))

    def parsed(self, raw: bytes, kind: Callable[[bytes], object]) -> object:
        if len(raw) > _MAX_DIGITS:
            self.fail("a long number")
        try:
            return kind(raw)
        except ValueError:
            self.fail("something that is not a number")

    def long(self, size: int) -> None:
        length = self.number(size)
        if length > _MAX_NUMBER:
            self.fail(f"a number of {length} bytes")
        self.push(int.from_bytes(self.take(length), "little", signed=True))

    def unicode(self, size: int) -> None:
        length = self.number(size)
        start = self.place
        raw = self.take(length)
        self.push(Text(start, length) if length > SHORT else self.decoded(bytes(raw), "utf-8"))

    def old_text(self, size: int) -> None:
        """A text of Python 2: a name, or the bytes of an array."""
        length = self.number(size)
        start = self.place
        raw = self.take(length)
        if length > SHORT:
            self.push(self.places.raw(start, length))
        else:
            self.push(self.decoded(bytes(raw), "latin-1"))

    def old_text_line(self) -> None:
        raw = self.line()
        if len(raw) < 2 or raw[:1] != raw[-1:] or raw[:1] not in (b"'", b'"'):
            self.fail("a text without quotation marks")
        try:
            value = codecs.escape_decode(raw[1:-1])[0]
        except ValueError:
            self.fail("a text with a wrong escape")
        self.push(self.decoded(value, "latin-1"))

    def raw(self, size: int) -> None:
        length = self.number(size)
        start = self.place
        self.take(length)
        self.push(self.places.raw(start, length))

    # Containers

    def make_dict(self) -> None:
        values = self.pop_mark()
        self.push({})
        self.fill(self.top(), values)

    def append(self) -> None:
        value = self.pop()
        self.extend([value])

    def extend(self, values: list[object]) -> None:
        target = self.top()
        if type(target) is not list:
            self.fail("values for something that is not a list")
        target.extend(values)

    def set_item(self) -> None:
        value = self.pop()
        key = self.pop()
        self.fill(self.top(), [key, value])

    def set_items(self) -> None:
        values = self.pop_mark()
        self.fill(self.top(), values)

    def fill(self, target: object, values: list[object]) -> None:
        if type(target) not in (dict, Ordered) or len(values) % 2:
            self.fail("values for something that is not a dict")
        assert isinstance(target, dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not (type(key) is str or type(key) is int and abs(key) < 1 << 31):
                self.fail(f"a key of the kind {type(key).__name__}")
            target[key] = value

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    # Memo

    def get(self, key: int) -> None:
        if key not in self.memo:
            self.fail("a value that was never kept")
        self.push(self.memo[key])

    def put(self, key: int) -> None:
        if not 0 <= key < 1 << 32:
            self.fail("a place in the memo that cannot be")
        self.memo[key] = self.top()

    def index_line(self) -> int:
        value = self.parsed(self.line(), int)
        assert isinstance(value, int)
        return value

    # Names and calls

    def name(self, module: object, name: object) -> None:
        if type(module) is not str or type(name) is not str:
            self.fail("a name that is not text")
        symbol = Symbol(module, name)
        if symbol not in CALLS and symbol not in CLASSES:
            raise refused_object(module, name)
        self.push(symbol)

    def stack_name(self) -> None:
        name = self.pop()
        self.name(self.pop(), name)

    def call(self) -> None:
        arguments = self.pop_tuple()
        function = self.pop()
        if not isinstance(function, Symbol):
            self.fail("a call of something that is not a name")
        if function not in CALLS:
            raise refused(f"a call of {function}")
        self.push(CALLS[function](self.places, arguments))

    def set_state(self) -> None:
        state = self.pop()
        build(self.places, self.top(), state)

    def storage(self) -> None:
        if not self.storages:
            raise refused("a persistent id")
        self.push(storage(self.places, self.pop()))

    def refuse(self, what: str) -> NoReturn:
        raise refused(what)

    def old_object(self) -> NoReturn:
        raise refused(f"{self.line_text()}.{self.line_text()}")


def _float(machine: _Machine) -> None:
    machine.push(struct.unpack(">d", machine.take(8))[0])


_STEPS: dict[int, Callable[[_Machine], object]] = {
    0x80: lambda m: m.number(1) <= 5 or m.fail("an unknown protocol"),  # PROTO
    0x95: lambda m: m.number(8) <= len(m.data) - m.place or m.fail("a frame beyond the end"),
    ord("("): lambda m: m.marks.append(len(m.stack)),  # MARK
    ord("0"): lambda m: m.pop(),
    ord("1"): lambda m: m.pop_mark(),
    ord("2"): lambda m: m.push(m.top()),  # DUP
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("I"): lambda m: m.int_line(),
    ord("J"): lambda m: m.push(int.from_bytes(m.take(4), "little", signed=True)),
    ord("K"): lambda m: m.push(m.number(1)),
    ord("M"): lambda m: m.push(m.number(2)),
    ord("L"): lambda m: m.push(m.parsed(m.line().removesuffix(b"L"), int)),
    0x8A: lambda m: m.long(1),
    0x8B: lambda m: m.long(4),
    ord("F"): lambda m: m.push(m.parsed(m.line(), float)),
    ord("G"): _float,
    ord("S"): lambda m: m.old_text_line(),
    ord("T"): lambda m: m.old_text(4),
    ord("U"): lambda m: m.old_text(1),
    ord("V"): lambda m: m.push(m.decoded(m.line(), "raw_unicode_escape")),
    ord("X"): lambda m: m.unicode(4),
    0x8C: lambda m: m.unicode(1),
    0x8D: lambda m: m.unicode(8),
    ord("B"): lambda m: m.raw(4),
    ord("C"): lambda m: m.raw(1),
    0x8E: lambda m: m.raw(8),
    0x96: lambda m: m.raw(8),  # BYTEARRAY8
    ord("]"): lambda m: m.push([]),
    ord("}"): lambda m: m.push({}),
    ord(")"): lambda m: m.push(()),
    ord("l"): lambda m: m.push(m.pop_mark()),
    ord("d"): lambda m: m.make_dict(),
    ord("t"): lambda m: m.push(tuple(m.pop_mark())),
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("a"): lambda m: m.append(),
    ord("e"): lambda m: m.extend(m.pop_mark()),
    ord("s"): lambda m: m.set_item(),
    ord("u"): lambda m: m.set_items(),
    ord("g"): lambda m: m.get(m.index_line()),
    ord("h"): lambda m: m.get(m.number(1)),
    ord("j"): lambda m: m.get(m.number(4)),
    ord("p"): lambda m: m.put(m.index_line()),
    ord("q"): lambda m: m.put(m.number(1)),
    ord("r"): lambda m: m.put(m.number(4)),
    0x94: lambda m: m.put(len(m.memo)),  # MEMOIZE
    ord("c"): lambda m: m.name(m.line_text(), m.line_text()),  # GLOBAL
    0x93: lambda m: m.stack_name(),
    ord("R"): lambda m: m.call(),
    0x81: lambda m: m.call(),  # NEWOBJ
    ord("b"): lambda m: m.set_state(),
    ord("Q"): lambda m: m.storage(),  # BINPERSID
    ord("P"): lambda m: m.refuse(f"the persistent id {m.line_text()[:80]}"),
    ord("i"): lambda m: m.old_object(),  # INST
    ord("o"): lambda m: m.refuse("an object of the old form (OBJ)"),
    0x82: lambda m: m.refuse(f"the extension code {m.number(1)}"),
    0x83: lambda m: m.refuse(f"the extension code {m.number(2)}"),
    0x84: lambda m: m.refuse(f"the extension code {m.number(4)}"),
    0x92: lambda m: m.refuse("a call with keywords (NEWOBJ_EX)"),
    0x8F: lambda m: m.refuse("a set"),
    0x90: lambda m: m.refuse("a set"),
    0x91: lambda m: m.refuse("a set"),
    0x97: lambda m: m.refuse("a buffer outside the file"),
    0x98: lambda m: m.refuse("a buffer outside the file"),
}


def expect_dict(value: object) -> dict[str, object]:
    """The value of a pickle as a dict with texts as keys.

    Raises:
        CheckpointError: it is something else.
    """
    if not isinstance(value, dict) or not all(type(key) is str for key in value):
        raise CheckpointError(
            "The pickle holds no named tensors.",
            expected="a dict of tensors",
            found=type(value).__name__,
            fix="save the state dict of the model",
        )
    return value
