"""The smallest files of every format: what the damaged ones are made from, and the fuzzers' seeds.

No framework is needed, and everything is the same at every call.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from sentencepiece import sentencepiece_model_pb2

from albertkit.checkpoint import families
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.checkpoint.formats import torch_save
from albertkit.checkpoint.formats.leveldb_table import (
    crc32c,
    masked,
    read_table,
    write_table,
    written_varint,
)
from albertkit.checkpoint.formats.tensor_bundle import read_bundle
from albertkit.config import AlbertConfig
from albertkit.parameters import parameter_shapes

Files = dict[str, bytes]
GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SPECIAL = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "\u732b"]
PLAIN = AlbertConfig(
    vocab_size=len(WORDS),
    embedding_size=3,
    hidden_size=4,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=5,
    max_position_embeddings=6,
)
LAYOUTS = {
    "albertkit": replace(PLAIN, norm_order="pre", final_norm=True),
    "huggingface": PLAIN,
    "google_tf": PLAIN,
    "brightmart_tf": replace(
        PLAIN,
        embedding_order="project_then_norm",
        position_width="hidden",
        projection_bias=False,
    ),
    "uer": replace(PLAIN, layer_norm_kind="uer", type_vocab_size=3, hidden_act="gelu_erf"),
    "paddlenlp": replace(PLAIN, head_layer_norm_eps=1e-5),
    "keras_hub": replace(PLAIN, head_layer_norm_eps=1e-5),
}


@cache
def checkpoint(family: str) -> Checkpoint:
    """A model of numbers that are all different, with the heads that the family has."""
    config = LAYOUTS[family]
    shapes = parameter_shapes(config)
    left_out = {"keras_hub": "sentence_order."}.get(family)
    draw = np.random.default_rng(5)
    tensors = {
        name: draw.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
        if left_out is None or not name.startswith(left_out)
    }
    return Checkpoint(config, tensors)


@cache
def folder_of(family: str) -> Mapping[str, bytes]:
    """The folder that a family writes, file by file; without a tokenizer."""
    with tempfile.TemporaryDirectory() as place:
        families.named(family).write(checkpoint(family), Path(place), "float32")
        return contents(Path(place))


def contents(folder: Path) -> Files:
    """Every file below a folder by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def put(files: Mapping[str, bytes], folder: Path) -> Path:
    """Write files below a folder; the folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def vocabulary() -> bytes:
    """vocab.txt"""
    return "".join(f"{word}\n" for word in WORDS).encode()


def model_proto(*, charsmap: bytes = b"") -> sentencepiece_model_pb2.ModelProto:
    """The message of a SentencePiece model with as many pieces as the tiny models have."""
    proto = sentencepiece_model_pb2.ModelProto()
    kinds = sentencepiece_model_pb2.ModelProto.SentencePiece
    for number, piece in enumerate([*SPECIAL, "\u2581a", "a", "b", "1,"][: len(WORDS)]):
        added = proto.pieces.add(piece=piece, score=-float(number))
        if number < len(SPECIAL):
            added.type = kinds.UNKNOWN if piece == "<unk>" else kinds.CONTROL
    proto.trainer_spec.model_type = sentencepiece_model_pb2.TrainerSpec.UNIGRAM
    proto.trainer_spec.vocab_size = len(WORDS)
    proto.trainer_spec.pad_id, proto.trainer_spec.unk_id = 0, 1
    proto.trainer_spec.bos_id = proto.trainer_spec.eos_id = -1
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.precompiled_charsmap = charsmap
    return proto


def charsmap() -> bytes:
    """A table of the normalizer that turns A into a: two arrays of SentencePiece's own form.

    The trie is a double array of Darts: a unit for the root, one for each byte of a key, and one
    for the value, which is an offset into the texts behind the trie. A unit that nobody uses has
    the label of a child of place 1, which nobody reaches.
    """
    units = [(number ^ 1) & 0xFF for number in range(256)]
    units[0] = 64 << 10  # the root's children begin at 0 ^ 64
    child = 64 ^ ord("A")
    units[child] = (128 << 10) | 1 << 8 | ord("A")  # it has a value, at child ^ 128
    units[child ^ 128] = 1 << 31 | 0
    trie = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(trie)) + trie + b"a\0"


def spiece(*, table: bool = False) -> bytes:
    """spiece.model, perhaps with a table of the normalizer."""
    return bytes(model_proto(charsmap=charsmap() if table else b"").SerializeToString())


@cache
def named_tensors(family: str) -> dict[str, np.ndarray]:
    """The tensors that a family writes, under its names."""
    with tempfile.TemporaryDirectory() as place:
        put(folder_of(family), Path(place))
        if family == "paddlenlp":
            from albertkit.checkpoint.formats import pdparams

            weights = pdparams.read_weights(Path(place) / "model_state.pdparams")
        elif family == "uer":
            weights = torch_save.read_weights(Path(place) / "model.bin")
        else:
            from albertkit.checkpoint.formats.safetensors_file import read_weights

            weights = read_weights(Path(place) / "model.safetensors")
        return {name: np.array(tensor) for name, tensor in weights.tensors.items()}


def torch_zip(family: str = "huggingface", *, sums: bool = True) -> bytes:
    """A file of torch 1.6 and later; without checksums a fuzzer gets past them."""
    with tempfile.TemporaryDirectory() as place:
        torch_save.write_weights(Path(place) / "x.bin", named_tensors(family))
        data = bytearray((Path(place) / "x.bin").read_bytes())
    if not sums:
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            places = [info.header_offset + 14 for info in opened.infolist()]
        at = data.find(b"PK\x01\x02")
        while at >= 0:
            places.append(at + 16)
            at = data.find(b"PK\x01\x02", at + 4)
        for at in places:
            data[at : at + 4] = bytes(4)
    return bytes(data)


def torch_stream(family: str = "huggingface") -> bytes:
    """A file of torch before 1.6: pickles in a row, then the numbers."""
    tensors = named_tensors(family)
    pickled = torch_save._pickle(tensors, "Float")
    keys = [str(number) for number in range(len(tensors))]
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}]
    parts = [pickle.dumps(value, 2) for value in head] + [pickled, pickle.dumps(keys, 2)]
    for tensor in tensors.values():
        parts += [struct.pack("<q", tensor.size), tensor.tobytes()]
    return b"".join(parts)


def torch_pickle() -> bytes:
    """The pickle alone that tells names and shapes."""
    return torch_save._pickle({"a": np.zeros((2, 3), np.float32)}, "Float")


def paddle_old() -> bytes:
    """.pdparams of Python 2's protocol, (name, array) pairs."""
    pairs = {
        name: (f"parameter_{number}", tensor)
        for number, (name, tensor) in enumerate(named_tensors("paddlenlp").items())
    }
    return pickle.dumps(pairs, 2)


