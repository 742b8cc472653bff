"""Opening and saving vocabularies: the kind is told from the files, and damage is told plainly."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from albertkit.config import AlbertConfig
from albertkit.errors import OutputError, VocabularyError
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.vocabulary import check_fits


def refusal(path: Path, **options: object) -> str:
    """The message with which a vocabulary is refused."""
    with pytest.raises(VocabularyError) as caught:
        Tokenizer.load(path, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "to do:" in message
    return message


def test_the_kind_is_recognised_from_the_files(small_english: Path, small_chinese: Path) -> None:
    assert Tokenizer.load(small_english).kind == "sentencepiece"
    assert Tokenizer.load(small_english / "spiece.model").kind == "sentencepiece"
    assert Tokenizer.load(str(small_chinese)).kind == "wordpiece"
    assert Tokenizer.load(small_chinese / "vocab.txt").kind == "wordpiece"


@pytest.mark.parametrize("lower_case", [True, False])
@pytest.mark.parametrize("quotes", ["keep", "rewrite"])
def test_a_saved_tokenizer_loads_with_the_same_settings(
    tmp_path: Path, small_english: Path, small_chinese: Path, lower_case: bool, quotes: str
) -> None:
    english = Tokenizer.load(small_english, lower_case=lower_case, quotes=quotes)
    chinese = Tokenizer.load(small_chinese, lower_case=lower_case)
    for number, tokenizer in enumerate((english, chinese)):
        folder = tmp_path / str(number)
        folder.mkdir()
        tokenizer.save(folder)
        again = Tokenizer.load(folder)
        assert again.fingerprint == tokenizer.fingerprint
        assert again.lower_case is lower_case
        assert again.pieces == tokenizer.pieces
        again.save(folder)  # over its own files
        assert Tokenizer.load(folder).fingerprint == tokenizer.fingerprint


def test_a_folder_with_both_kinds_or_neither_is_refused(
    tmp_path: Path, small_english: Path, small_chinese: Path
) -> None:
    assert "none of them" in refusal(tmp_path)
    (tmp_path / "spiece.model").write_bytes((small_english / "spiece.model").read_bytes())
    assert Tokenizer.load(tmp_path).kind == "sentencepiece"
    (tmp_path / "vocab.txt").write_bytes((small_chinese / "vocab.txt").read_bytes())
    assert "several: spiece.model, vocab.txt" in refusal(tmp_path)


def test_a_wrong_path_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "nothing.model")
    assert "no such file" in refusal(tmp_path / "nothing")
    other = tmp_path / "vocabulary.json"
    other.write_text("{}")
    assert "*.model" in refusal(other)


@pytest.mark.parametrize("size", [0, 1, 2, 10, 100, 5000, -1])
def test_a_cut_off_sentencepiece_model_is_refused(
    tmp_path: Path, small_english: Path, size: int
) -> None:
    path = tmp_path / "spiece.model"
    path.write_bytes((small_english / "spiece.model").read_bytes()[:size])
    assert str(path) in refusal(path)


@pytest.mark.parametrize(
    "content",
    [b"[PAD]\n[UNK]\n", b"\n\n\n", b"\x00" * 1000, b"\n\xff\xff\xff\xff\xff", b"\x80\x02}q\x00."],
    ids=["text", "blank lines", "zeros", "a length far beyond the file", "a pickle"],
)
def test_what_is_no_sentencepiece_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "spiece.model"
    path.write_bytes(content)
    assert str(path) in refusal(path)


def test_a_sentencepiece_model_with_a_damaged_piece_is_refused(
    tmp_path: Path, small_english: Path
) -> None:
    content = (small_english / "spiece.model").read_bytes()
    path = tmp_path / "spiece.model"
    path.write_bytes(content.replace(b"the", b"t\xffe", 1))
    assert str(path) in refusal(path)


def test_one_kind_under_the_name_of_the_other_is_refused(
    tmp_path: Path, small_english: Path, small_chinese: Path
) -> None:
    as_text = tmp_path / "vocab.txt"
    as_text.write_bytes((small_english / "spiece.model").read_bytes())
    assert "*.model" in refusal(as_text)
    as_model = tmp_path / "spiece.model"
    as_model.write_bytes((small_chinese / "vocab.txt").read_bytes())
    assert "vocab.txt" in refusal(as_model)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"a\nb\n", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n", b"\xff\xfe[\x00", b"a\x80\n"],
    ids=["empty", "blank", "no special pieces", "no mask", "UTF-16", "not UTF-8"],
)
def test_what_is_no_wordpiece_vocabulary_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    assert str(path) in refusal(path)


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_line_ends_of_windows_are_no_part_of_the_pieces(tmp_path: Path, ending: str) -> None:
    lines = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b"]
    path = tmp_path / "vocab.txt"
    path.write_bytes((ending.join(lines) + ending).encode())
    assert Tokenizer.load(path).pieces == lines


@pytest.mark.parametrize("content", ["", "{", "[1]", "[" * 100_000, '{"do_lower_case": "no"}'])
def test_damaged_settings_are_refused(tmp_path: Path, small_english: Path, content: str) -> None:
    (tmp_path / "spiece.model").write_bytes((small_english / "spiece.model").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(content)
    assert "tokenizer_config.json" in refusal(tmp_path)


def test_missing_permissions_are_reported(
    tmp_path: Path,
    small_english: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
) -> None:
    tokenizer = Tokenizer.load(small_english)
    path = tmp_path / "spiece.model"
    path.write_bytes((small_english / "spiece.model").read_bytes())
    path.chmod(0)
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    above = tmp_path
    while above.stat().st_mode & 0o777 == 0o700:  # pytest closes its folders to others
        above.chmod(0o755)
        above = above.parent
    with unprivileged():
        assert "ermission" in refusal(path)
        with pytest.raises(OutputError, match="permission"):
            tokenizer.save(folder)


def test_saving_where_no_folder_can_be_is_reported(tmp_path: Path, small_english: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("x")
    with pytest.raises(OutputError, match="folder"):
        Tokenizer.load(small_english).save(taken)


def test_a_vocabulary_that_does_not_fit_the_config_is_refused(small_chinese: Path) -> None:
    tokenizer = Tokenizer.load(small_chinese)
    check_fits(tokenizer, AlbertConfig(vocab_size=tokenizer.vocab_size))
    with pytest.raises(VocabularyError) as caught:
        check_fits(tokenizer, AlbertConfig(vocab_size=30000))
    message = str(caught.value)
    assert "30000" in message
    assert str(tokenizer.vocab_size) in message
    assert "to do:" in message
