"""TensorFlow's checkpoint container: read as TensorFlow reads it, written so that it can."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import cramjam
import numpy as np
import pytest

from albertkit.checkpoint.formats import leveldb_table
from albertkit.checkpoint.formats.leveldb_table import (
    crc32c,
    masked,
    read_table,
    write_table,
    written_varint,
)
from albertkit.checkpoint.formats.tensor_bundle import Bundle, read_bundle, read_index, write_bundle
from albertkit.errors import CheckpointError

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
SHARED = GOLDEN.parents[2] / "shared" / "golden"
HEADER = b"\x08\x01\x1a\x02\x08\x01"
# google's albert_base with its pretraining heads: every variable of the released file.
BLOCK = "bert/encoder/transformer/group_0/inner_group_0"
RELEASED: dict[str, tuple[int, ...]] = {
    "bert/embeddings/word_embeddings": (30000, 128),
    "bert/embeddings/token_type_embeddings": (2, 128),
    "bert/embeddings/position_embeddings": (512, 128),
    "bert/embeddings/LayerNorm/gamma": (128,),
    "bert/embeddings/LayerNorm/beta": (128,),
    "bert/encoder/embedding_hidden_mapping_in/kernel": (128, 768),
    "bert/encoder/embedding_hidden_mapping_in/bias": (768,),
    **{
        f"{BLOCK}/attention_1/{part}/{kind}": (768, 768) if kind == "kernel" else (768,)
        for part in ("self/query", "self/key", "self/value", "output/dense")
        for kind in ("kernel", "bias")
    },
    f"{BLOCK}/LayerNorm/gamma": (768,),
    f"{BLOCK}/LayerNorm/beta": (768,),
    f"{BLOCK}/ffn_1/intermediate/dense/kernel": (768, 3072),
    f"{BLOCK}/ffn_1/intermediate/dense/bias": (3072,),
    f"{BLOCK}/ffn_1/intermediate/output/dense/kernel": (3072, 768),
    f"{BLOCK}/ffn_1/intermediate/output/dense/bias": (768,),
    f"{BLOCK}/LayerNorm_1/gamma": (768,),
    f"{BLOCK}/LayerNorm_1/beta": (768,),
    "bert/pooler/dense/kernel": (768, 768),
    "bert/pooler/dense/bias": (768,),
    "cls/predictions/transform/dense/kernel": (768, 128),
    "cls/predictions/transform/dense/bias": (128,),
    "cls/predictions/transform/LayerNorm/gamma": (128,),
    "cls/predictions/transform/LayerNorm/beta": (128,),
    "cls/predictions/output_bias": (30000,),
    "cls/seq_relationship/output_weights": (2, 768),
    "cls/seq_relationship/output_bias": (2,),
    "global_step": (),
}


def indexes() -> list:
    """Prefixes of all golden checkpoints; those without data file or values are left out."""
    found = []
    for root in (GOLDEN, SHARED):
        for path in sorted(root.glob("*_tf*/**/*.index")):
            hub = "tfhub" in str(path)  # no values of TensorFlow for these
            if list(path.parent.glob(path.stem + ".data-*")) and not hub:
                marks = [pytest.mark.shared] if root == SHARED else []
                name = f"{'shared/' if marks else ''}{path.parent.name}/{path.stem}"
                found.append(pytest.param(path.with_suffix(""), id=name, marks=marks))
    return found


@pytest.mark.parametrize("prefix", indexes())
def test_every_tensor_is_what_tensorflow_reads(prefix: Path) -> None:
    bundle = read_bundle(prefix)
    folder = prefix.parent
    if folder.name.endswith("_index_variants"):
        folder = folder.parent / "g1_i1_gelu"
    with np.load(folder / "weights.npz") as expected:
        for name in expected:
            assert bundle.raw(name).dtype == expected[name].dtype
            assert np.array_equal(bundle.raw(name), expected[name]), name


@pytest.mark.parametrize("variant", ["snappy", "multiblock_snappy", "multiblock_plain"])
def test_the_same_index_in_other_blocks_says_the_same(variant: str) -> None:
    folder = GOLDEN / "google_tf"
    entries, _ = read_index(folder / "g1_i1_gelu_index_variants" / f"{variant}.ckpt")
    assert entries == read_index(folder / "g1_i1_gelu" / "model.ckpt-best")[0]


def tensors() -> dict[str, np.ndarray]:
    """One of each kind and form."""
    draw = np.random.default_rng(7)
    wide = draw.standard_normal((40, 30)).astype(np.float32)
    return {
        "a/kernel": wide,
        "a/turned": wide.T,
        "a/part": wide[::2, 3:9],
        "b/scalar": np.array(3.5, dtype=np.float32),
        "b/none": np.zeros((0, 4), dtype=np.float32),
        "c/half": wide.astype(np.float16),
        "c/double": wide.astype(np.float64),
        "global_step": np.array(125000, dtype=np.int64),
    }


def test_what_is_written_reads_back_bit_by_bit(tmp_path: Path) -> None:
    write_bundle(tmp_path / "model.ckpt", tensors())
    bundle = read_bundle(tmp_path / "model.ckpt")
    assert list(bundle.entries) == sorted(tensors())
    for name, tensor in tensors().items():
        assert bundle.raw(name).dtype == tensor.dtype
        assert bundle.raw(name).tobytes() == tensor.tobytes()
        assert bundle.raw(name).shape == tensor.shape


def test_bfloat16_is_the_upper_half_rounded_to_even(tmp_path: Path) -> None:
    values = np.array([1.0, 1.00390625, 1.01171875, -2.5, np.inf, np.nan], dtype=np.float32)
    write_bundle(tmp_path / "model.ckpt", {"x": values}, "bfloat16")
    bundle = read_bundle(tmp_path / "model.ckpt")
    expected = [0x3F80, 0x3F80, 0x3F82, 0xC020, 0x7F80]
    assert bundle.entries["x"].dtype == "bfloat16"
    assert bundle.raw("x").tolist()[:5] == expected
    assert bundle.float32("x").tolist()[:5] == [1.0, 1.0, 1.015625, -2.5, np.inf]
    assert np.isnan(bundle.float32("x")[5])


def test_half_precision_reads_as_float32(tmp_path: Path) -> None:
    write_bundle(tmp_path / "model.ckpt", {"x": np.array([0.1], dtype=np.float32)}, "float16")
    assert read_bundle(tmp_path / "model.ckpt").float32("x").tolist() == [0.0999755859375]


def test_released_base_has_the_published_size(tmp_path: Path) -> None:
    zeros = {name: np.broadcast_to(np.float32(0), shape) for name, shape in RELEASED.items()}
    zeros["global_step"] = np.array(125000, dtype=np.int64)
    write_bundle(tmp_path / "model.ckpt-best", zeros)
    data = tmp_path / "model.ckpt-best.data-00000-of-00001"
    assert len(RELEASED) == 33
    assert data.stat().st_size == 47_255_248
    entries, shards = read_index(tmp_path / "model.ckpt-best")
    assert shards == 1
    assert {name: entry.shape for name, entry in entries.items()} == RELEASED
    read_bundle(tmp_path / "model.ckpt-best")


def test_long_indexes_have_many_blocks(tmp_path: Path) -> None:
    many = {f"layer_{n:04}/kernel": np.full(2, n, dtype=np.float32) for n in range(1500)}
    write_bundle(tmp_path / "model.ckpt", many)
    bundle = read_bundle(tmp_path / "model.ckpt")
    assert (tmp_path / "model.ckpt.index").stat().st_size > 8 * 4096
    assert all(np.array_equal(bundle.raw(name), many[name]) for name in many)


def test_checksums_are_those_of_the_standard() -> None:
    # RFC 3720, B.4: 32 bytes of zeros; the mask is LevelDB's.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes(20), crc32c(bytes(12))) == 0x8A9136AA
    assert masked(0x8A9136AA) == ((0x8A9136AA >> 15 | 0x8A9136AA << 17) + 0xA282EAD8) % 2**32


def entry(
    *, size: int = 8, offset: int = 0, kind: int = 1, axis: int = 2, more: bytes = b""
) -> bytes:
    """A value of the index: float32 (2,) at 0, its checksum that of zeros."""
    dimension = b"\x08" + written_varint(axis)
    shape = b"\x12" + bytes([len(dimension)]) + dimension
    place = b"\x20" + written_varint(offset) + b"\x28" + written_varint(size)
    crc = struct.pack("<I", masked(crc32c(bytes(8))))
    shape_field = b"\x12" + bytes([len(shape)]) + shape
    return b"\x08" + written_varint(kind) + shape_field + place + b"\x35" + crc + more


def bundle_of(folder: Path, items: list[tuple[bytes, bytes]], header: bytes = HEADER) -> Bundle:
    """Read a checkpoint of these entries and 64 zeros."""
    write_table(folder / "x.index", [(b"", header), *items])
    (folder / "x.data-00000-of-00001").write_bytes(bytes(64))
    return read_bundle(folder / "x")


def test_the_undamaged_twin_opens(tmp_path: Path) -> None:
    assert bundle_of(tmp_path, [(b"a", entry())]).raw("a").tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("items", "found"),
    [
        ([(b"b", entry()), (b"a", entry(offset=8))], "after"),
        ([(b"a", entry()), (b"a", entry(offset=8))], "after"),
        ([(b"a", entry()), (b"b", entry(offset=4))], "begins inside"),
        ([(b"a", entry(axis=3))], "expected: 12 bytes"),
        ([(b"a", entry(axis=2**62))], "shape"),
        ([(b"a", entry(size=2**63))], "bytes at"),
        ([(b"a", entry(offset=60))], "64 bytes"),
        ([(b"a", entry(more=b"\x18\x01"))], "of file 1"),
        ([(b"a", entry(more=b"\x3a\x00"))], "slices"),
        ([(b"\0\x01a", entry())], "slices"),
        ([(b"\xff\xfe", entry())], "UTF-8"),
        ([(b"a", entry()[:-1])], "field"),
        ([(b"a" * 2000, entry())], "smaller"),
    ],
)
def test_impossible_indexes_are_refused(
    tmp_path: Path, items: list[tuple[bytes, bytes]], found: str
) -> None:
    with pytest.raises(CheckpointError, match=found):
        bundle_of(tmp_path, items)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"\x08\x01\x10\x01", "big-endian"),
        (b"\x08\x00", "data files"),
        (b"\x08\xff\xff\x7f", "data files"),
        (b"\x08\x02", "missing"),
        (b"\x08\x01\x1a\x02\x10\x09", "version"),
    ],
)
def test_headers_that_we_cannot_follow_are_refused(
    tmp_path: Path, header: bytes, found: str
) -> None:
    with pytest.raises(CheckpointError, match=found):
        bundle_of(tmp_path, [(b"a", entry())], header)


def test_strings_and_unknown_kinds_are_listed_but_not_read(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, [(b"a", entry(kind=7)), (b"b", entry(kind=99, offset=8))])
    assert [bundle.entries[name].dtype for name in "ab"] == ["string", "type 99"]
    for name in "ab":
        with pytest.raises(CheckpointError, match="no numbers"):
            bundle.raw(name)


def test_a_snappy_block_may_not_unpack_to_more_than_it_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path / "x", {"a": np.zeros(2, dtype=np.float32)})
    table = (tmp_path / "x.index").read_bytes()
    assert read_table(tmp_path / "x.index")
    block = cramjam.snappy.compress_raw(bytes(100_000))
    for packed in (bytes(block), written_varint(2**32 - 1) + bytes(block)[3:]):
        body = packed + b"\x01" + struct.pack("<I", masked(crc32c(packed + b"\x01")))
        handle = written_varint(0) + written_varint(len(packed))
        footer = (handle * 2).ljust(40, b"\0") + table[-8:]
        (tmp_path / "x.index").write_bytes(body + footer)
        monkeypatch.setattr(leveldb_table, "MAX_UNPACKED_BYTES", 50_000)
        with pytest.raises(CheckpointError, match="packed into"):
            read_table(tmp_path / "x.index")


def test_missing_and_cut_files_are_named(tmp_path: Path) -> None:
    write_bundle(tmp_path / "x", tensors())
    data = tmp_path / "x.data-00000-of-00001"
    content = data.read_bytes()
    data.write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match="cut"):
        read_bundle(tmp_path / "x")
    data.unlink()
    with pytest.raises(CheckpointError, match=r"no x\.data-00000-of-00001"):
        read_bundle(tmp_path / "x")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_bundle(tmp_path / "y")


def test_each_flipped_bit_of_the_data_is_found(tmp_path: Path) -> None:
    write_bundle(tmp_path / "x", tensors())
    data = tmp_path / "x.data-00000-of-00001"
    content = data.read_bytes()
    for place in range(0, len(content), 997):
        data.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(CheckpointError, match="checksum in the index"):
            read_bundle(tmp_path / "x")
        read_bundle(tmp_path / "x", check=False)
    data.write_bytes(content)
    read_bundle(tmp_path / "x")


@pytest.mark.parametrize(
    "name", ["g1_i1_gelu/model.ckpt-best", "g1_i1_gelu_index_variants/multiblock_snappy.ckpt"]
)
def test_damaged_indexes_are_refused_or_say_the_same(tmp_path: Path, name: str) -> None:
    original = GOLDEN / "google_tf" / name
    whole = original.with_name(original.name + ".index").read_bytes()
    expected = read_index(original)
    shutil.copy(original.with_name(original.name + ".index"), tmp_path / "x.index")

    def outcome(content: bytes) -> str:
        (tmp_path / "x.index").write_bytes(content)
        try:
            return "same" if read_index(tmp_path / "x") == expected else "other"
        except CheckpointError:
            return "refused"

    assert outcome(whole) == "same"
    cuts = {outcome(whole[:size]) for size in range(1, len(whole), 97)}
    assert cuts == {"refused"}
    flips = [
        outcome(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        for place in range(0, len(whole), 17)
    ]
    assert set(flips) <= {"refused", "same"}
    assert flips.count("same") < 8  # the block of filters, which nobody needs, and padding
