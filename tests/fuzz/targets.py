"""What is fuzzed: one parser each, as a function of a file's bytes.

A parser may raise AlbertkitError; anything else is a finding. A new parser is one function and one
line in TARGETS.
"""

from __future__ import annotations

import atexit
import contextlib
import gzip
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import example_files
import numpy as np
import structured

TESTS = Path(__file__).resolve().parents[1]
GOLDEN = TESTS / "golden"
FAMILIES = TESTS.parent / "src" / "albertkit" / "checkpoint" / "families"
sys.path.insert(0, str(TESTS / "robustness"))

import damage_hdf5  # noqa: E402  # beside the tests of the formats
import damage_tf  # noqa: E402
import library_tokenizers  # noqa: E402
import tiny_files  # noqa: E402

MEMORY = Path("/dev/shm")  # files that never reach a disk, where there is such a place
SCRATCH = str(MEMORY) if MEMORY.is_dir() else None
# The fuzzer ends without a farewell: run.py gives it a folder, and removes it.
FOLDER = Path(os.environ.get("FUZZ_FOLDER") or tempfile.mkdtemp("-albertkit-fuzz", dir=SCRATCH))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
SMALL = 60_000  # bytes; larger seeds make the fuzzer slow


@dataclass(frozen=True)
class Target:
    """A parser, the files it begins from, and words that the fuzzer may put in.

    modules: what it is there to test, below albertkit. made: seeds from robustness/tiny_files.
    golden: patterns below tests/golden. mutate: half of the changes, beside those of bytes.
    """

    parse: Callable[[bytes], None]
    modules: tuple[str, ...]
    made: Callable[[], list[bytes]] = list
    golden: tuple[str, ...] = ()
    words: tuple[bytes, ...] = ()
    mutate: structured.Mutate | None = None

    def seeds(self) -> Iterator[bytes]:
        """Contents of the files to begin from."""
        yield from self.made()
        for pattern in self.golden:
            for path in sorted(GOLDEN.rglob(pattern)):
                data = path.read_bytes()
                data = gzip.decompress(data) if path.suffix == ".gz" else data
                if len(data) <= SMALL:
                    yield data


def _at(name: str, data: bytes) -> Path:
    """The file with these bytes. The old one may still be mapped, so it is not written over."""
    path = FOLDER / name
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path


def _each(*steps: Callable[[], object]) -> None:
    """Every step, whether or not the one before it refuses."""
    from albertkit.errors import AlbertkitError

    for step in steps:
        with contextlib.suppress(AlbertkitError):
            step()


# Weights


def safetensors(data: bytes) -> None:
    """model.safetensors"""
    from albertkit.checkpoint.formats.safetensors_file import read_weights

    read_weights(_at("model.safetensors", data))


def shard_index(data: bytes) -> None:
    """model.safetensors.index.json beside its shards"""
    from albertkit.checkpoint.formats.sharded import read_any

    for name, content in tiny_files.shards().items():
        if not (FOLDER / name).exists():
            _at(name, content)
    read_any(_at("model.safetensors.index.json", data))


def pickles(data: bytes) -> None:
    """the machine that decodes pickles, with and without storages"""
    from albertkit.checkpoint.formats.unpickle import expect_dict, load

    content = np.frombuffer(data, np.uint8)
    _each(lambda: load(content), lambda: expect_dict(load(content, storages=True)[0]))


def torch_file(data: bytes) -> None:
    """.bin of torch, an archive or a stream"""
    from albertkit.checkpoint.formats import torch_save

    path = _at("pytorch_model.bin", data)
    _each(lambda: torch_save.list_tensors(path), lambda: torch_save.read_weights(path))


def paddle(data: bytes) -> None:
    """.pdparams"""
    from albertkit.checkpoint.formats import pdparams

    pdparams.read_weights(_at("model_state.pdparams", data))


