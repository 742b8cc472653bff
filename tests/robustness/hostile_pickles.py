"""Pickles that want to run something, or to fill the memory, and the files they come in.

Every gadget of `gadgets` would make the canary file if anybody ran it.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = 0x1950A86A20F9469CFC6C


@dataclass(frozen=True)
class Hostile:
    """A pickle without its protocol and end.

    name: what it tries. body: its steps. found: a piece of the error that it must give. live:
    whether pickle.loads would make the canary file (the others abuse readers of arrays only).
    """

    name: str
    body: bytes
    found: str
    live: bool = True
    protocol: int = 4

    @property
    def pickle(self) -> bytes:
        """The whole pickle."""
        return b"\x80" + bytes([self.protocol]) + self.body + b"."


# Steps


def glob(module: str, name: str) -> bytes:
    """A name, by GLOBAL."""
    return f"c{module}\n{name}\n".encode()


def stack_glob(module: str, name: str) -> bytes:
    """A name, by STACK_GLOBAL; it may have dots."""
    return text(module) + text(name) + b"\x93"


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def whole(value: int) -> bytes:
    raw = value.to_bytes(9, "little", signed=True)
    return b"\x8a\x09" + raw


def raw_bytes(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def many(*items: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(items) + b"t"


def listed(*items: bytes) -> bytes:
    """A list."""
    return b"](" + b"".join(items) + b"e"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + many(*arguments) + b"R"


def method(target: bytes, name: str, *arguments: bytes) -> bytes:
    """target.name(...), by operator.methodcaller."""
    return call(call(glob("operator", "methodcaller"), text(name), *arguments), target)


def storage(count: int = 6, key: str = "0", kind: bytes = glob("torch", "FloatStorage")) -> bytes:
    """torch's persistent id."""
    return many(text("storage"), kind, text(key), text("cpu"), whole(count)) + b"Q"


def tensor(
    source: bytes, offset: int = 0, shape: tuple[int, ...] = (2, 3), strides: object = (3, 1)
) -> bytes:
    assert isinstance(strides, tuple)
    return call(
        glob("torch._utils", "_rebuild_tensor_v2"),
        source,
        whole(offset),
        many(*map(whole, shape)),
        many(*map(whole, strides)),
        b"\x89",
        call(glob("collections", "OrderedDict")),
    )


def array(code: bytes, shape: bytes, raw: bytes) -> bytes:
    """A numpy array in the usual form."""
    made = call(
        glob("numpy.core.multiarray", "_reconstruct"),
        glob("numpy", "ndarray"),
        many(whole(0)),
        raw_bytes(b"b"),
    )
    kind = call(glob("numpy", "dtype"), code, b"\x89", b"\x88")
    return made + many(whole(1), shape, kind, b"\x89", raw) + b"b"


def entry(name: str, value: bytes) -> bytes:
    """A dict with one entry."""
    return b"}" + text(name) + value + b"s"


# What would be run


