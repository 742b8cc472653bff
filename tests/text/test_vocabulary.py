"""Training vocabularies of both kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
from sentencepiece import sentencepiece_model_pb2

from albertkit.errors import OutputError, VocabularyError
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.vocabulary import Kind, spread, train_vocabulary

KINDS = ["sentencepiece", "wordpiece"]


def proto_of(path: Path) -> sentencepiece_model_pb2.ModelProto:
    return sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())


@pytest.mark.shared
def test_a_sentencepiece_vocabulary_has_the_settings_of_the_released_one(
    shared: Path, small_english: Path
) -> None:
    ours = proto_of(small_english / "spiece.model")
    released = proto_of(shared / "vocab/en/30k-clean.model")
    assert [(p.piece, p.type) for p in ours.pieces[:13]] == [
        (p.piece, p.type) for p in released.pieces[:13]
    ]
    assert ours.normalizer_spec.name == released.normalizer_spec.name == "nmt_nfkc"
    names = (
        *("model_type", "character_coverage", "max_sentencepiece_length", "split_by_number"),
        *("split_by_unicode_script", "split_by_whitespace", "pad_id", "unk_id", "bos_id"),
        *("eos_id", "control_symbols", "user_defined_symbols", "shrinking_factor"),
        *("seed_sentencepiece_size", "num_sub_iterations"),
    )
    for name in names:
        assert getattr(ours.trainer_spec, name) == getattr(released.trainer_spec, name), name
    for name in ("add_dummy_prefix", "remove_extra_whitespaces", "escape_whitespaces"):
        wanted = getattr(released.normalizer_spec, name)
        assert getattr(ours.normalizer_spec, name) == wanted, name


def test_the_quote_among_the_user_defined_pieces_swallows_none_behind_it(
    small_english: Path,
) -> None:
    # As one string the list would be read as CSV, and the bare quote would join what follows.
    tokenizer = Tokenizer.load(small_english)
    wanted = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "(", ")", '"', "-", ".", "\u2013"]
    assert tokenizer.pieces[:13] == [*wanted, "\u00a3", "\u20ac"]


@pytest.mark.parametrize("kind", KINDS)
def test_vocabularies_have_the_asked_size_and_no_capitals_and_are_made_the_same_again(
    tmp_path: Path, kind: Kind, english_lines: list[str], chinese_lines: list[str]
) -> None:
    lines = english_lines + chinese_lines
    size = 600
    first = train_vocabulary(iter(lines), kind, size, tmp_path / "a")
    second = train_vocabulary(lines, kind, size, tmp_path / "b")
    made, again = Tokenizer.load(first), Tokenizer.load(second)
    assert made.kind == kind
    assert made.vocab_size == size == len(set(made.pieces))
    assert made.pieces == again.pieces
    assert made.fingerprint == again.fingerprint
    learned = [piece for number, piece in enumerate(made.pieces) if number > 4]
    assert all(piece == piece.lower() for piece in learned)
    text = "The statement raises an exception of the type."
    assert made.unk_id not in made.ids(text)
    assert made.decode(made.ids(text)).replace(" ", "") == text.lower().replace(" ", "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_cased_vocabulary_keeps_capitals_and_says_so_in_its_settings(
    tmp_path: Path, kind: Kind, english_lines: list[str]
) -> None:
    made = Tokenizer.load(
        train_vocabulary(english_lines, kind, 600, tmp_path / "cased", lower_case=False)
    )
    assert made.lower_case is False
    assert any(piece != piece.lower() for piece in made.pieces[5:])


def test_a_wordpiece_vocabulary_has_chinese_characters_one_by_one(small_chinese: Path) -> None:
    pieces = Tokenizer.load(small_chinese).pieces
    assert pieces[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert {"\u4e2d", "\u5317", "\uff0c"} <= set(pieces)
    han = [piece for piece in pieces if any("\u4e00" <= c <= "\u9fff" for c in piece)]
    assert all(len(piece.removeprefix("##")) == 1 for piece in han)


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_too_large_for_the_text_is_refused_with_the_largest_that_works(
    tmp_path: Path, kind: Kind, capfd: pytest.CaptureFixture[str], english_lines: list[str]
) -> None:
    lines = english_lines[:200]
    with pytest.raises(VocabularyError, match="at most") as caught:
        train_vocabulary(lines, kind, 50_000, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
    largest = int(str(caught.value).split("at most ")[1].split()[0].replace(",", ""))
    made = Tokenizer.load(train_vocabulary(lines, kind, largest, tmp_path / "b"))
    assert made.vocab_size == largest
    assert f"size={largest}" in caught.value.facts["to do"]
    assert f"--size {largest}" in caught.value.for_command_line()
    assert capfd.readouterr() == ("", "")  # the libraries are kept quiet


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["a", "hello world", "\u6211\u4eec\u5728", "... ---"])
def test_the_largest_size_of_a_tiny_text_is_named_and_works(
    tmp_path: Path, kind: Kind, text: str
) -> None:
    with pytest.raises(VocabularyError) as caught:
        train_vocabulary([text], kind, 30_000, tmp_path / "a")
    largest = int(caught.value.facts["to do"].split("size=")[1].split(",")[0])
    assert (
        Tokenizer.load(train_vocabulary([text], kind, largest, tmp_path / "a")).vocab_size
        == largest
    )
    with pytest.raises(VocabularyError):
        train_vocabulary([text], kind, largest + 1, tmp_path / "b")


@pytest.mark.parametrize(
    ("kind", "size"),
    [*((kind, size) for kind in KINDS for size in (-1, 0, 5)), ("sentencepiece", 20)],
)
def test_a_size_too_small_is_refused(
    tmp_path: Path, kind: Kind, size: int, english_lines: list[str]
) -> None:
    with pytest.raises(VocabularyError, match="at least"):
        train_vocabulary(english_lines, kind, size, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("texts", [[], [""], ["  ", "\t\n"]])
def test_no_text_is_refused(tmp_path: Path, kind: Kind, texts: list[str]) -> None:
    with pytest.raises(VocabularyError, match="no text"):
        train_vocabulary(texts, kind, 100, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_and_a_taken_folder_are_refused(
    tmp_path: Path, english_lines: list[str]
) -> None:
    with pytest.raises(VocabularyError, match="sentencepiece or wordpiece"):
        train_vocabulary(["a"], "bpe", 100, tmp_path / "a")  # type: ignore[arg-type]
    (tmp_path / "taken").write_text("x")
    with pytest.raises(OutputError):
        train_vocabulary(english_lines, "wordpiece", 400, tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "x"


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_lines_are_trained_on_without_harm(
    tmp_path: Path, kind: Kind, english_lines: list[str]
) -> None:
    hostile = ["a\x00b", "\ufeff", "\u2581\u2581", "[MASK] <pad>", "x" * 50_000, "\u0301" * 100]
    made = Tokenizer.load(train_vocabulary([*english_lines, *hostile], kind, 600, tmp_path / "a"))
    assert made.vocab_size == 600
    assert not any("\x00" in piece for piece in made.pieces)


def test_a_long_corpus_is_thinned_out_evenly() -> None:
    texts = [f"{n:04}" for n in range(1000)]
    assert spread(texts, 4000) == texts
    kept = [int(text) for text in spread(iter(texts), 1000)]
    assert sum(len(f"{n:04}") for n in kept) <= 1000
    steps = {b - a for a, b in zip(kept, kept[1:], strict=False)}
    assert len(steps) == 1
    assert kept[0] == 0
    assert kept[-1] > 980
    assert len(kept) >= 125