@cache
def shards() -> Mapping[str, bytes]:
    """transformers' folder in two shards and an index."""
    whole = folder_of("huggingface")
    named = named_tensors("huggingface")
    names = list(named)
    halves = {"model-00001.safetensors": names[::2], "model-00002.safetensors": names[1::2]}
    from albertkit.checkpoint.formats.safetensors_file import write_tensors

    files = {"config.json": whole["config.json"]}
    with tempfile.TemporaryDirectory() as place:
        for file, part in halves.items():
            write_tensors(Path(place) / file, {name: named[name] for name in part})
        files |= contents(Path(place))
    index = {"metadata": {}, "weight_map": {n: f for f, part in halves.items() for n in part}}
    return {**files, "model.safetensors.index.json": json.dumps(index).encode()}


@cache
def data_shards() -> Mapping[str, bytes]:
    """google's checkpoint with its tensors in two data files, as a parameter server saves it."""
    files = dict(folder_of("google_tf"))
    prefix = "model.ckpt-best"
    with tempfile.TemporaryDirectory() as place:
        bundle = read_bundle(put(files, Path(place)) / prefix)
        items = [(b"", b"\x08\x02\x1a\x02\x08\x01")]
        data = [bytearray(), bytearray()]
        for number, (name, entry) in enumerate(bundle.entries.items()):
            raw = np.ascontiguousarray(bundle.raw(name)).tobytes()
            shard = data[number % 2]
            items.append((name.encode(), index_entry(entry.shape, number % 2, len(shard), raw)))
            shard += raw
        write_table(Path(place) / "new.index", items)
        index = (Path(place) / "new.index").read_bytes()
    for name in [name for name in files if name.startswith(prefix)]:
        del files[name]
    for number, shard in enumerate(data):
        files[f"{prefix}.data-0000{number}-of-00002"] = bytes(shard)
    return {**files, f"{prefix}.index": index}