def gadgets(canary: Path) -> Iterator[Hostile]:
    """Calls that make the canary file."""
    path, shell, python = str(canary), f"touch {canary}", f"open({str(canary)!r}, 'w').close()"
    plain: list[tuple[str, str, tuple[bytes, ...]]] = [
        ("os", "system", (text(shell),)),
        ("posix", "system", (text(shell),)),
        ("os", "popen", (text(shell),)),
        ("os", "mkdir", (text(path),)),
        ("posix", "mkdir", (text(path),)),
        ("os", "makedirs", (text(path),)),
        ("os", "symlink", (text("/"), text(path))),
        ("os", "spawnlp", (whole(0), text("touch"), text("touch"), text(path))),
        ("subprocess", "call", (listed(text("touch"), text(path)),)),
        ("subprocess", "run", (listed(text("touch"), text(path)),)),
        ("subprocess", "Popen", (listed(text("touch"), text(path)),)),
        ("subprocess", "check_output", (listed(text("touch"), text(path)),)),
        ("subprocess", "getoutput", (text(shell),)),
        ("builtins", "eval", (text(python),)),
        ("builtins", "exec", (text(python),)),
        ("__builtin__", "eval", (text(python),)),
        ("builtins", "open", (text(path), text("w"))),
        ("io", "open", (text(path), text("w"))),
        ("_io", "FileIO", (text(path), text("w"))),
        ("codecs", "open", (text(path), text("w"))),
        ("runpy", "_run_code", (text(python), b"}")),
        ("pty", "spawn", (listed(text("touch"), text(path)),)),
        ("timeit", "timeit", (text(python), text("pass"), b"c_operator\nindex\n", whole(1))),
        ("cProfile", "run", (text(python),)),
        ("profile", "run", (text(python),)),
        ("shutil", "copyfile", (text("/etc/passwd"), text(path))),
        ("logging", "FileHandler", (text(path),)),
        ("zipfile", "ZipFile", (text(path), text("w"))),
        ("tarfile", "open", (text(path), text("w"))),
        ("sqlite3", "connect", (text(path),)),
        ("multiprocessing.util", "spawnv_passfds", _spawn(path)),
        ("distutils.spawn", "spawn", (listed(text("touch"), text(path)),)),
        ("numpy", "savetxt", (text(path), listed(whole(1)))),
        ("numpy.testing._private.utils", "runstring", (text(python), b"}")),
        ("numpy.f2py.crackfortran", "myeval", (text(python),)),
        ("torch", "save", (whole(1), text(path))),
        ("torch.storage", "_load_from_bytes", (raw_bytes(stream(_system(shell))),)),
        ("torch.fx.graph", "_exec_with_source", (text(python), b"}")),
    ]
    # In these the canary is made by a later step, or only by a file that is not there.
    dead = {
        ("timeit", "timeit"): "an odd timer",
        ("distutils.spawn", "spawn"): "gone from Python",
        ("torch.fx.graph", "_exec_with_source"): "depends on torch's version",
        ("numpy.testing._private.utils", "runstring"): "depends on numpy's version",
        ("numpy.f2py.crackfortran", "myeval"): "depends on numpy's version",
    }
    for module, name, arguments in plain:
        function = glob(module, name)
        yield Hostile(
            f"{module}.{name}",
            call(function, *arguments),
            f"{module}.{name}",
            (module, name) not in dead,
            2 if module == "__builtin__" else 4,  # newer ones know Python 3's names only
        )
    yield from _longer(shell, python, path)
    yield from _forms(shell)


def _spawn(path: str) -> tuple[bytes, ...]:
    return (raw_bytes(b"/usr/bin/touch"), listed(text("touch"), text(path)), many())


def _system(shell: str) -> bytes:
    return call(glob("os", "system"), text(shell))


def _longer(shell: str, python: str, path: str) -> Iterator[Hostile]:
    """Gadgets of several calls."""
    module = call(glob("builtins", "__import__"), text("os"))
    yield Hostile(
        "getattr of __import__",
        call(call(glob("builtins", "getattr"), module, text("system")), text(shell)),
        "builtins.getattr",
    )
    module = call(glob("importlib", "import_module"), text("os"))
    yield Hostile("importlib", method(module, "system", text(shell)), "operator.methodcaller")
    yield Hostile(
        "importlib first",
        call(call(glob("operator", "attrgetter"), text("system")), module) + text(shell) + b"\x85R",
        "operator.attrgetter",
    )
    yield Hostile(
        "pkgutil",
        call(call(glob("pkgutil", "resolve_name"), text("os:system")), text(shell)),
        "pkgutil.resolve_name",
    )
    library = call(glob("ctypes", "CDLL"), b"N")
    raw = raw_bytes(shell.encode())
    yield Hostile("ctypes", method(library, "system", raw), "operator.methodcaller")
    yield Hostile(
        "ctypes by getattr",
        call(call(glob("builtins", "getattr"), library, text("system")), raw),
        "builtins.getattr",
    )
    interpreter = call(glob("code", "InteractiveInterpreter"))
    yield Hostile("code", method(interpreter, "runsource", text(python)), "operator.methodcaller")
    browser = call(glob("webbrowser", "GenericBrowser"), listed(text("touch"), text("%s")))
    yield Hostile("webbrowser", method(browser, "open", text(path)), "operator.methodcaller")
    place = call(glob("pathlib", "PosixPath"), text(path))
    yield Hostile("pathlib", method(place, "touch"), "operator.methodcaller")
    compiled = call(glob("builtins", "compile"), text(python), text("x"), text("exec"))
    yield Hostile("compile", call(glob("builtins", "exec"), compiled), "builtins.exec")
    partial = call(glob("functools", "partial"), glob("os", "system"), text(shell))
    yield Hostile("functools.partial", call(partial), "functools.partial")
    mapped = call(glob("builtins", "map"), glob("os", "system"), listed(text(shell)))
    yield Hostile("map", call(glob("builtins", "list"), mapped), "builtins.list")
    reduced = call(
        glob("functools", "reduce"), glob("builtins", "eval"), listed(text(python), b"}")
    )
    yield Hostile("functools.reduce", reduced, "functools.reduce")
    inner = b"\x80\x04" + _system(shell) + b"."
    for module_name in ("pickle", "_pickle"):
        again = call(glob(module_name, "loads"), raw_bytes(inner))
        yield Hostile(f"{module_name}.loads", again, f"{module_name}.loads")
    file = call(glob("_io", "BytesIO"), raw_bytes(stream(_system(shell))))
    for module_name in ("torch", "torch.serialization", "torch.jit", "torch.hub"):
        yield Hostile(
            f"{module_name}.load",
            call(glob(module_name, "load"), file),
            f"{module_name}.load",
            False,
        )
    file = call(glob("_io", "BytesIO"), raw_bytes(b"\x93NUMPY\1\0"))
    yield Hostile(
        "numpy.load", call(glob("numpy", "load"), file, b"N", b"\x88"), "numpy.load", False
    )


