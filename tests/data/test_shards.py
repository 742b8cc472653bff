"""Shards: what is written is what is read; what is damaged is refused."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from fakes import SpaceSegmenter, WordTokenizer, documents_of

from albertkit.data.corpus import read_documents
from albertkit.data.shards import Shards
from albertkit.data.writing import Progress, SplitWriter, write_shards
from albertkit.errors import CorpusError, OutputError, ShardError

DOCUMENTS = documents_of(["a b+c d", "e"], ["", "   "], ["a a a"])


def made(tmp_path: Path, vocab_size: int = 1000, **options) -> Path:
    tokenizer = WordTokenizer(vocab_size)
    folder = tmp_path / "data"
    write_shards(DOCUMENTS, tokenizer, folder, segmenter=SpaceSegmenter(tokenizer), **options)
    return folder


@pytest.mark.parametrize(("vocab_size", "bytes_each"), [(32768, 2), (32769, 4)])
def test_what_was_written_is_read_back(tmp_path: Path, vocab_size: int, bytes_each: int) -> None:
    folder = made(tmp_path, vocab_size)
    shards = Shards(folder / "train", tokenizer_fingerprint="f" * 64)
    shards.verify()
    assert (shards.num_documents, shards.num_sentences, shards.num_tokens) == (2, 3, 8)
    assert shards.document_offsets.tolist() == [0, 2, 3]
    assert shards.sentence_offsets.tolist() == [0, 4, 5, 8]
    ids, starts = shards.sentence(0)
    assert ids.tolist() == [5, 6, 7, 8]
    assert starts.tolist() == [True, True, False, True]
    assert (folder / "train" / "tokens.bin").stat().st_size == 8 * bytes_each
    assert shards.token_counts()[[5, 6, 9]].tolist() == [4, 1, 1]
    assert (folder / "tokenizer" / "vocab.txt").is_file()
    assert shards.special_ids.mask_id == 4
    assert shards.index["single_sentence_documents"] == 1


def test_the_largest_id_and_the_mark_do_not_meet(tmp_path: Path) -> None:
    for vocab_size in (1 << 15, 1 << 20):
        folder = tmp_path / str(vocab_size)
        with SplitWriter(folder, vocab_size) as writer:
            ids = np.array([vocab_size - 1, vocab_size - 1], np.uint32)
            writer.add([(ids, np.array([True, False]))])
        data = np.fromfile(folder / "tokens.bin", writer.dtype)
        assert (data & (writer.start_bit - 1)).tolist() == [vocab_size - 1] * 2
        assert (data >= writer.start_bit).tolist() == [True, False]


def test_held_out_documents_are_those_of_no_training_part(tmp_path: Path) -> None:
    texts = [[f"w{i} common", f"v{i}"] for i in range(400)]
    tokenizer = WordTokenizer(2000)
    documents = documents_of(*texts, *texts)  # every document twice
    summary = write_shards(
        documents,
        tokenizer,
        tmp_path / "data",
        segmenter=SpaceSegmenter(tokenizer),
        validation_fraction=0.25,
    )
    train, validation = (Shards(tmp_path / "data" / name) for name in ("train", "validation"))
    assert train.num_documents + validation.num_documents == summary.documents == 800
    assert 60 < validation.num_documents / 2 < 140
    first = [set(s.tokens_at(s.sentence_offsets[:-1:2])[0].tolist()) for s in (train, validation)]
    assert not first[0] & first[1]


def test_a_share_out_of_range_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="0 to 0.5"):
        made(tmp_path, validation_fraction=0.9)
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_replaced_only_on_request(tmp_path: Path) -> None:
    folder = made(tmp_path)
    before = (folder / "train" / "index.json").read_bytes()
    with pytest.raises(OutputError, match="already"):
        made(tmp_path)
    assert (folder / "train" / "index.json").read_bytes() == before
    made(tmp_path, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: SplitWriter, *args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SplitWriter, "add", full)
    with pytest.raises(OutputError, match="No space left"):
        made(tmp_path)
    assert not list(tmp_path.iterdir())


def test_input_that_fails_midway_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(b"good text.\n" * 100_000 + b"\xff")
    tokenizer = WordTokenizer()
    with pytest.raises(CorpusError, match="UTF-8"):
        write_shards(
            read_documents(source),
            tokenizer,
            tmp_path / "data",
            segmenter=SpaceSegmenter(tokenizer),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_progress_ends_with_all_of_the_input(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("One two.\n\nThree.\n")
    tokenizer = WordTokenizer()
    seen: list[Progress] = []
    summary = write_shards(
        read_documents(source),
        tokenizer,
        tmp_path / "data",
        segmenter=SpaceSegmenter(tokenizer),
        progress=seen.append,
    )
    last = seen[-1]
    assert (last.input_bytes, last.input_total, last.text_bytes) == (17, 17, 17)
    assert (last.documents, last.tokens) == (2, 3)
    assert summary.corpus["formats"] == {"text": 1}
    index = json.loads((tmp_path / "data/train/index.json").read_text())
    assert index["corpus"]["documents"] == 2


def test_damage_is_named(tmp_path: Path) -> None:
    folder = made(tmp_path) / "train"
    with pytest.raises(ShardError, match="another tokenizer"):
        Shards(folder, tokenizer_fingerprint="0" * 64)
    with pytest.raises(ShardError, match="open .*train"):
        Shards(folder.parent)
    with pytest.raises(ShardError, match="no such folder"):
        Shards(tmp_path / "nothing")
    data = bytearray((folder / "tokens.bin").read_bytes())
    data[0] ^= 1
    (folder / "tokens.bin").write_bytes(data)
    with pytest.raises(ShardError, match="SHA-256"):
        Shards(folder).verify()
    (folder / "tokens.bin").write_bytes(data[:-2])
    with pytest.raises(ShardError, match="16 bytes"):
        Shards(folder)
    (folder / "sentences.bin").unlink()
    with pytest.raises(ShardError, match="wrong size|missing"):
        Shards(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "not an index of albertkit"),
        ({"format_version": 99}, "version"),
        ({"num_tokens": "many"}, "damaged"),
        ({"files": None}, "damaged"),
        (None, "not JSON"),
    ],
)
def test_a_wrong_index_is_refused(tmp_path: Path, change: dict | None, message: str) -> None:
    path = made(tmp_path) / "train" / "index.json"
    index = json.loads(path.read_text())
    path.write_text("{" if change is None else json.dumps(index | change))
    with pytest.raises(ShardError, match=message):
        Shards(path.parent)