def hdf5(data: bytes) -> None:
    """.weights.h5"""
    from albertkit.checkpoint.formats import hdf5
    from albertkit.checkpoint.formats.dtypes import as_float32

    for found in hdf5.read(_at("model.weights.h5", data)).values():
        as_float32(found.array, found.dtype)


def tf_model(data: bytes) -> None:
    """tf_model.h5 of transformers' TensorFlow classes"""
    from albertkit.checkpoint.families.huggingface.tf_model import is_tf_model, read_tf_model

    path = _at("tf_model.h5", data)
    is_tf_model(path)
    read_tf_model(path)


def sorted_table(data: bytes) -> None:
    """blocks, keys and Snappy of TensorFlow's index, its checksums put right"""
    from albertkit.checkpoint.formats.leveldb_table import read_table

    path = _at("x.index", data)
    _each(lambda: read_table(path))
    read_table(_at("x.index", damage_tf.with_checksums(data)))


def tensor_bundle(data: bytes) -> None:
    """index of a TensorFlow checkpoint, its checksums put right, with data of zeros"""
    from albertkit.checkpoint.formats.tensor_bundle import read_bundle

    if not (FOLDER / "model.ckpt.data-00000-of-00001").exists():
        _at("model.ckpt.data-00000-of-00001", bytes(4096))
    _at("model.ckpt.index", damage_tf.with_checksums(data))
    bundle = read_bundle(FOLDER / "model.ckpt", check=False)
    for name in bundle.entries:
        _each(lambda name=name: bundle.float32(name), lambda name=name: bundle.text(name))


def object_graph(data: bytes) -> None:
    """the names that TensorFlow 2 keeps in a tensor of its checkpoint"""
    from albertkit.checkpoint.families._tf.names import _full_names

    _full_names(memoryview(data))


def tf_graph(data: bytes) -> None:
    """.meta and saved_model.pb"""
    from albertkit.checkpoint.families._tf.graph import read_graph

    meta, model = _at("model.ckpt.meta", data), _at("saved_model.pb", data)
    _each(lambda: read_graph(meta, 24), lambda: read_graph(model, 24))


def wire(data: bytes) -> None:
    """protocol buffers, all the way down"""
    from albertkit.checkpoint.formats.protobuf_wire import fields
    from albertkit.errors import CheckpointError

    def walk(message: memoryview, depth: int) -> None:
        for _, value in fields(message):
            if isinstance(value, memoryview) and depth < 4:
                with contextlib.suppress(CheckpointError):
                    walk(value, depth + 1)

    walk(memoryview(data), 0)


# Configs


def config(data: bytes) -> None:
    """config.json, in every dialect"""
    from albertkit.checkpoint.families._configs import READERS
    from albertkit.config import AlbertConfig

    path = _at("config.json", data)
    for dialect in [None, *READERS]:
        _each(lambda s=dialect: AlbertConfig.load(path, dialect=s, vocab_size=100))


def family_config(data: bytes) -> None:
    """config.json beside good weights of a family, which the number of its bytes chooses"""
    from albertkit.checkpoint.checkpoint import open_checkpoint

    name = list(tiny_files.LAYOUTS)[len(data) % len(tiny_files.LAYOUTS)]
    folder = FOLDER / name
    if not folder.is_dir():
        tiny_files.put(tiny_files.folder_of(name), folder)
    config = next(x for x in ("config.json", "albert_config.json") if (folder / x).exists())
    _at(f"{name}/{config}", data)
    open_checkpoint(folder, family=name)


def family_weights(data: bytes) -> None:
    """weights beside a good config; the first byte tells the family"""
    from albertkit.checkpoint.checkpoint import open_checkpoint

    if not data:
        return
    name = list(WEIGHTS)[data[0] % len(WEIGHTS)]
    folder = FOLDER / f"{name} weights"
    if not folder.is_dir():
        tiny_files.put(tiny_files.folder_of(name), folder)
    content = damage_tf.with_checksums(data[1:]) if WEIGHTS[name].endswith("index") else data[1:]
    _at(f"{folder.name}/{WEIGHTS[name]}", content)
    open_checkpoint(folder, family=name)