def _forms(shell: str) -> Iterator[Hostile]:
    """The same call in other forms of the language."""
    system, good = _system(shell), entry("weight", tensor(storage()))
    yield Hostile("before the dict", system + b"0" + good, "os.system")
    yield Hostile("before the dict, kept", system + b"\x940" + good, "os.system")
    yield Hostile("before the dict, in a marked pile", b"(" + system + b"1" + good, "os.system")
    yield Hostile("inside the dict", entry("weight", system), "os.system")
    yield Hostile("as a key", b"}" + system + b"K\1s", "os.system")
    yield Hostile("behind the dict", b"}" + system + b"0", "os.system")
    yield Hostile("deep in a list", b"]" * 50 + system + b"a" * 50, "os.system")
    yield Hostile("INST", f"(S'{shell}'\nios\nsystem\n".encode(), "os.system")
    yield Hostile("OBJ", b"(" + glob("os", "system") + text(shell) + b"o", "os.system")
    stack = call(stack_glob("os", "system"), text(shell))
    yield Hostile("STACK_GLOBAL", stack, "os.system")
    memo = text("system") + b"\x940" + text("os") + b"\x940" + b"h\1h\0\x93" + text(shell)
    yield Hostile("a name from the memo", memo + b"\x85R", "os.system")
    memo = text("os") + b"r\xff\xff\0\0" + b"0" + b"j\xff\xff\0\0" + text("system") + b"\x93"
    yield Hostile("a name from a far place of the memo", memo + text(shell) + b"\x85R", "os.system")
    old = f"cos\nsystem\n(V{shell}\ntR".encode()
    yield Hostile("protocol 0", old, "os.system")
    new = glob("os", "system") + many(text(shell))
    yield Hostile("NEWOBJ of subprocess", _new(shell), "subprocess.Popen", False)
    yield Hostile("REDUCE of doubled arguments", new + b"2" + b"0" + b"R", "os.system")
    yield Hostile(
        "dotted name", call(stack_glob("shutil", "os.system"), text(shell)), "shutil.os.system"
    )
    yield Hostile(
        "dotted name of an allowed module",
        call(stack_glob("collections", "_sys.modules.__class__.__init__"), b"}"),
        "collections._sys",
        False,
    )
    yield Hostile(
        "dotted name of torch",
        call(stack_glob("torch._utils", "sys.modules"), text(shell)),
        "torch._utils.sys.modules",
        False,
    )
    joined = call(glob("operator", "add"), text("sys"), text("tem"))
    yield Hostile(
        "a joined name",
        call(text("os") + joined + b"\x93", text(shell)),
        "operator.add",
    )
    encoded = call(glob("_codecs", "encode"), text("system"), text("latin1"))
    yield Hostile("a name of bytes", text("os") + encoded + b"\x93", "not text", False)
    space = glob("argparse", "Namespace") + b")\x81"
    state = entry("__setstate__", glob("os", "system")) + b"b" + text(shell) + b"b"
    yield Hostile("__setstate__ by BUILD", space + state, "argparse.Namespace")
    ordered = glob("collections", "OrderedDict") + b")R"
    yield Hostile("__setstate__ on a dict", ordered + state, "os.system")
    yield Hostile("NEWOBJ_EX", _new_ex(shell), "subprocess.Popen", False)


