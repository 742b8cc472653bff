"""The reader of ONNX files: every way in which numbers are stored, and files that lie."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from onnx_writer import KINDS, Albert, attribute, field, model, node, tensor, value, varint

from albertkit.checkpoint import families
from albertkit.checkpoint.checkpoint import open_checkpoint
from albertkit.checkpoint.families.onnx.graph import Graph, read
from albertkit.checkpoint.families.onnx.tensors import Stored
from albertkit.errors import AlbertkitError, CheckpointError

X = value("x", ["rows", 5])


def write(folder: Path, data: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(data)
    return path


def read_back(folder: Path, *tensors: bytes) -> Graph:
    """A file that only holds these tensors."""
    nodes = [node("Identity", ["x"], ["y"])]
    return read(write(folder, model(nodes, tensors, [X], [value("y")])))


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_tensors_of_every_kind(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    found = read_back(tmp_path, tensor("t", array)).tensors["t"]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.array, array)


def test_numbers_in_lists(tmp_path: Path) -> None:
    halves = np.array([1.5, -2.0, 65504.0, 6e-8], np.float16)
    bits = b"".join(varint(int(x)) for x in halves.view(np.uint16))
    large = np.array([-1, 0, 1 << 62, -(1 << 63)], np.int64)
    found = read_back(
        tmp_path,
        tensor("halves", halves, field(5, bits), raw=False),
        tensor("one", np.array([7], np.int64), field(7, 7), raw=False),
        tensor("large", large, field(7, b"".join(varint(int(x)) for x in large)), raw=False),
        tensor("floats", np.array([1, 2], np.float32), field(4, np.array([1, 2], "f4").tobytes()),
               raw=False),
    ).tensors  # fmt: skip
    np.testing.assert_array_equal(found["halves"].array, halves)
    np.testing.assert_array_equal(found["large"].array, large)
    assert found["one"].array.tolist() == [7]
    assert found["floats"].array.tolist() == [1, 2]


def test_bfloat16_is_exact() -> None:
    numbers = np.array([1.0, -3.140625, 2.0**-126, np.inf], np.float32)
    bits = (numbers.view(np.uint32) >> 16).astype("<u2")
    np.testing.assert_array_equal(Stored("bfloat16", bits).to_float32(), numbers)


def test_constants_are_tensors(tmp_path: Path) -> None:
    nodes = [
        node("Constant", [], ["a"], value=np.array([1, 2], np.int64)),
        node("Constant", [], ["b"], value_float=0.5),
        node("Constant", [], ["c"], value_ints=[3, 4]),
        node("Identity", ["x"], ["y"]),
    ]
    graph = read(write(tmp_path, model(nodes, (), [X], [value("y")])))
    assert graph.tensors["a"].array.tolist() == [1, 2]
    assert graph.tensors["b"].array == 0.5
    assert graph.tensors["c"].array.tolist() == [3, 4]
    assert [x.op for x in graph.nodes] == ["Identity"]


def test_inputs_that_are_initializers_are_none(tmp_path: Path) -> None:
    nodes = [node("Add", ["x", "w"], ["y"])]
    data = model(nodes, [tensor("w", np.ones(5, "f4"))], [X, value("w", [5])], [value("y")])
    graph = read(write(tmp_path, data))
    assert graph.inputs == {"x": 2}  # axes


def outside(name: str, location: str, size: int, offset: int = 0) -> bytes:
    """A tensor of `size` float32 whose numbers are in another file."""
    entries = {"location": location, "offset": str(offset), "length": str(4 * size)}
    more = [field(13, field(1, key) + field(2, text)) for key, text in entries.items()]
    return tensor(name, np.zeros(size, "f4"), *more, field(14, 1), raw=False)


def test_external_data(tmp_path: Path) -> None:
    numbers = np.arange(6, dtype="f4")
    (tmp_path / "data.bin").write_bytes(b"****" + numbers.tobytes())
    graph = read_back(tmp_path, outside("t", "data.bin", 6, 4))
    np.testing.assert_array_equal(graph.tensors["t"].array, numbers)
    assert tmp_path / "data.bin" in graph.files
    for location in ("../data.bin", "/etc/passwd", "..", "", "a/data.bin", "a\\data.bin"):
        with pytest.raises(CheckpointError, match="outside its folder"):
            read_back(tmp_path, outside("t", location, 6, 4))
    with pytest.raises(CheckpointError, match="outside its file"):
        read_back(tmp_path, outside("t", "data.bin", 6, 8))
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_back(tmp_path, outside("t", "gone.bin", 6))
    with pytest.raises(CheckpointError, match="at no place"):
        read_back(tmp_path, outside("t", "data.bin", 6, -4))


def function(name: str, nodes: list[bytes]) -> bytes:
    """A function of one input and one output in the domain "own"."""
    head = field(1, name) + field(4, "a") + field(5, "b") + field(10, "own")
    return head + b"".join(field(7, x) for x in nodes)


def test_functions_are_written_out(tmp_path: Path) -> None:
    inner = function("inner", [node("Relu", ["a"], ["b"])])
    outer = function("outer", [
        node("inner", ["a"], ["t"], domain="own"),
        node("Add", ["t", "t"], ["b"]),
    ])  # fmt: skip
    nodes = [node("outer", ["x"], ["m"], domain="own"), node("outer", ["m"], ["y"], domain="own")]
    data = model(nodes, (), [X], [value("y")], [inner, outer])
    graph = read(write(tmp_path, data))
    assert [x.op for x in graph.nodes] == ["Relu", "Add", "Relu", "Add"]
    assert graph.nodes[-1].outputs == ("y",)
    assert len({name for x in graph.nodes for name in x.outputs}) == 4


def test_functions_without_end(tmp_path: Path) -> None:
    calls = [node("f", ["a"], ["t"], domain="own"), node("f", ["t"], ["b"], domain="own")]
    data = model([node("f", ["x"], ["y"], domain="own")], (), [X], [value("y")],
                 [function("f", calls)])  # fmt: skip
    start = time.process_time()
    with pytest.raises(CheckpointError, match="without end"):
        open_checkpoint(write(tmp_path, data))
    assert time.process_time() - start < 2


def nested(depth: int) -> bytes:
    """A graph inside of a node inside of a graph ..."""
    body = field(1, node("Identity", ["x"], ["z"])) + field(12, value("z"))
    for _ in range(depth):
        body = field(1, node("If", ["x"], ["z"], then_branch=body)) + field(12, value("z"))
    return node("If", ["x"], ["y"], then_branch=body)


WEIGHT = tensor("w", np.ones((3, 4), "f4"))
LIES = {
    "a cycle": model(
        [node("Add", ["x", "b"], ["a"]), node("Add", ["a", "x"], ["b"])], (), [X], [value("b")]
    ),
    "a value made twice": model(
        [node("Relu", ["x"], ["a"]), node("Tanh", ["x"], ["a"])], (), [X], [value("a")]
    ),
    "a value from nowhere": model([node("Add", ["x", "z"], ["a"])], (), [X], [value("a")]),
    "an output from nowhere": model([node("Relu", ["x"], ["a"])], (), [X], [value("b")]),
    "no outputs": model([node("Relu", ["x"], ["a"])], (), [X], []),
    "two tensors of one name": model(
        [node("Relu", ["x"], ["a"])], [WEIGHT, WEIGHT], [X], [value("a")]
    ),
    "two inputs of one name": model([node("Relu", ["x"], ["a"])], [], [X, X], [value("a")]),
    "a tensor of nine axes": model(
        [node("Relu", ["x"], ["a"])], [tensor("w", np.ones((1,) * 9, "f4"))], [X], [value("a")]
    ),
    "a tensor too short": model(
        [node("Relu", ["x"], ["a"])],
        [field(1, 1 << 40) + field(2, 1) + field(8, "w") + field(9, b"1234")],
        [X],
        [value("a")],
    ),
    "a negative size": model(
        [node("Relu", ["x"], ["a"])],
        [field(1, -4) + field(2, 1) + field(8, "w") + field(9, b"1234")],
        [X],
        [value("a")],
    ),
    "a kind that nobody knows": model(
        [node("Relu", ["x"], ["a"])],
        [field(1, 1) + field(2, 99) + field(8, "w") + field(9, b"1")],
        [X],
        [value("a")],
    ),
    "many nodes": model(
        (node("Relu", ["x"], [f"a{n}"]) for n in range(40_000)), (), [X], [value("a0")]
    ),
    "graphs in graphs": model([nested(300)], (), [X], [value("y")]),
    "weights in a graph in a node": model(
        [node("If", ["x"], ["y"], then_branch=field(5, WEIGHT))], (), [X], [value("y")]
    ),
    "no graph": field(1, 8),
    "two graphs": field(7, b"") + field(7, b""),
    "sparse tensors": field(7, field(15, b"")),
    "an input beyond every memory": model(
        [node("Relu", ["x"], ["a"])], (), [value("x", [1 << 40, 1 << 40])], [value("a")]
    ),
    "shapes beyond every memory": model(
        [
            node("Constant", [], ["s"], value=np.array([1 << 20, 1 << 20, 1 << 20], np.int64)),
            node("ConstantOfShape", ["s"], ["a"]),
        ],
        (),
        [X],
        [value("a")],
    ),
    "work without end": model(
        [
            node("Constant", [], ["s"], value=np.array([1 << 23], np.int64)),
            *(node("ConstantOfShape", ["s"], [f"a{n}"]) for n in range(20_000)),
        ],
        (),
        [X],
        [value("a0")],
    ),
    "an index beyond every table": model(
        [
            node("Constant", [], ["s"], value=np.array([1, 2], np.int64)),
            node("Constant", [], ["i"], value=np.array((1 << 62) + 1, np.int64)),
            node("Gather", ["s", "i"], ["a"]),
        ],
        (),
        [X],
        [value("a")],
    ),
    "a chain of doublings": model(
        [
            node("Constant", [], ["s"], value=np.array([1, 2], np.int64)),
            node("Tile", ["x", "s"], ["a0"]),
            *(node("Tile", [f"a{n}", "s"], [f"a{n + 1}"]) for n in range(60)),
        ],
        (),
        [X],
        [value("a60")],
    ),
    "no ALBERT at all": model([node("Relu", ["x"], ["a"])], (), [X], [value("a")]),
    "bytes of something else": b"PK\x03\x04" + bytes(100),
    "nothing": b"",
}


FOUND = {
    "a cycle": "nothing makes before it",
    "a value made twice": "is made twice",
    "a value from nowhere": "nothing makes before it",
    "an output from nowhere": "outputs that nothing makes: b",
    "no outputs": "there are none",
    "two tensors of one name": "without a name of its own",
    "two inputs of one name": "two inputs of one name",
    "a tensor of nine axes": "shape",
    "a tensor too short": "4 bytes for 'w'",
    "a negative size": "shape",
    "a kind that nobody knows": "kind 99",
    "many nodes": "more than 30000 nodes",
    "graphs in graphs": "graphs inside of graphs",
    "weights in a graph in a node": "weights inside of a graph",
    "no graph": "0 graphs",
    "two graphs": "2 graphs",
    "sparse tensors": "sparse tensors",
    "an input beyond every memory": "no table of words",
    "shapes beyond every memory": "no table of words",
    "work without end": "no table of words",
    "an index beyond every table": "no table of words",
    "a chain of doublings": "no table of words",
    "no ALBERT at all": "no table of words",
    "bytes of something else": "a field with number 0",
    "nothing": "an empty file",
}


@pytest.mark.parametrize("lie", LIES)
def test_files_that_lie_are_refused_soon(lie: str, tmp_path: Path) -> None:
    path = write(tmp_path, LIES[lie])
    assert families.detect(path) == ("onnx", path)
    start = time.process_time()
    with pytest.raises(CheckpointError, match=FOUND[lie]):
        open_checkpoint(path)
    assert time.process_time() - start < 2


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    data = Albert([0, 0]).bytes()
    assert open_checkpoint(write(tmp_path, data)).checkpoint.config.num_hidden_layers == 2
    for length in range(1, len(data), len(data) // 40):
        (tmp_path / "model.onnx").unlink()
        with pytest.raises(AlbertkitError):
            open_checkpoint(write(tmp_path, data[:length]))


def test_attributes_that_lie(tmp_path: Path) -> None:
    broken = field(1, "f") + field(7, b"123")
    data = model(
        [node("Relu", ["x"], ["a"]) + field(5, broken)], (), [X], [value("a")]
    )  # fmt: skip
    with pytest.raises(CheckpointError, match="damaged"):
        read(write(tmp_path, data))
    long = field(8, b"\x01" * 5000)
    data = model([node("Relu", ["x"], ["a"]) + field(5, field(1, "f") + long)], (), [X],
                 [value("a")])  # fmt: skip
    with pytest.raises(CheckpointError, match="more than 4096 numbers"):
        read(write(tmp_path, data))
    assert attribute("a", 1) == field(1, "a") + field(3, 1) + field(20, 2)