WEIGHTS = {
    "albertkit": "albertkit.safetensors",
    "huggingface": "model.safetensors",
    "uer": "model.bin",
    "paddlenlp": "model_state.pdparams",
    "keras_hub": "model.weights.h5",
    "google_tf": "model.ckpt-best.index",
    "brightmart_tf": "albert_model.ckpt.index",
}


def keras_config(data: bytes) -> None:
    """config.json and task.json of KerasHub"""
    from albertkit.checkpoint.families.keras_hub.config import read_configs

    good = _at("keras.json", tiny_files.folder_of("keras_hub")["config.json"])
    path = _at("task.json", data)
    _each(lambda: read_configs(path, None), lambda: read_configs(good, path))


def onnx(data: bytes) -> None:
    """model.onnx"""
    from albertkit.checkpoint.checkpoint import open_checkpoint

    open_checkpoint(_at("model.onnx", data), family="onnx")


# Tokenizers


def spiece(data: bytes) -> None:
    """spiece.model: what is let through must encode and save"""
    from albertkit.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(_at("spiece.model", data))
    tokenizer.ids("A cat, 1, \u732b \u00c5")
    tokenizer.align("a b")


def vocabulary(data: bytes) -> None:
    """vocab.txt"""
    from albertkit.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(_at("vocab.txt", data))
    tokenizer.ids("The cats, \u732b \u00c5")
    tokenizer.decode(list(range(min(tokenizer.vocab_size, 50))))


def tokenizer_settings(data: bytes) -> None:
    """tokenizer_config.json beside a vocabulary, which is read before a tokenizer.json"""
    from albertkit.text.tokenizer import Tokenizer

    (FOLDER / "tokenizer").mkdir(exist_ok=True)
    _at("tokenizer/vocab.txt", tiny_files.vocabulary())
    _at("tokenizer/tokenizer_config.json", data)
    _at("tokenizer/tokenizer.json", data)
    Tokenizer.load(FOLDER / "tokenizer")


def tokenizer_json(data: bytes) -> None:
    """tokenizer.json alone"""
    from albertkit.text.tokenizer import Tokenizer

    (FOLDER / "alone").mkdir(exist_ok=True)
    tokenizer = Tokenizer.load(_at("alone/tokenizer.json", data))
    text = " The cats, \u732b  \u00c5"
    ids, offsets = tokenizer.align(text)
    assert ids == tokenizer.ids(text)
    assert all(0 <= start <= end <= len(text) for start, end in offsets)
    tokenizer.decode(tokenizer.encode("The cats, 2009, [MASK]", allow_mask=True).ids)


def _settings() -> bytes:
    """tokenizer_config.json with added tokens, as releases of transformers 4 write it."""
    token = {"content": "[NEW]", "lstrip": True, "normalized": False, "special": True}
    return json.dumps(
        {
            "do_lower_case": True,
            "strip_accents": None,
            "tokenize_chinese_chars": True,
            "never_split": ["a"],
            "cls_token": "[CLS]",
            "mask_token": {"content": "[MASK]", "lstrip": True},
            "added_tokens_decoder": {"9": token},
            "additional_special_tokens": ["[NEW]", token],
            "added_tokens": [{"id": 9, **token}],
            "model_max_length": 512,
        }
    ).encode()


def _tokenizer_json(name: str, vocabulary: bytes) -> bytes:
    """tokenizer.json as it is saved for a vocabulary."""
    from albertkit.text.tokenizer import Tokenizer

    folder = FOLDER / "made" / name
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_bytes(vocabulary)
    Tokenizer.load(folder / name).save(folder)
    return (folder / "tokenizer.json").read_bytes()


# Examples of a task


def examples(data: bytes) -> None:
    """files of benchmarks and of users; the first byte chooses which"""
    read, name, _ = example_files.SOURCES[data[0] % len(example_files.SOURCES) if data else 0]
    shutil.rmtree(FOLDER / "examples", ignore_errors=True)
    (FOLDER / "examples" / name).parent.mkdir(parents=True)
    read(_at(f"examples/{name}", data[1:]))