def _new(shell: str) -> bytes:
    return glob("subprocess", "Popen") + many(listed(*map(text, shell.split()))) + b"\x81"


def _new_ex(shell: str) -> bytes:
    return glob("subprocess", "Popen") + many(listed(*map(text, shell.split()))) + b"}\x92"


def abuses() -> Iterator[Hostile]:
    """What readers of arrays are to be led astray with; nothing here makes a file."""
    for name, body, found in [*_ids(), *_tensors(), *_arrays(), *_bombs(), *_states()]:
        yield Hostile(name, body, found, live=False)


def _ids() -> Iterator[tuple[str, bytes, str]]:
    kind = glob("torch", "FloatStorage")
    parts = [text("storage"), kind, text("0"), text("cpu"), whole(6)]
    yield "PERSID", b"Pevil\n", "the persistent id evil"
    yield "an id that is a text", text("../../etc/passwd") + b"Q", "not a storage"
    yield "an id that is a number", whole(3) + b"Q", "not a storage"
    yield (
        "an id of a module",
        many(text("module"), kind, text("x.py"), text("code")) + b"Q",
        "not a storage",
    )
    yield "an id of another class", storage(kind=glob("os", "system")), "os.system"
    yield "an id of an allowed class", storage(kind=glob("numpy", "ndarray")), "not a storage"
    yield "an id with a list as class", storage(kind=b"]"), "not a storage"
    yield "an id with a text as class", storage(kind=text("FloatStorage")), "not a storage"
    yield "an id with a view", many(*parts, many(text("a"), whole(0), whole(1))) + b"Q", "inside an"
    yield "an id too long", many(*parts, b"N", b"N") + b"Q", "not a storage"
    yield "an id with a key of bytes", many(*parts[:2], b"]", *parts[3:]) + b"Q", "not a storage"
    yield "a negative storage", storage(-1), "without size"
    yield "a huge storage", entry("x", tensor(storage(1 << 60))), "without size"
    two = many(storage(6), storage(7)) + b"0"
    yield "a storage of two sizes", two + b"}", "two kinds or sizes"
    half = storage(6, kind=glob("torch", "HalfStorage"))
    yield "a storage of two kinds", many(storage(6), half) + b"0}", "two kinds or sizes"
    for key in ("../version", "/etc/passwd", "..", "0/../../x"):
        yield f"a storage at {key}", entry("x", tensor(storage(6, key))), ""


def _tensors() -> Iterator[tuple[str, bytes, str]]:
    good = storage()
    for name, made, found in [
        ("without storage", tensor(text("0")), "without storage"),
        ("with a negative offset", tensor(good, -1), "without storage"),
        ("with an offset beyond", tensor(good, 1), "beyond its storage"),
        ("with a huge offset", tensor(good, 1 << 62), "beyond its storage"),
        ("with a large shape", tensor(good, 0, (3, 3)), "beyond its storage"),
        ("with a huge shape", tensor(good, 0, (1 << 30, 1 << 30)), "no file can hold"),
        ("with wide strides", tensor(good, 0, (2, 3), (4, 1)), "beyond its storage"),
        ("repeated by stride 0", tensor(good, 0, (7, 1), (0, 1)), "beyond its storage"),
        ("with negative strides", tensor(good, 0, (2, 3), (-3, 1)), "not a shape"),
        ("with a negative size", tensor(good, 0, (-2, 3), (3, 1)), "not a shape"),
        ("with too few strides", tensor(good, 0, (2, 3), (1,)), "different length"),
        ("of 33 axes", tensor(good, 0, (1,) * 33, (1,) * 33), "not a shape"),
        ("empty and huge", tensor(good, 0, (0, 1 << 60), (1, 1)), "no file can hold"),
    ]:
        yield f"a tensor {name}", entry("x", made), found
    rebuild = glob("torch._utils", "_rebuild_tensor_v2")
    yield "a tensor of nothing", entry("x", call(rebuild)), "0 arguments"
    yield (
        "a parameter of nothing",
        call(glob("torch._utils", "_rebuild_parameter"), *[b"N"] * 3),
        "p",
    )
    yield (
        "a tensor of the allowed names",
        call(rebuild, rebuild, *[whole(0)] * 5),
        "without storage",
    )
    yield "a Size of texts", call(glob("torch", "Size"), listed(text("a"))), "not a shape"


