"""LoadResult raw text: every format, every container, and what is wrong with real files."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
import tracemalloc
from pathlib import Path

import cramjam
import pytest

from albertkit.data import archives
from albertkit.data import corpus as corpus_module
from albertkit.data import lines as lines_module
from albertkit.data.corpus import read_documents
from albertkit.data.text_formats import format_of, language_of
from albertkit.errors import CorpusError

TEXT = "One is here. Two is there.\nThree.\n\nFour.\nFive.\n"
TEXT_SENTENCES = [["One is here.", "Two is there.", "Three."], ["Four.", "Five."]]
WRAPPED = (
    "It was the best of times, it was the worst\n"
    "of times, it was the age of wisdom, it was\n"
    "the age of foolishness. It was the epoch of\n"
    "belief, it was the epoch of half-\n"
    "incredulity, it was the season of Light, it\n"
    "was the season of Darkness, it was the\n"
    "spring of hope.\n\n"
    "It was the winter of despair, we had\n"
    "everything before us, we had nothing before\n"
    "us, we were all going direct to Heaven, we\n"
    "were all going direct the other way.\n"
)


def sentences_in(path: str | Path | list[Path], **options: str) -> list[list[str]]:
    return [document.sentences for document in read_documents(path, **options)]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "format", "content", "expected"),
    [
        ("a.txt", "text", TEXT, TEXT_SENTENCES),
        ("a.txt", "text", TEXT.replace("\n", "\r\n").rstrip(), TEXT_SENTENCES),
        ("a.txt", "text", "\ufeff" + TEXT.replace("\n", "\r"), TEXT_SENTENCES),
        ("a.txt", "lines", "A b. " * 50 + "\n" + "C d. " * 50, [["A b."] * 50, ["C d."] * 50]),
        (
            "a.jsonl",
            "jsonl",
            '{"text": "One\\u2028two.\\nThree."}\n\n{"id": 1, "text": "Four."}',
            [["One two.", "Three."], ["Four."]],
        ),
        (
            "wiki_00",
            "wiki",
            '<doc id="1" url="u" title="Cats">\nCats\n\nA cat. It purrs.\nHistory.\n\n</doc>\n'
            '<doc id="2" url="u" title="Stub">\nStub\n\n\n</doc>\n'
            '<doc id="3" url="u" title="Dogs">\nDogs\n\nDogs\nA dog.\n</doc>\n',
            [["A cat.", "It purrs.", "History."], ["Dogs", "A dog."]],
        ),
        (
            "wrapped.txt",
            "files",
            WRAPPED,
            [
                [
                    "It was the best of times, it was the worst of times, it was the age of wisdom,"
                    " it was the age of foolishness.",
                    "It was the epoch of belief, it was the epoch of half-incredulity, it was the"
                    " season of Light, it was the season of Darkness, it was the spring of hope.",
                    "It was the winter of despair, we had everything before us, we had nothing"
                    " before us, we were all going direct to Heaven, we were all going direct the"
                    " other way.",
                ]
            ],
        ),
        (
            "a.md",
            "markdown",
            "---\ntitle: x\n---\n# Head *line* #\n\n[\n![pic](a.png)\n][3]\n\n"
            "See [the page](http://a.b/c) or [that][1]\n"
            "and `code`.\n\n![pic](x.png)\n\n```\ncode. Here.\n```\n\n    indented code\n\n"
            "- One **point**.\n- Two <b>points</b>.\n\n> Quoted.\n\n| a | b |\n|---|---|\n\n"
            "中文\n续行。\n\n[1]: http://x.y\n",
            [
                [
                    "Head line",
                    "See the page or that and code.",
                    "One point.",
                    "Two points.",
                    "Quoted.",
                    "中文续行。",
                ]
            ],
        ),
    ],
)
def test_each_format_is_recognised_from_its_content_and_read(
    tmp_path: Path, name: str, format: str, content: str, expected: list[list[str]]
) -> None:
    path = write(tmp_path, name, content)
    corpus = read_documents(path)
    assert [document.sentences for document in corpus] == expected
    assert corpus.report.formats == {format: 1}
    assert corpus.report.documents == len(expected)
    assert sentences_in(path, format=format) == expected


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".gz", gzip.compress),
        (".xz", lzma.compress),
        (".bz2", bz2.compress),
        (".zst", lambda data: bytes(cramjam.zstd.compress(data))),
        (".any", lambda data: bytes(cramjam.zstd.compress(data)) * 2),
    ],
)
def test_compressed_files_read_like_plain_ones(tmp_path: Path, suffix: str, pack) -> None:
    packed = pack(("\n" + TEXT).encode())
    path = write(tmp_path, "a.txt" + suffix, packed)
    corpus = read_documents(path, format="text")
    times = 2 if suffix == ".any" else 1
    assert [document.sentences for document in corpus] == TEXT_SENTENCES * times
    assert corpus.bytes.done == corpus.bytes.total == len(packed)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_cut_off_archive_is_an_error_with_its_name(tmp_path: Path, suffix: str) -> None:
    pack = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": cramjam.zstd.compress}[suffix]
    packed = bytes(pack(os.urandom(5000).hex().encode()))
    path = write(tmp_path, "a.txt" + suffix, packed[: len(packed) // 2])
    with pytest.raises(CorpusError, match="damaged or cut off") as caught:
        sentences_in(path)
    assert str(path) in str(caught.value)


def tar_of(path: Path, members: dict[str, bytes | None]) -> Path:
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def test_a_tar_is_read_in_passing_without_links_and_without_writing(tmp_path: Path) -> None:
    members = {
        "../../b.txt": b"Up.",
        "link.txt": None,
        "photo.png": b"\0\0",
        "c.txt.gz": gzip.compress(b"Packed."),
        "d/e.md": b"# Head\n\nBody.",
    }
    for name in ("a.tar.xz", "a.tar"):
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        corpus = read_documents(tar_of(folder / name, members))
        assert [document.sentences for document in corpus] == [
            ["Up."],
            ["Packed."],
            ["Head", "Body."],
        ]
        assert corpus.report.skipped_files == 1
        assert [path.name for path in folder.iterdir()] == [name]
    assert not (tmp_path.parent / "b.txt").exists()


def test_folders_and_globs_give_their_files_in_order(tmp_path: Path) -> None:
    write(tmp_path, "b/two.txt", "Two.\n\nStill two.")
    write(tmp_path, "a/one.txt", "One.")
    write(tmp_path, "a/picture.png", b"\0")
    write(tmp_path, ".hidden/x.txt", "No.")
    expected = [["One."], ["Two.", "Still two."]]
    corpus = read_documents(tmp_path)
    assert [document.sentences for document in corpus] == expected
    assert corpus.report.skipped_files == 1
    assert corpus.bytes.done == corpus.bytes.total == 20
    assert sentences_in(str(tmp_path / "**" / "*.txt")) == expected
    assert sentences_in([tmp_path / "b/two.txt", tmp_path / "a/one.txt"], format="text") == [
        ["Two."],
        ["Still two."],
        ["One."],
    ]


def test_standard_input_is_read_and_has_no_total(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(gzip.compress(TEXT.encode()))

    monkeypatch.setattr(archives.sys, "stdin", Stdin)
    corpus = read_documents("-")
    assert [document.sentences for document in corpus] == TEXT_SENTENCES
    assert corpus.bytes.total is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no text"),
        (b"\xef\xbb\xbf \n\n", "holds no text"),
        (b"Good. \xff bad", "not valid UTF-8.*\n.*\n.*0xff.*\n.*a.txt, byte 6\n.*errors="),
        (b"x" * 300_000 + b"\xe4\xb8", "byte 300000"),
        (b"\xef\xbb\xbfok\0", "NUL.*\n.*\n.*\n.*byte 5"),
        ("text".encode("utf-16"), "UTF-16"),
    ],
)
def test_what_is_no_text_is_an_error_that_says_where(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = write(tmp_path, "a.txt", content)
    with pytest.raises(CorpusError, match=message):
        sentences_in(path)


def test_bad_bytes_are_replaced_and_counted_on_request(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", b"Bad \xff byte.\nNul\0here.")
    corpus = read_documents(path, errors="replace")
    assert [document.sentences for document in corpus] == [["Bad \ufffd byte.", "Nul here."]]
    assert corpus.report.replaced_characters == 2


def test_wrong_requests_say_what_is_possible(tmp_path: Path) -> None:
    for options in ({"format": "html"}, {"language": "de"}, {"errors": "ignore"}):
        with pytest.raises(CorpusError, match="must be one of"):
            read_documents(tmp_path, **options)
    with pytest.raises(CorpusError, match="not found"):
        sentences_in(tmp_path / "missing.txt")
    with pytest.raises(CorpusError, match="holds no text"):
        sentences_in(tmp_path)
    with pytest.raises(CorpusError, match="No text"):
        read_documents([])
    path = write(tmp_path, "a.jsonl", json.dumps({"text": "x"}) + '\n{"txt": 1}')
    with pytest.raises(CorpusError, match="line 2"):
        sentences_in(path)


def test_a_huge_line_is_read_in_bounded_memory_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "MAX_LINE_CHARACTERS", 20_000)
    monkeypatch.setattr(lines_module, "PIECE_BYTES", 8_000)
    path = write(tmp_path, "a.txt", "Words of a sentence. " * 100_000)  # 2 MB, no line end
    tracemalloc.start()
    corpus = read_documents(path, format="lines")
    count = sum(len(document.sentences) for document in corpus)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 100_000
    assert 100 <= corpus.report.cut_lines <= 110
    assert peak < 1.5e6


def test_a_huge_document_is_cut_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_module, "MAX_DOCUMENT_CHARACTERS", 20_000)
    path = tmp_path / "a.txt"
    path.write_text("Short sentence here.\n" * 1200)
    corpus = read_documents(path, format="files")
    assert len(list(corpus)) == 2
    assert corpus.report.cut_documents == 1


def test_language_and_format_are_recognised_from_little() -> None:
    assert language_of("Plain English, 中 one sign.") == "en"
    assert language_of("用 Python 写的 program 程序。") == "zh"
    assert format_of("一句。\n二句。\n", "a.txt", False) == "text"
    sentence = "It is a long sentence of many words that goes on and on and tells little" * 3
    assert format_of(f"{sentence}. {sentence}.\n" * 2, "a.txt", False) == "lines"
    assert format_of(f"{sentence}.\n" * 2, "a.txt", False) == "text"
    assert format_of("a\n\nb", "x.tar:a.txt", True) == "files"
    assert format_of('{"text": "cut off by the head', "-", False) == "jsonl"


@pytest.mark.parametrize("size", range(4, 12))
def test_pieces_may_be_cut_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(lines_module, "PIECE_BYTES", size)
    path = write(tmp_path, "a.txt", "\ufeffOne.\r\nTwo \u4e2d.\r\n\r\nThree.\rFour.\r")
    corpus = read_documents(path, format="text", language="en")
    assert [d.sentences for d in corpus] == [["One.", "Two \u4e2d."], ["Three.", "Four."]]
