"""SentencePiece models that would lead the C++ program astray never reach it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tiny_files
from damage_tf import field
from sentencepiece import sentencepiece_model_pb2

from albertkit.errors import VocabularyError
from albertkit.text import unigram
from albertkit.text.sentencepiece_check import check_model, check_table, replaces_ascii
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.vocabulary_files import MAX_PIECES

Proto = sentencepiece_model_pb2.ModelProto
MANY = f"more than {MAX_PIECES:,} pieces"
NAN, INFINITE = struct.unpack("<2f", b"\0\0\xc0\x7f\0\0\x80\x7f")


def changed(change: Callable[[Proto], object], *, bpe: bool = False) -> bytes:
    """A good model with one thing changed."""
    proto = tiny_files.model_proto()
    if bpe:
        proto.trainer_spec.model_type = sentencepiece_model_pb2.TrainerSpec.BPE
    change(proto)
    return bytes(proto.SerializeToString())


def score(value: float) -> Callable[[Proto], object]:
    return lambda proto: setattr(proto.pieces[6], "score", value)


def piece(value: str) -> Callable[[Proto], object]:
    return lambda proto: setattr(proto.pieces[6], "piece", value)


def kind(number: int, value: int) -> Callable[[Proto], object]:
    return lambda proto: setattr(proto.pieces[number], "type", value)


def table_of(units: dict[int, int], *, blocks: int = 1, texts: bytes = b"a\0") -> bytes:
    """A normalizer's table with these units of its trie; the others belong to nobody."""
    trie = [(number ^ 1) & 0xFF for number in range(256 * blocks)]
    for place, unit in units.items():
        trie[place] = unit
    raw = struct.pack(f"<{len(trie)}I", *trie)
    return struct.pack("<I", len(raw)) + raw + texts


ROOT = {0: 64 << 10}  # its children begin at 64
A = 64 ^ ord("A")


def tables() -> Iterator[tuple[str, bytes, str]]:
    """Tables that lead a walk out of the arrays, or on and on."""
    good = tiny_files.charsmap()
    yield "no end of its trie", good[:2], "a trie of"
    yield "a trie of 2 GB", struct.pack("<I", 1 << 31) + good[4:], "a trie of"
    yield "a trie of 4 GB", b"\xff" * 4 + good[4:], "a trie of"
    yield "no trie", bytes(4) + b"a\0", "a trie of"
    yield "a trie that is no block", struct.pack("<I", 1000) + good[4:], "a trie of"
    yield "no replacements", good[:-2], "a trie of"
    yield "a replacement without end", good[:-1], "without end"
    yield "a replacement of 2,000 bytes", table_of(ROOT, texts=b"a" * 2000 + b"\0"), "without end"
    yield "a replacement that is no text", table_of(ROOT, texts=b"\xff\0"), "utf-8"
    yield "a root far outside", table_of({0: 0x1FFFFF << 10}), "leaves its array"
    yield "a root far outside by the long form", table_of({0: 0x1FFFFF << 10 | 1 << 9}), "leaves"
    yield "a root just outside", table_of({0: 256 << 10}), "leaves its array"
    child = {A: 0x1FFFFF << 10 | ord("A")}
    yield "a child far outside", table_of({**ROOT, **child}), "leaves its array"
    leaf = {A: 4096 << 10 | 1 << 8 | ord("A")}
    yield "a value outside of the trie", table_of({**ROOT, **leaf}), "replacement outside"
    leaf = {A: (128 << 10) | 1 << 8 | ord("A"), A ^ 128: 1 << 31 | 2}
    yield "a value just outside of the texts", table_of({**ROOT, **leaf}), "replacement outside"
    leaf = {A: (128 << 10) | 1 << 8 | ord("A"), A ^ 128: 2**32 - 1}
    yield "a value far outside of the texts", table_of({**ROOT, **leaf}), "replacement outside"
    ring = {A: ((A ^ 64) << 10) | ord("A")}  # behind it, place 64 again
    yield "a trie without end", table_of({**ROOT, **ring}), "longer than 64"
    ring = {A: ((A ^ 64) << 10) | 1 << 8 | ord("A"), 64: 1 << 31}
    yield "matches without end", table_of({**ROOT, **ring}), "more than 32 matches"