def _arrays() -> Iterator[tuple[str, bytes, str]]:
    data, shape = raw_bytes(bytes(24)), many(whole(2), whole(3))
    for name, made, found in [
        ("of objects", array(text("O8"), shape, data), "the kind O8"),
        ("of objects in disguise", array(text("|O"), shape, data), "the kind O"),
        ("of fields", array(listed(many(text("a"), text("f4"))), shape, data), "the kind list"),
        ("of texts", array(text("U6"), shape, data), "the kind U6"),
        ("with a huge shape", array(text("f4"), many(whole(1 << 61)), data), "no file can hold"),
        ("with a large shape", array(text("f4"), many(whole(7)), data), "outside its file"),
        ("with a small shape", array(text("f4"), many(whole(5)), data), "24 bytes for an array"),
        ("with a negative shape", array(text("f4"), many(whole(-6)), data), "not a shape"),
        ("of a list", array(text("f4"), shape, listed(whole(1))), "other than bytes"),
        ("of a wide text", array(text("f4"), shape, text("\u4e00" * 24)), "other than bytes"),
    ]:
        yield f"an array {name}", entry("x", made), found
    reconstruct = glob("numpy.core.multiarray", "_reconstruct")
    other = call(reconstruct, glob("collections", "OrderedDict"), many(whole(0)), raw_bytes(b"b"))
    yield "an array of another class", other, "an array of the class collections.OrderedDict"
    plain = call(reconstruct, many(text("os"), text("system")), many(), raw_bytes(b"b"))
    yield "an array of a pair for a class", plain, "an array of the class tuple"
    yield "an ndarray that is called", call(glob("numpy", "ndarray"), shape), "a call of numpy.nd"
    yield (
        "a storage that is called",
        call(glob("torch", "FloatStorage"), whole(1 << 40)),
        "a call of",
    )
    for encoding in ("rot13", "unicode_escape", "hex", "zlib"):
        coded = call(glob("_codecs", "encode"), text("abc"), text(encoding))
        yield f"a text to {encoding}", coded, "_codecs.encode"
    yield (
        "codecs.decode",
        call(glob("_codecs", "decode"), raw_bytes(b"a"), text("zlib")),
        "_codecs.d",
    )


def _states() -> Iterator[tuple[str, bytes, str]]:
    ordered = glob("collections", "OrderedDict") + b")R"
    yield "attributes of a dict", ordered + entry("keys", whole(1)) + b"b", "attributes for a dict"
    yield "a state of a plain dict", b"}" + entry("a", whole(1)) + b"b", "a state for dict"
    yield "a state of a name", glob("collections", "OrderedDict") + b"}b", "a state for Symbol"
    yield "a state of a list", b"]}b", "a state for list"
    yield (
        "a full dict at once",
        glob("collections", "OrderedDict") + many(entry("a", b"N")) + b"R",
        "w",
    )
    kind = call(glob("numpy", "dtype"), text("f4"), b"\x89", b"\x88")
    fields = many(whole(3), text("<"), b"N", many(text("a")), entry("a", b"N"))
    yield "fields of a dtype", kind + fields + b"b", "numbers with fields"
    for size, name in ((1, "\x82\x01"), (2, "\x83\x01\x00"), (4, "\x84\x01\x00\x00\x00")):
        yield f"EXT of {size} bytes", name.encode("latin-1"), "extension code 1"
    yield "a call of a number", whole(1) + many() + b"R", "not a name"
    yield (
        "a call without arguments",
        glob("collections", "OrderedDict") + b"NR",
        "without arguments",
    )
    yield "a buffer from outside", b"\x97", "a buffer outside"
    yield "a set", b"\x8f", "a set"