def index_entry(
    shape: tuple[int, ...], shard: int, offset: int, raw: bytes, kind: int = 1
) -> bytes:
    """A value of TensorFlow's index (BundleEntryProto)."""
    axes = b""
    for size in shape:
        axis = b"\x08" + written_varint(size)
        axes += b"\x12" + written_varint(len(axis)) + axis
    parts = [b"\x08" + written_varint(kind), b"\x12" + written_varint(len(axes)) + axes]
    parts += [b"\x18" + written_varint(shard), b"\x20" + written_varint(offset)]
    parts += [b"\x28" + written_varint(len(raw)), b"\x35", struct.pack("<I", masked(crc32c(raw)))]
    return b"".join(parts)


def table_items(index: bytes) -> list[tuple[bytes, bytes]]:
    """Keys and values of an index file."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "x.index").write_bytes(index)
        return list(read_table(Path(place) / "x.index").items())


def graph(name: str = "google_relu") -> bytes:
    """A .meta file that TensorFlow wrote."""
    return gzip.decompress((GOLDEN / "tf_graph" / f"{name}.meta.gz").read_bytes())


def saved_model(name: str = "google_relu") -> bytes:
    """saved_model.pb with one graph."""
    meta = graph(name)
    return b"\x08\x01\x12" + written_varint(len(meta)) + meta


def onnx_export() -> bytes:
    """A model that PyTorch exported, the smallest of the reference data."""
    return gzip.decompress((GOLDEN / "onnx" / "dynamo20" / "model.onnx.gz").read_bytes())


def onnx_graph() -> bytes:
    """An ONNX model that looks up ids in a table, multiplies, adds and ends: no ALBERT."""
    draw = np.random.default_rng(2)

    def text(number: int, value: bytes) -> bytes:
        return written_varint(number << 3 | 2) + written_varint(len(value)) + value

    def tensor(name: bytes, *shape: int) -> bytes:
        raw = draw.standard_normal(shape).astype("<f4").tobytes()
        axes = b"".join(b"\x08" + written_varint(size) for size in shape)
        return text(5, axes + b"\x10\x01" + text(8, name) + text(9, raw))

    def node(kind: bytes, *names: bytes) -> bytes:
        *inputs, output = names
        return text(1, b"".join(text(1, x) for x in inputs) + text(2, output) + text(4, kind))

    def value(number: int, name: bytes, kind: int) -> bytes:
        shape = text(2, text(1, text(2, b"B")) + text(1, text(2, b"T")))
        return text(number, text(1, name) + text(2, text(1, b"\x08" + bytes([kind]) + shape)))

    graph_ = node(b"Gather", b"table", b"input_ids", b"x")
    graph_ += node(b"MatMul", b"x", b"kernel", b"y") + node(b"Add", b"y", b"bias", b"z")
    graph_ += tensor(b"table", 9, 3) + tensor(b"kernel", 3, 4) + tensor(b"bias", 4)
    graph_ += value(11, b"input_ids", 7) + value(12, b"z", 1)
    return b"\x08\x08" + text(7, graph_) + text(8, b"\x10\x0e")


def tar(files: Mapping[str, bytes]) -> bytes:
    """.tar.gz"""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as made:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), mtime=0)


def packed(files: Mapping[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """.zip"""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", kind) as made:
        for name, data in files.items():
            made.writestr(zipfile.ZipInfo(name), data, kind)
    return raw.getvalue()
