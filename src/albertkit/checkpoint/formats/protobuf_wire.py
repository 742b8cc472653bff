"""Protocol buffers as bytes on the wire: fields by number, every length checked.

Enough for TensorFlow's index and graph files and for ONNX, without their generated classes.
"""

from __future__ import annotations

from collections.abc import Iterator

from albertkit.errors import CheckpointError

# A field: its number and value. Integers come as int, everything else as bytes.
Field = tuple[int, int | memoryview]
_MAX_VARINT_BYTES = 10


def varint(data: memoryview, place: int) -> tuple[int, int]:
    """An unsigned number at `place`, and the place after it.

    Raises:
        CheckpointError: it does not end within ten bytes or before the end of the data.
    """
    value = 0
    for shift in range(_MAX_VARINT_BYTES):
        if place + shift >= len(data):
            break
        byte = data[place + shift]
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, place + shift + 1
    raise damaged("a number without end", place)


def fields(data: memoryview, most: int | None = None) -> Iterator[Field]:
    """The fields of one message in their order; groups are refused.

    Args:
        data: the message.
        most: how many fields it may have; a bound on the time.

    Raises:
        CheckpointError: a length beyond the end, an unknown kind of field, or too many of them.
    """
    place = count = 0
    while place < len(data):
        count += 1
        if most is not None and count > most:
            raise damaged(f"more than {most} fields", place)
        key, place = varint(data, place)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise damaged("a field with number 0", place)
        if kind == 0:
            value, place = varint(data, place)
            yield number, value
            continue
        if kind == 2:
            size, place = varint(data, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise damaged(f"a field of kind {kind}", place)
        if size > len(data) - place:
            raise damaged(f"a field of {size} bytes where {len(data) - place} are left", place)
        yield number, data[place : place + size]
        place += size


class Limited:
    """`fields` of many messages, with a bound on their number in all: one on the time."""

    def __init__(self, most: int) -> None:
        self.most = self.left = most

    def __call__(self, data: memoryview) -> Iterator[Field]:
        """The fields of one more message.

        Raises:
            CheckpointError: damaged, or too many of them.
        """
        for item in fields(data):
            self.left -= 1
            if self.left < 0:
                raise damaged(f"more than {self.most} fields", 0)
            yield item


def signed(value: int) -> int:
    """An int64 as it was before it became an unsigned varint."""
    return value - (1 << 64) if value >= 1 << 63 else value


def text(value: int | memoryview) -> str:
    """A string field.

    Raises:
        CheckpointError: not UTF-8, or not a string.
    """
    if isinstance(value, int):
        raise damaged("a number where a text is expected", 0)
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise damaged("a text that is not UTF-8", error.start) from error


def message(value: int | memoryview) -> memoryview:
    """A field that holds bytes or another message."""
    if isinstance(value, int):
        raise damaged("a number where a message is expected", 0)
    return value


def number(value: int | memoryview) -> int:
    """A field that holds an integer."""
    if not isinstance(value, int):
        raise damaged("bytes where a number is expected", 0)
    return value


def damaged(found: str, place: int) -> CheckpointError:
    """The error of every broken message."""
    return CheckpointError(
        "A message in the file is damaged.",
        expected="a protocol buffer",
        found=f"{found}, at byte {place} of its message",
        fix="copy or download the file again",
    )
