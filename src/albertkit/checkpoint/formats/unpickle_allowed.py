"""What pickles of arrays may hold, and the functions that stand in for the calls in them."""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from albertkit.checkpoint.formats.memory_map import Array, Bytes, view
from albertkit.errors import CheckpointError

SHORT = 1 << 16  # bytes; a longer text can only be the bytes of an array
MAX_AXES = 32
# Kinds of numbers: torch's storages, and numpy's codes.
TORCH_KINDS = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
}
NUMPY_CODES = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1")


@dataclass(frozen=True)
class Symbol:
    """A name in a pickle. It is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"[:120]


# The classes below are compared by identity: what a stranger nested must not be walked through.
@dataclass(frozen=True, eq=False)
class Raw:
    """Bytes: a part of the file, or made from a text."""

    data: Bytes


class Ordered(dict[str, object]):
    """A collections.OrderedDict; Python's dicts are ordered anyway."""


@dataclass(frozen=True, eq=False)
class Text:
    """A long text that stays in the file."""

    start: int
    size: int


@dataclass(frozen=True)
class Storage:
    """A row of numbers of torch, known by its key; the numbers are elsewhere in the file."""

    key: str
    kind: str  # a key of TORCH_KINDS
    count: int


@dataclass(frozen=True, eq=False)
class TorchTensor:
    """A tensor of torch: a part of a storage. Offset and strides count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(eq=False)
class Kind:
    """A numpy dtype: code such as "f4", and the order of bytes."""

    code: str
    order: str = "<"


@dataclass(eq=False)
class Stored:
    """A numpy array; empty until its state is set."""

    array: Array | None = None


class Places:
    """The file that a pickle is in, and what was made beside it."""

    def __init__(self, data: Bytes) -> None:
        self.data = data
        self.left = len(data)  # bytes that may still be made
        self.keys: dict[str, Storage] = {}

    def raw(self, start: int, size: int) -> Raw:
        """Bytes of the file."""
        return Raw(self.data[start : start + size])

    def encode(self, text: object, encoding: object) -> Raw:
        """A text as the bytes that Python 2 kept in it."""
        if encoding not in ("latin1", "latin-1"):
            raise refused("_codecs.encode to something other than latin1")
        if isinstance(text, str):
            source = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
        elif isinstance(text, Text):
            source = self.data[text.start : text.start + text.size]
        else:
            raise damaged("something that is not text", 0)
        self.left -= len(source)
        if self.left < 0:
            raise damaged("the same text decoded over and over", 0)
        return Raw(_latin1(source))


def _latin1(source: Bytes) -> Bytes:
    """The characters of a UTF-8 text, each as one byte; piece by piece, to save memory."""
    made, size = np.empty(len(source), np.uint8), 0
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(source), 1 << 20):
            piece = decoder.decode(source[start : start + (1 << 20)].tobytes()).encode("latin-1")
            made[size : size + len(piece)] = np.frombuffer(piece, np.uint8)
            size += len(piece)
        decoder.decode(b"", True)
    except UnicodeError as error:
        raise damaged("a text that holds no bytes", 0) from error
    return made[:size]


def refused(name: str) -> CheckpointError:
    """The error for something that the file wants to run or that is not on the list."""
    return CheckpointError(
        "The pickle asks for more than arrays, and is not opened.",
        expected="arrays, numbers and names",
        found=name[:120],
        fix="get the model as a safetensors file from a source you trust",
    )


def damaged(found: str, place: int) -> CheckpointError:
    """The error of every broken pickle."""
    return CheckpointError(
        "The pickle is damaged.",
        expected="a complete pickle of arrays",
        found=f"{found}, near byte {place}" if place else found,
        fix="copy or download the file again",
    )


def _numbers(values: object) -> tuple[int, ...]:
    """A shape or strides."""
    if not isinstance(values, tuple | list) or len(values) > MAX_AXES:
        raise damaged("something that is not a shape", 0)
    if not all(type(value) is int and value >= 0 for value in values):
        raise damaged("something that is not a shape", 0)
    if math.prod(max(value, 1) for value in values) >= 1 << 50:
        raise damaged("a shape that no file can hold", 0)
    return tuple(values)


def _named(value: object) -> str:
    """A value for a message: never walked through, it may be nested without end."""
    return str(value)[:80] if isinstance(value, str | Symbol) else type(value).__name__


def _arguments(arguments: Sequence[object], least: int, most: int, function: str) -> None:
    if not least <= len(arguments) <= most:
        raise damaged(f"{function} with {len(arguments)} arguments", 0)


def _ordered(places: Places, arguments: tuple[object, ...]) -> object:
    if arguments and not (len(arguments) == 1 and type(arguments[0]) is list and not arguments[0]):
        raise refused("collections.OrderedDict with arguments")
    return Ordered()


def _size(places: Places, arguments: tuple[object, ...]) -> object:
    _arguments(arguments, 1, 1, "torch.Size")
    return _numbers(arguments[0])


def _tensor(places: Places, arguments: tuple[object, ...]) -> object:
    """torch._utils._rebuild_tensor(_v2): storage, offset, shape, strides, ..."""
    _arguments(arguments, 4, 7, "a torch tensor")
    source, offset = arguments[0], arguments[1]
    if not isinstance(source, Storage) or type(offset) is not int or offset < 0:
        raise damaged("a torch tensor without storage", 0)
    shape, strides = _numbers(arguments[2]), _numbers(arguments[3])
    if len(shape) != len(strides):
        raise damaged("a shape and strides of different length", 0)
    count, last = 1, offset
    for size, stride in zip(shape, strides, strict=True):
        count *= size
        last += max(size - 1, 0) * stride
    # A shape larger than its storage would be numbers repeated: nothing that is saved.
    if count > source.count or (count and last >= source.count):
        raise damaged(f"a tensor {shape} beyond its storage of {source.count}"[:200], 0)
    return TorchTensor(source, offset, shape, strides)


def _parameter(places: Places, arguments: tuple[object, ...]) -> object:
    """torch._utils._rebuild_parameter: a tensor, whether it is trained, hooks, perhaps a state."""
    _arguments(arguments, 3, 4, "a torch parameter")
    if not isinstance(arguments[0], TorchTensor):
        raise damaged("a torch parameter without tensor", 0)
    return arguments[0]


def _reconstruct(places: Places, arguments: tuple[object, ...]) -> object:
    _arguments(arguments, 3, 3, "numpy's _reconstruct")
    if arguments[0] != Symbol("numpy", "ndarray"):
        raise refused(f"an array of the class {_named(arguments[0])}")
    return Stored()


def _dtype(places: Places, arguments: tuple[object, ...]) -> object:
    _arguments(arguments, 1, 3, "numpy.dtype")
    code = arguments[0]
    if isinstance(code, str) and code[:1] in "<>|=":
        order, code = code[:1], code[1:]
    else:
        order = "<"
    if code not in NUMPY_CODES:
        raise refused(f"numpy numbers of the kind {_named(code)}")
    return Kind(str(code), ">" if order == ">" else "<")


def _array(raw: object, kind: object, shape: object, fortran: bool) -> Array:
    """An array over the bytes of the file."""
    if not isinstance(kind, Kind):
        raise damaged("an array without dtype", 0)
    if isinstance(raw, str):  # a short text of Python 2
        try:
            raw = Raw(np.frombuffer(raw.encode("latin-1"), np.uint8))
        except UnicodeEncodeError as error:
            raise damaged("an array of something other than bytes", 0) from error
    if not isinstance(raw, Raw):
        raise damaged("an array of something other than bytes", 0)
    sizes = _numbers(shape)
    dtype = np.dtype(kind.order + kind.code)
    array = view(raw.data, 0, dtype, sizes)
    if array.nbytes != len(raw.data):
        raise damaged(f"{len(raw.data)} bytes for an array {sizes}"[:200], 0)
    return array.reshape(-1).reshape(sizes, order="F") if fortran else array


def _from_buffer(places: Places, arguments: tuple[object, ...]) -> object:
    _arguments(arguments, 4, 4, "numpy's _frombuffer")
    raw, kind, shape, order = arguments
    if order not in ("C", "F"):
        raise damaged("an unknown order of an array", 0)
    return Stored(_array(raw, kind, shape, order == "F"))


def _scalar(places: Places, arguments: tuple[object, ...]) -> object:
    _arguments(arguments, 2, 2, "a numpy number")
    return Stored(_array(arguments[1], arguments[0], (), False))


def _encode(places: Places, arguments: tuple[object, ...]) -> object:
    _arguments(arguments, 2, 2, "_codecs.encode")
    return places.encode(*arguments)


def _tuple(places: Places, arguments: tuple[object, ...]) -> object:
    """Paddle writes a parameter as tuple((name, array))."""
    _arguments(arguments, 1, 1, "tuple")
    if type(arguments[0]) not in (tuple, list):
        raise damaged("a tuple of something that is not one", 0)
    assert isinstance(arguments[0], tuple | list)
    return tuple(arguments[0])


def _bytes(places: Places, arguments: tuple[object, ...]) -> object:
    """The empty bytes of protocol 2."""
    _arguments(arguments, 0, 0, "bytes")
    return places.raw(0, 0)


def build(places: Places, target: object, state: object) -> None:
    """What the step BUILD does to an object: nothing is called, no attribute set.

    Raises:
        CheckpointError: an object that has no state here.
    """
    if isinstance(target, Stored):
        if target.array is not None or not isinstance(state, tuple) or len(state) != 5:
            raise damaged("an array with a state that is not one", 0)
        _, shape, kind, fortran, raw = state
        target.array = _array(raw, kind, shape, fortran in (True, 1))
    elif isinstance(target, Kind):
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise damaged("a dtype with a state that is not one", 0)
        if any(part is not None for part in state[2:5]):
            raise refused("numpy numbers with fields")
        target.order = ">" if state[1] == ">" else "<"
    elif isinstance(target, Ordered):
        if not isinstance(state, dict) or set(state) - {"_metadata"}:
            raise refused("attributes for a dict")
    else:
        raise refused(f"a state for {type(target).__name__}")


def storage(places: Places, pid: object) -> Storage:
    """torch's persistent id: ('storage', type, key, device, count), old ones with None behind.

    Raises:
        CheckpointError: another form, or a key that had another kind or size before.
    """
    if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
        raise refused("a persistent id that is not a storage")
    _, symbol, key, device, count = pid[:5]
    if len(pid) == 6 and pid[5] is not None:
        raise refused("a storage inside another")
    if not isinstance(symbol, Symbol) or symbol.module != "torch" or type(key) is not str:
        raise refused("a persistent id that is not a storage")
    kind = symbol.name.removesuffix("Storage")
    if kind not in TORCH_KINDS or type(device) is not str:
        raise refused(f"a storage of the kind {_named(symbol)}")
    if type(count) is not int or not 0 <= count < 1 << 50:
        raise damaged("a storage without size", 0)
    made = Storage(key, kind, count)
    if places.keys.setdefault(key, made) != made:
        raise damaged(f"the storage {key[:40]} with two kinds or sizes", 0)
    return made


Call = Callable[[Places, tuple[object, ...]], object]
# Everything that may be called, with what is done instead.
CALLS: dict[Symbol, Call] = {
    Symbol("collections", "OrderedDict"): _ordered,
    Symbol("torch", "Size"): _size,
    Symbol("torch._utils", "_rebuild_tensor"): _tensor,
    Symbol("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Symbol("torch._utils", "_rebuild_parameter"): _parameter,
    Symbol("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    Symbol("numpy", "dtype"): _dtype,
    Symbol("_codecs", "encode"): _encode,
    **{Symbol(module, "tuple"): _tuple for module in ("builtins", "__builtin__")},
    **{Symbol(module, "bytes"): _bytes for module in ("builtins", "__builtin__")},
}
for _core in ("numpy.core", "numpy._core"):
    CALLS[Symbol(f"{_core}.multiarray", "_reconstruct")] = _reconstruct
    CALLS[Symbol(f"{_core}.multiarray", "scalar")] = _scalar
    CALLS[Symbol(f"{_core}.numeric", "_frombuffer")] = _from_buffer
# Names that may be spoken of and are never called.
CLASSES = {
    Symbol("numpy", "ndarray"),
    *(Symbol("torch", f"{kind}Storage") for kind in TORCH_KINDS),
}