def _bombs() -> Iterator[tuple[str, bytes, str]]:
    code, most = b"]\x940", 28
    for level in range(most):
        code += b"](" + b"h" + bytes([level]) + b"h" + bytes([level]) + b"e\x940"
    code += b"h" + bytes([most])
    yield "laughs in a dict", b"}" + text("x") + code + b"s", ""
    yield "laughs as a dtype", call(glob("numpy", "dtype"), code), "the kind list"
    yield "laughs as a key", b"}" + code + b"Ns", "a key of the kind list"
    yield "laughs as a class", _reconstruct_of(code), "an array of the class list"
    pairs = b")\x94" + b"2\x86\x94" * most
    yield "laughs in pairs as a key", b"}" + pairs + b"Ns", "a key of the kind tuple"
    yield "laughs in pairs as a name", pairs + text("x") + b"\x93", "not text"
    yield "laughs in pairs as a shape", call(glob("torch", "Size"), pairs), "not a shape"
    yield "laughs in pairs as an id", pairs + b"Q", "not a storage"
    yield "a list inside itself", b"]\x94h\0a", ""
    yield "a dict inside itself", b"}\x94" + text("x") + b"h\0s", ""
    yield "lists 100,000 deep", b"]" * 100_000 + b"a" * 99_999, ""
    yield "tuples 100,000 deep", b")" + b"\x85" * 100_000, ""
    yield "a million steps", b"N0" * 1_000_000 + b"}", "more than 250000 steps"
    yield "a million dicts", b"}" * 1_000_000, "more than 250000 steps"
    yield "a text of 4 GB", b"X\xff\xff\xff\xff" + b"a", "bytes where"
    yield "a text of 2 ** 63", b"\x8d" + b"\xff" * 8 + b"a", "bytes where"
    yield "bytes of 2 ** 63", b"\x8e" + b"\xff" * 7 + b"\x7f" + b"a", "bytes where"
    yield "a bytearray of 2 ** 40", b"\x96" + (1 << 40).to_bytes(8, "little"), "bytes where"
    yield "a number of 2 GB", b"\x8b\xff\xff\xff\x7f", "a number of"
    yield "a number of many digits", b"I" + b"9" * 5000 + b"\n", "a long number"
    yield "a frame of 2 ** 63", b"\x95" + b"\xff" * 7 + b"\x7f}", "a frame beyond"
    yield "texts of 20 MB", (text("a" * 65_000) + b"0") * 320 + b"}", "bytes of texts"
    wide = text("\u00ff" * 40_000) + b"\x940" + glob("_codecs", "encode") + b"\x940"
    again = wide + (b"h\1h\0" + text("latin1") + b"\x86R0") * 1000 + b"}"
    yield "one text decoded 1000 times", again, "over and over"
    yield "a far place in the memo", b"}p99999999999999\n", "cannot be"
    yield "nothing kept there", b"h\5", "never kept"
    yield "an empty stack", b"0", "an empty stack"
    yield "an end without a beginning", b"t", "without a beginning"
    yield "two values", b"}}", "other than one value"


def _reconstruct_of(value: bytes) -> bytes:
    function = glob("numpy.core.multiarray", "_reconstruct")
    return call(function, value, many(whole(0)), raw_bytes(b"b"))


# The files they come in


def archive(body: bytes, extra: dict[str, bytes] | None = None, root: str = "archive") -> bytes:
    """A zip archive of torch with this pickle and one storage of six numbers."""
    file = io.BytesIO()
    entries = {"data.pkl": b"\x80\x04" + body + b".", "data/0": bytes(24), "version": b"3\n"}
    with zipfile.ZipFile(file, "w") as made:
        for name, data in {**entries, **(extra or {})}.items():
            made.writestr(f"{root}/{name}", data)
    return file.getvalue()


def stream(body: bytes) -> bytes:
    """A file of torch before 1.6 with this pickle and one storage of six numbers."""
    head = b"\x80\x02" + whole_plain(MAGIC) + b"." + b"\x80\x02M\xe9\x03." + b"\x80\x02}."
    keys = b"\x80\x02" + listed(text("0")) + b"."
    return head + b"\x80\x04" + body + b"." + keys + struct.pack("<q", 6) + bytes(24)


def whole_plain(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def files(hostile: Hostile) -> dict[str, bytes]:
    """The pickle alone, in an archive, and in an old stream."""
    return {
        "pickle": hostile.pickle,
        "archive": archive(hostile.body),
        "stream": stream(hostile.body),
    }
