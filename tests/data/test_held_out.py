"""Small corpora: however few the documents, something is trained on and something held out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fakes import SpaceSegmenter, WordTokenizer, documents_of

from albertkit.data.corpus import read_documents
from albertkit.data.shards import Shards
from albertkit.data.writing import ShardSummary, write_shards
from albertkit.errors import CorpusError


def sentences_of(count: int, seed: int = 0) -> list[str]:
    """Sentences of nine words, no two alike."""
    chance = random.Random(seed)
    return [" ".join(f"w{chance.randrange(300)}" for _ in range(9)) + "." for _ in range(count)]


def divided(folder: Path, documents: object, fraction: float) -> tuple[ShardSummary, list[Shards]]:
    tokenizer = WordTokenizer(5000)
    summary = write_shards(
        documents,  # type: ignore[arg-type]
        tokenizer,  # type: ignore[arg-type]
        folder,
        segmenter=SpaceSegmenter(tokenizer),
        validation_fraction=fraction,
    )
    return summary, [Shards(folder / name) for name in ("train", "validation")]


def lines_of(shards: Shards) -> list[tuple[int, ...]]:
    return [tuple(shards.sentence(i)[0].tolist()) for i in range(shards.num_sentences)]


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.5])
def test_one_document_is_held_out_in_spans_of_about_the_share(
    tmp_path: Path, fraction: float
) -> None:
    summary, (train, held_out) = divided(
        tmp_path / "data", documents_of(sentences_of(400)), fraction
    )
    assert summary.held_out_by == "spans of sentences"
    assert held_out.num_tokens == pytest.approx(3600 * fraction, rel=0.3)
    assert train.num_tokens + held_out.num_tokens == summary.tokens == 3600
    assert not set(lines_of(train)) & set(lines_of(held_out))
    for shards in (train, held_out):
        shards.verify()
        lengths = shards.document_offsets[1:] - shards.document_offsets[:-1]
        assert (lengths >= 2).all()
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "tokenizer", "train", "validation",
    ]  # fmt: skip


def test_sentences_of_a_document_keep_their_order_and_are_not_joined_over_a_gap(
    tmp_path: Path,
) -> None:
    tokenizer = WordTokenizer(5000)
    whole = sentences_of(200)
    ids = [tuple(SpaceSegmenter(tokenizer).encode([text])[0][0].tolist()) for text in whole]
    place = {sentence: number for number, sentence in enumerate(ids)}
    _, parts = divided(tmp_path / "data", documents_of(whole), 0.2)
    for shards in parts:
        found = [place[sentence] for sentence in lines_of(shards)]
        assert found == sorted(found)
        for begin, end in zip(shards.document_offsets, shards.document_offsets[1:], strict=False):
            assert found[end - 1] - found[begin] == end - begin - 1


@pytest.mark.parametrize("documents", [2, 3, 5, 12, 40])
@pytest.mark.parametrize("fraction", [0.02, 0.5])
def test_no_number_of_documents_leaves_a_part_empty_or_without_pairs(
    tmp_path: Path, documents: int, fraction: float
) -> None:
    for seed in range(8):
        texts = [sentences_of(4, seed * 1000 + number) for number in range(documents)]
        _, parts = divided(tmp_path / str(seed), documents_of(*texts), fraction)
        for shards in parts:
            assert shards.num_documents > shards.index["single_sentence_documents"]


def test_one_document_with_pairs_among_single_sentences_gives_them_to_both_parts(
    tmp_path: Path,
) -> None:
    singles = [[sentence] for sentence in sentences_of(60, seed=1)]
    for seed in range(5):
        texts = [*singles, sentences_of(9, seed=2 + seed)]
        _, parts = divided(tmp_path / str(seed), documents_of(*texts), 0.1)
        for shards in parts:
            assert shards.num_documents > shards.index["single_sentence_documents"]


def test_copies_of_a_document_stay_on_one_side_also_in_spans(tmp_path: Path) -> None:
    texts = [sentences_of(60, seed) for seed in range(3)]
    _, (train, held_out) = divided(tmp_path / "data", documents_of(*texts, *texts), 0.1)
    assert held_out.num_tokens
    assert not set(lines_of(train)) & set(lines_of(held_out))


@pytest.mark.parametrize("texts", [[["a b c", "d e f"]], [["a b"], ["c d"]], [["a b"] * 9]])
def test_the_smallest_corpora_still_have_two_parts(tmp_path: Path, texts: list[list[str]]) -> None:
    _, (train, held_out) = divided(tmp_path / "data", documents_of(*texts), 0.02)
    assert train.num_sentences >= 1
    assert held_out.num_sentences >= 1


def test_a_single_sentence_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        divided(tmp_path / "data", documents_of(["a b c"]), 0.02)
    assert "two sentences" in caught.value.facts["expected"]
    assert not list(tmp_path.iterdir())


def test_text_without_a_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        divided(tmp_path / "data", documents_of(["", " "]), 0.02)
    assert "1 documents" in caught.value.facts["found"]


@pytest.mark.parametrize("separator", ["\n", " "])
def test_a_file_without_blank_lines_is_divided_and_said_to_be_one_document(
    tmp_path: Path, separator: str
) -> None:
    text = separator.join(sentence.capitalize() for sentence in sentences_of(300))
    (tmp_path / "book.txt").write_text(text + "\n")
    corpus = read_documents(tmp_path / "book.txt")
    summary, (train, held_out) = divided(tmp_path / "data", corpus, 0.02)
    assert train.num_sentences + held_out.num_sentences == 300
    assert any("one document" in note for note in corpus.report.notes())
    assert any("spans" in note for note in summary.notes())


def test_long_single_sentences_one_a_line_make_pairs(tmp_path: Path) -> None:
    long = [" ".join(sentences_of(3, seed)).replace(".", ",") + "." for seed in range(80)]
    assert min(map(len, long)) > 100
    (tmp_path / "book.txt").write_text("\n".join(x * 2 for x in long) + "\n")
    _, (train, held_out) = divided(tmp_path / "data", read_documents(tmp_path / "book.txt"), 0.1)
    for shards in (train, held_out):
        assert shards.num_documents > shards.index["single_sentence_documents"]


def test_what_was_replaced_cut_or_left_out_has_a_line_for_people(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_bytes(b"One \xff sentence.\nTwo.\n\nThree.\nFour.\n")
    (tmp_path / "texts" / "b.png").write_bytes(b"\x89PNG\r\n")
    corpus = read_documents(tmp_path / "texts", errors="replace")
    list(corpus)
    notes = "\n".join(corpus.report.notes())
    assert "1 characters" in notes
    assert "1 files" in notes