def hostile() -> dict[str, tuple[bytes, str]]:
    """Models, and words of the error that each must give."""
    good = tiny_files.spiece()
    trainer = tiny_files.model_proto().trainer_spec.SerializeToString()
    kinds = Proto.SentencePiece
    cases = {
        "nothing": (b"", "no pieces"),
        "a text": (b"[PAD]\nthe\n", "no part of a model"),
        "a part that is longer than the file": (b"\x0a\xff\xff\xff\x7f", "no part of a model"),
        "a length without end": (b"\x0a" + b"\xff" * 12, "number without end"),
        "a key without end": (b"\xff" * 12, "number without end"),
        "a number as a part": (b"\x08\x01" + good, "no part of a model"),
        "a group": (b"\x0b" + good, "no part of a model"),
        "a part that nobody knows": (good + field(9, b"x"), "a part of kind 9"),
        "an extension": (good + field(200, b"x"), "a part of kind 200"),
        "no pieces": (changed(lambda p: p.ClearField("pieces")), "no pieces"),
        "no trainer": (changed(lambda p: p.ClearField("trainer_spec")), "not exactly one"),
        "no normalizer": (changed(lambda p: p.ClearField("normalizer_spec")), "not exactly one"),
        "two trainers": (good + field(2, trainer), "not exactly one"),
        "a trainer of 2 MB": (good + field(2, bytes(2 << 20)), "a part of kind 2"),
        "a piece of 2,000 bytes": (changed(piece("x" * 2000)), "a part of kind 1"),
        "a normalizer of 3 MB": (good + field(3, bytes(3 << 20)), "a part of kind 3"),
        "self-tests of 100 kB": (good + field(4, bytes(100_000)), "a part of kind 4"),
        "an empty piece": (changed(piece("")), "is empty or holds a zero"),
        "a piece with a zero byte": (changed(piece("a\0b")), "is empty or holds a zero"),
        "a piece that is no text": (good.replace(b"\x0a\x01b", b"\x0a\x01\xff"), "not UTF-8"),
        "one piece twice": (changed(piece("b")), "twice"),
        "a control piece twice": (changed(piece("[CLS]")), "twice"),
        "a score of NaN": (changed(score(NAN)), "the score nan"),
        "a score of infinity": (changed(score(INFINITE)), "the score inf"),
        "a score of minus infinity": (changed(score(-INFINITE)), "the score -inf"),
        "a score of 1e38": (changed(score(1e38)), "the score 9.9999"),
        "two unknown pieces": (changed(kind(6, kinds.UNKNOWN)), "unk"),
        "no unknown piece": (changed(kind(1, kinds.CONTROL)), "unk"),
        "its unknown piece is a control piece": (
            changed(lambda p: setattr(p.trainer_spec, "unk_piece", "[CLS]")),
            "unknown piece '[CLS]'",
        ),
        "another piece is the unknown one": (
            changed(lambda p: (kind(1, kinds.CONTROL)(p), kind(6, kinds.UNKNOWN)(p))),
            "unknown piece '<unk>'",
        ),
        "a byte that is none": (changed(kind(6, kinds.BYTE)), "byte"),
        "bytes without their pieces": (
            changed(lambda p: setattr(p.trainer_spec, "byte_fallback", True)),
            "byte",
        ),
        "a million pieces": (field(1, field(1, b"a")) * 1_000_000, MANY),
        "more pieces than may be": (field(1, b"") * (MAX_PIECES + 1) + good, MANY),
        "9 MB": (field(1, b"") * (9 << 19), "larger than"),
        "a denormalizer outside": (
            changed(lambda p: setattr(p.denormalizer_spec, "precompiled_charsmap", b"\xff" * 9)),
            "a trie of",
        ),
    }
    for name, table, found in tables():
        cases[f"a table with {name}"] = (
            bytes(tiny_files.model_proto(charsmap=table).SerializeToString()),
            found,
        )
    return cases


@pytest.mark.parametrize("name", hostile())
def test_hostile_models_are_refused_for_what_they_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, words = hostile()[name]
    # What SentencePiece itself finds out, and well, is left to it.
    if not words.startswith(("unk", "byte")):
        monkeypatch.setattr(unigram.sentencepiece, "SentencePieceProcessor", never)
    (tmp_path / "spiece.model").write_bytes(content)
    with pytest.raises(VocabularyError) as caught:
        Tokenizer.load(tmp_path / "spiece.model")
    message = str(caught.value)
    assert words in message
    assert "to do:" in message
    assert len(message) < 1000


def chain(letters: str, kind: int, sign: float) -> Callable[[Proto], object]:
    """999 pieces of each letter, every one a part of the next."""

    def add(proto: Proto) -> None:
        known = {piece.piece for piece in proto.pieces}
        for text in (letter * n for letter in letters for n in range(1, 1000)):
            if text not in known:
                proto.pieces.add(piece=text, score=sign * len(text), type=kind)

    return add


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (score(NAN), "the score nan"),
        (score(INFINITE), "the score inf"),
        (piece("b"), "twice"),
        (piece("x" * 2000), "a part of kind 1"),
        (
            lambda p: setattr(p.normalizer_spec, "precompiled_charsmap", table_of(ROOT)[:9]),
            "a trie of",
        ),
    ],
)
def test_hostile_bpe_models_are_refused_as_unigram_models_are(
    change: Callable[[Proto], object],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unigram.sentencepiece, "SentencePieceProcessor", never)
    (tmp_path / "spiece.model").write_bytes(changed(change, bpe=True))
    with pytest.raises(VocabularyError, match=words):
        Tokenizer.load(tmp_path / "spiece.model")