def arrow(data: bytes) -> None:
    """files of Parquet, and of Arrow as `datasets` saves them"""
    from albertkit.data.other_tables import ArrowTable

    path = _at("table.parquet" if data.startswith(b"PAR1") else "table.arrow", data)
    for _ in ArrowTable(path, [path]).rows():
        pass


def _arrow_files() -> list[bytes]:
    """Texts, classes, numbers, lists and dates in both formats."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {"label": {"_type": "ClassLabel", "names": ["dull", "fine"]}}
    table = pa.table(
        {
            "text": ["a fine film", "\u732b", None, "x" * 40] * 3,
            "label": [1, 0, -1, 1] * 3,
            "score": [0.5, 1e30, None, -1.0] * 3,
            "options": [["a", "b"], [], None, ["c"]] * 3,
            "day": pa.array([0, 1, 2, None] * 3, pa.date32()),
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    made = []
    for options in ({}, {"compression": "zstd", "use_dictionary": False}):
        plain = io.BytesIO()
        pq.write_table(table, plain, **options)
        made.append(plain.getvalue())
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return [*made, stream.getvalue()]


# Archives


def archive(data: bytes) -> None:
    """.tar.gz and .zip; a tar also without its compression"""
    from albertkit.hub.archives import unpack

    tar = data[:4] != b"PK\x03\x04" and data[:2] != b"\x1f\x8b"
    path = _at("model.tar.gz", gzip.compress(data, 0, mtime=0) if tar else data)
    shutil.rmtree(FOLDER / "out", ignore_errors=True)
    (FOLDER / "out").mkdir()
    unpack(path, FOLDER / "out")
    assert not [x for x in (FOLDER / "out").rglob("*") if x.is_symlink()]


def _plain_tar() -> bytes:
    return gzip.decompress(tiny_files.tar(tiny_files.folder_of("google_tf")))


_ARRAY = tiny_files.pickle.dumps({"a": np.arange(3, dtype="f4")}, 4)
_NAMES = (
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch\nFloatStorage\n",
    b"ctorch\nHalfStorage\n",
    b"ccollections\nOrderedDict\n",
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"cnumpy\ndtype\n",
    b"cnumpy\nndarray\n",
    b"c_codecs\nencode\n",
    b"X\7\0\0\0storage",
    b"X\1\0\0\0a",
    *(bytes([step]) for step in b"(t)}]NRbQ.use2\x85\x86\x87\x94"),
)
_JSON = (b'"', b"{", b"}", b"[", b"]", b":", b",", b"null", b"true", b"1e999", b"-1", b"[[[[")
_KEYS = (b'"model_type"', b'"albert"', b'"hidden_act"', b'"gelu"', b'"num_labels"', b'"id2label"')
_TF = tiny_files.folder_of("google_tf")["model.ckpt-best.index"]


def _configs() -> list[bytes]:
    """The configs of every family, each as long as chooses its own family."""
    found = []
    for number, name in enumerate(tiny_files.LAYOUTS):
        for file, data in tiny_files.folder_of(name).items():
            if file.endswith("config.json"):
                found.append(data + b" " * ((number - len(data)) % len(tiny_files.LAYOUTS)))
    return found


TARGETS = {
    "archive": Target(
        archive,
        ("hub.archives",),
        lambda: [
            _plain_tar(),
            tiny_files.tar(tiny_files.folder_of("google_tf")),
            tiny_files.packed(tiny_files.folder_of("google_tf")),
            tiny_files.packed({"x.index": b"a", "y/vocab.txt": b"b"}, 0),
        ],
        words=(b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"../", b"x.index"),
    ),
    "arrow": Target(
        arrow,
        ("data.other_tables",),
        _arrow_files,
        words=(b"PAR1", b"huggingface", b"ClassLabel", b"names", b"ARROW1"),
    ),
    "config": Target(
        config,
        ("config", "checkpoint.families._configs", "checkpoint.families._config_keys"),
        _configs,
        ("*config*.json",),
        _JSON + _KEYS,
        structured.json_document,
    ),
    "examples": Target(
        examples,
        (
            *("benchmarks.chineseglue", "benchmarks.clue", "benchmarks.glue"),
            *("data.example_files", "data.tables", "tasks.choice_columns", "tasks.choice_files"),
            *("tasks.columns", "tasks.conll", "tasks.examples", "tasks.span_files"),
            *("tasks.squad_json", "tasks.tagged_files", "train.finetune_data"),
        ),
        lambda: [
            bytes([number]) + content
            for number, (_, _, content) in enumerate(example_files.SOURCES)
        ],
        words=(*_JSON, b"\t", b"\r", b"\xff", b"\xef\xbb\xbf", b"B-", b"#idiom#", b"null"),
        mutate=structured.behind_first_byte(structured.lines_or_document),
    ),
    "family_config": Target(
        family_config,
        (
            "checkpoint.families._head_configs",
            "checkpoint.families._beside",
            "checkpoint.families._recognise",
            "checkpoint.families.paddlenlp.names",
            "checkpoint.families._tf.config",
            "checkpoint.families.uer.names",
            *(f"checkpoint.families.{name}" for name in tiny_files.LAYOUTS),
        ),
        _configs,
        ("*config*.json",),
        _JSON + _KEYS,
        structured.json_document,
    ),
    "family_weights": Target(
        family_weights,
        (
            "checkpoint.hf_names",
            "checkpoint.mapping",
            "checkpoint.families.huggingface.old_names",
            "checkpoint.families._folder",
            "checkpoint.families._tf.read",
        ),
        lambda: [
            bytes([number]) + tiny_files.folder_of(name)[file]
            for number, (name, file) in enumerate(WEIGHTS.items())
        ],
        words=(*_NAMES, b'"dtype":"F32"', b'"shape":[', b'"I32"', b"position_ids"),
    ),
    "hdf5": Target(
        hdf5,
        ("checkpoint.formats.hdf5",),
        lambda: [damage_hdf5.small_hdf5()],
        words=(b"TREE", b"HEAP", b"SNOD", b"\xff" * 8),
    ),
    "tf_model": Target(
        tf_model,
        ("checkpoint.families.huggingface.tf_model",),
        lambda: [damage_hdf5.small_tf_model()],
        words=(b"TREE", b"HEAP", b"SNOD", b"albert_layer_groups_._0", b"kernel:0", b"gamma:0"),
    ),
    "keras_config": Target(
        keras_config,
        ("checkpoint.families.keras_hub.config",),
        lambda: [tiny_files.folder_of("keras_hub")[x] for x in ("config.json", "task.json")],
        ("task.json",),
        _JSON,
        structured.json_document,
    ),
    "object_graph": Target(
        object_graph,
        ("checkpoint.families._tf.names",),
        lambda: [damage_tf.small_object_graph()],
        mutate=structured.protobuf_message,
    ),
    "onnx": Target(
        onnx,
        (
            "checkpoint.families.onnx",
            *(
                f"checkpoint.families.onnx.{path.stem}"
                for path in sorted((FAMILIES / "onnx").glob("[a-z]*.py"))
            ),
        ),
        lambda: [tiny_files.onnx_graph()],
        ("*.onnx", "*.onnx.gz"),
        (b"MatMul", b"Gather", b"Add", b"Constant", b"Reshape", b"Softmax", b"value", b"perm"),
        structured.protobuf_message,
    ),
    "paddle": Target(
        paddle,
        ("checkpoint.formats.pdparams",),
        lambda: [
            _ARRAY,
            tiny_files.paddle_old(),
            tiny_files.folder_of("paddlenlp")["model_state.pdparams"],
        ],
        words=_NAMES,
    ),
    "pickles": Target(
        pickles,
        (
            *("checkpoint.formats.unpickle", "checkpoint.formats.unpickle_allowed"),
            "checkpoint.formats.pickled_objects",
        ),
        lambda: [
            _ARRAY,
            tiny_files.pickle.dumps({"a": np.arange(3, dtype="f4")}, 0),
            tiny_files.pickle.dumps({"a": np.arange(3, dtype="f4")}, 2),
            tiny_files.torch_pickle(),
        ],
        words=_NAMES,
    ),
    "safetensors": Target(
        safetensors,
        (
            "checkpoint.formats.safetensors_file",
            "checkpoint.formats.dtypes",
            "checkpoint.formats.memory_map",
        ),
        lambda: [tiny_files.folder_of("huggingface")["model.safetensors"]],
        words=(*_JSON, b'"dtype"', b'"F16"', b'"BF16"', b'"shape"', b'"data_offsets"'),
        mutate=structured.safetensors_file,
    ),
    "shard_index": Target(
        shard_index,
        ("checkpoint.formats.sharded",),
        lambda: [tiny_files.shards()["model.safetensors.index.json"]],
        words=(*_JSON, b'"weight_map"', b"../"),
        mutate=structured.json_document,
    ),
    "sorted_table": Target(
        sorted_table, ("checkpoint.formats.leveldb_table",), lambda: [_TF], ("*snappy.ckpt.index",)
    ),
    "spiece": Target(
        spiece,
        ("text.unigram", "text.sentencepiece_check"),
        lambda: [tiny_files.spiece(), tiny_files.spiece(table=True)],
        words=(b"\x15\0\0\xc0\x7f", b"\x18\x02", b"\x18\x03", b"[CLS]", b"\xff" * 4),
        mutate=structured.protobuf_message,
    ),
    "tensor_bundle": Target(
        tensor_bundle,
        ("checkpoint.formats.tensor_bundle",),
        lambda: [_TF, tiny_files.data_shards()["model.ckpt-best.index"]],
        ("*.index",),
    ),
    "tf_graph": Target(
        tf_graph,
        ("checkpoint.families._tf.graph",),
        lambda: [
            tiny_files.graph("google_relu")[:9000],
            *damage_tf.small_graphs(),
        ],
        words=(b"Const", b"Reshape", b"Pack", b"MatMul", b"/encoder/", b"/self/query/"),
        mutate=structured.protobuf_message,
    ),
    "tokenizer_json": Target(
        tokenizer_json,
        ("text.tokenizer_json", "text.tokenizer_json_check"),
        lambda: [
            _tokenizer_json("vocab.txt", tiny_files.vocabulary()),
            _tokenizer_json("spiece.model", tiny_files.spiece(table=True)),
            *library_tokenizers.seeds(),
        ],
        words=(*_JSON, b'"WordPiece"', b'"Unigram"', b'"BPE"', b'"normalizer"', b'"Precompiled"'),
        mutate=structured.json_document,
    ),
    "tokenizer_settings": Target(
        tokenizer_settings,
        ("text.vocabulary_files", "text.tokenizer_settings"),
        lambda: [b'{"do_lower_case": true, "albertkit_quotes": "keep"}', _settings()],
        words=(*_JSON, b'"do_lower_case"', b'"albertkit_quotes"'),
        mutate=structured.json_document,
    ),
    "torch_stream": Target(
        torch_file,
        ("checkpoint.formats.torch_save", "checkpoint.formats.state_dict"),
        lambda: [tiny_files.torch_stream()],
        words=_NAMES,
    ),
    "torch_zip": Target(
        torch_file,
        ("checkpoint.formats.stored_zip",),
        lambda: [tiny_files.torch_zip(sums=False)],
        words=(*_NAMES, b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x07"),
    ),
    "vocabulary": Target(
        vocabulary, ("text.wordpiece",), lambda: [tiny_files.vocabulary()], words=(b"##", b"\n\n")
    ),
    "wire": Target(
        wire, ("checkpoint.formats.protobuf_wire",), lambda: [tiny_files.spiece(table=True)]
    ),
}