@pytest.mark.parametrize("kind", [Proto.SentencePiece.NORMAL, Proto.SentencePiece.UNUSED])
@pytest.mark.parametrize("sign", [-1.0, 0.0, 1.0])
def test_bpe_pieces_that_are_parts_of_each_other_are_read_and_never_written_out_in_pairs(
    kind: int, sign: float, tmp_path: Path
) -> None:
    """Half a million pairs of long pieces: 340 MB of tokenizer.json from 0.5 MB of model."""
    file = tmp_path / "spiece.model"
    file.write_bytes(changed(chain("c", kind, sign), bpe=True))
    tokenizer = Tokenizer.load(file)
    for text in ("c", "c" * 999, "c" * 5000, "a cc b"):
        ids, offsets = tokenizer.align(text)
        assert ids == tokenizer.ids(text)
        assert offsets[-1][1] == len(text)
    with pytest.raises(VocabularyError, match="larger than"):
        tokenizer.save(tmp_path)
    assert not (tmp_path / "tokenizer.json").exists()


def never() -> None:
    pytest.fail("the C++ program got to see it")


def test_there_are_enough_of_them() -> None:
    assert len(hostile()) >= 50


def test_the_undamaged_twins_open_and_their_tables_are_used(tmp_path: Path) -> None:
    for table in (False, True):
        (tmp_path / "spiece.model").write_bytes(tiny_files.spiece(table=table))
        assert Tokenizer.load(tmp_path / "spiece.model").pieces[5:] == ["\u2581a", "a", "b", "1,"]
        model = sentencepiece.SentencePieceProcessor(model_proto=tiny_files.spiece(table=table))
        assert model.normalize("bA") == ("\u2581ba" if table else "\u2581bA")


def test_tables_that_sentencepiece_makes_pass(small_english: Path, tmp_path: Path) -> None:
    check_model((small_english / "spiece.model").read_bytes())
    rules = tmp_path / "rules.tsv"
    rules.write_text("41\t61\n41 42 43 44\t64 63\n1F600\t3A\nFDFA\t" + "61 " * 17 + "62\n")
    made = tmp_path / "x"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e f g"] * 9),
        model_prefix=str(made),
        vocab_size=12,
        hard_vocab_limit=False,
        normalization_rule_tsv=str(rules),
        minloglevel=2,
    )
    proto = check_model(made.with_suffix(".model").read_bytes())
    assert len(proto.normalizer_spec.precompiled_charsmap) > 1024
    for name in ("nfkc", "nmt_nfkc_cf"):  # the largest that it has
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b c d e f g"] * 9),
            model_prefix=str(made),
            vocab_size=12,
            hard_vocab_limit=False,
            normalization_rule_name=name,
            minloglevel=2,
        )
        proto = check_model(made.with_suffix(".model").read_bytes())
        folds = replaces_ascii(proto.normalizer_spec.precompiled_charsmap)
        assert folds == name.endswith("_cf")  # case folding alone changes letters without accents


@pytest.mark.parametrize("table", [False, True])
def test_a_table_that_replaces_plain_letters_is_followed_in_batches(
    table: bool, tmp_path: Path
) -> None:
    (tmp_path / "spiece.model").write_bytes(tiny_files.spiece(table=table))
    tokenizer = Tokenizer.load(tmp_path / "spiece.model", lower_case=False)
    texts = ["a A", "bA", "ab 1,"]
    aligned = tokenizer.align_batch(texts)
    assert aligned == [tokenizer._align(text) for text in texts]
    space_a, unknown = 5, tokenizer.unk_id
    assert aligned[0] == (
        ([space_a, space_a], [(0, 1), (2, 3)]) if table else ([space_a, unknown], [(0, 1), (2, 3)])
    )


def test_every_changed_unit_of_a_table_is_seen_or_harmless() -> None:
    """Whatever passes must stay inside: a walk by the plain rules, for every byte, agrees."""
    table = tiny_files.charsmap()
    draw = np.random.default_rng(1)
    passed = 0
    for _ in range(600):
        copy = bytearray(table)
        place = 4 + 4 * int(draw.choice([0, A, A ^ 128, draw.integers(256)]))
        copy[place : place + 4] = int(draw.integers(1 << 32) >> draw.integers(32)).to_bytes(
            4, "little"
        )
        try:
            check_table(bytes(copy))
        except ValueError:
            continue
        passed += 1
        assert longest_walk(bytes(copy)) <= 64
    assert 20 < passed < 580


def longest_walk(table: bytes) -> int:
    """Follow the table as Darts-clone does, unit by unit; IndexError where it leaves its array."""
    size = struct.unpack_from("<I", table)[0]
    units = struct.unpack_from(f"<{size // 4}I", table, 4)
    texts = table[4 + size :]

    def offset(unit: int) -> int:
        return unit >> 10 << ((unit & 1 << 9) >> 6)

    waiting, longest = [(offset(units[0]), 0)], 0
    while waiting:
        place, depth = waiting.pop()
        longest = max(longest, depth)
        if depth > 64:
            break
        for byte in range(256):
            unit = units[place ^ byte]
            if unit & (1 << 31 | 0xFF) != byte:
                continue
            after = place ^ byte ^ offset(unit)
            if unit >> 8 & 1:
                assert texts.index(b"\0", units[after] & 0x7FFFFFFF) >= 0
            waiting.append((after, depth + 1))
    return longest
