"""Words and tags: which token judges a word, targets, long sentences, figures of entities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albertkit.data.tables import BadRows
from albertkit.errors import CorpusError, TrainingError
from albertkit.hub import shipped
from albertkit.tasks.examples import TagExample
from albertkit.tasks.figures import deciding_figure, figures_of
from albertkit.tasks.head import TaskHead
from albertkit.tasks.tag_words import encode, first_tokens, head_for, targets_of
from albertkit.tasks.tagged_files import as_bio, has_marks, read_tagged
from albertkit.text.encoding import Encoding
from albertkit.text.tokenizer import Tokenizer

BIO = TaskHead("token_classification", 5, ("O", "B-LOC", "I-LOC", "B-PER", "I-PER"))


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Tokenizer:
    return Tokenizer.load(tiny_model / "model")


def sentence(words: str, tags: str) -> TagExample:
    return TagExample("0", tuple(words.split()), tuple(tags.split()))


def test_a_word_is_judged_by_its_first_token(tokenizer: Tokenizer) -> None:
    words = ("the", "cats", "ran.", "猫", "zebra", "mat")
    whole = tokenizer.encode(" ".join(words))
    pieces = [tokenizer.pieces[i] for i in whole.ids[1:-1]]
    assert pieces == ["the", "cat", "##s", "ran", ".", "猫", "[UNK]", "mat"]
    assert first_tokens(whole, words).tolist() == [0, 1, -1, 2, -1, 3, 4, 5]


def test_first_tokens_of_a_sentencepiece_vocabulary() -> None:
    tokenizer = Tokenizer.load(shipped("albertkit/tiny-en"))
    words = ("Ada", "Lovelace", "lived", "in", "猫", "U.N.", "2,009", "\u200b", "London")
    whole = tokenizer.encode(" ".join(words))
    first = first_tokens(whole, words)
    text = " ".join(words)
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])
    for word in range(len(words)):
        at = np.flatnonzero(first == word)
        if words[word] == "\u200b":  # becomes no token
            continue
        assert len(at) == 1, words[word]
        begin = whole.offsets[1 + at[0]][0]
        assert starts[word] <= begin < starts[word + 1], (words[word], text[begin:])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 4), max_size=6),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4))),
)
def test_first_tokens_are_those_found_one_after_the_other(
    sizes: list[int], places: list[tuple[int, int]]
) -> None:
    words = ["x" * size for size in sizes]
    text = " ".join(words)
    spans = sorted((start, start + size) for start, size in places if start + size <= len(text))
    whole = Encoding([0] * (len(spans) + 2), [], [(0, 0), *spans, (0, 0)], [])
    expected, seen = [], -1
    for start, end in spans:
        word = text[: max(start, end - 1)].count(" ")  # that of its last character
        expected.append(word if word > seen and end > start else -1)
        seen = max(seen, expected[-1])
    assert first_tokens(whole, words).tolist() == expected


def test_targets_of_words_and_what_cannot_be_learned() -> None:
    data = [sentence("a b c", "O B-PER I-PER"), sentence("d", "B-LOC")]
    head = head_for(data, "token_classification")
    assert head == BIO
    assert targets_of(head, data, "f").tolist() == [0, 3, 4, 1]
    parts = head_for([sentence("a b", "DET NOUN")], "token_classification")
    assert parts.labels == ("DET", "NOUN")
    with pytest.raises(TrainingError, match="same tag"):
        head_for([sentence("a b", "O O")], "token_classification")
    with pytest.raises(TrainingError, match="does not have") as caught:
        targets_of(head, [sentence("a", "B-ORG")], "dev.txt")
    assert caught.value.facts["found"] == "'B-ORG' (1)"


def test_long_sentences_have_every_word_in_a_window(tokenizer: Tokenizer) -> None:
    words = tuple(("cats", "the", "on", "dogs")[n % 4] for n in range(50))
    data = [TagExample("0", words, ("O",) * 50), TagExample("1", ("a", "mat"), ("O", "O"))]
    rows = encode(tokenizer, data, 12)
    assert rows.positions is not None
    assert rows.sizes.tolist() == [50, 2]
    assert set(rows.owners.tolist()) == set(range(52))
    assert rows.batch.lengths.max() == 12
    places = rows.places(np.arange(len(rows.batch)), rows.batch)
    ids = rows.batch.ids[places]
    first = {"cats": "cat", "dogs": "dog"}
    wanted = [tokenizer.pieces.index(first.get(w, w)) for w in (*words, "a", "mat")]
    assert ids.tolist() == [wanted[owner] for owner in rows.owners]
    # A word that two windows hold has the mean of both, and counts once.
    outputs = np.stack([rows.owners, np.arange(len(rows.owners))], 1).astype(np.float32)
    assert rows.merge(outputs)[:, 0].tolist() == list(range(52))
    assert rows.weights.sum() == pytest.approx(52)


def test_figures_of_entities_by_hand() -> None:
    """Two of three predicted entities are right, of four that are there."""
    gold = ["O", "B-PER", "I-PER", "B-LOC", "B-PER", "O", "B-LOC"]
    found = ["O", "B-PER", "I-PER", "B-LOC", "O", "B-PER", "O"]
    index = {label: number for number, label in enumerate(BIO.labels)}
    logits = np.eye(5, dtype=np.float32)[[index[tag] for tag in found]]
    targets = np.array([index[tag] for tag in gold])
    figures = figures_of(BIO, logits, targets, np.array([4, 3]))
    assert figures["precision"] == pytest.approx(2 / 3)
    assert figures["recall"] == pytest.approx(2 / 4)
    assert figures["entity_f1"] == pytest.approx(2 * 2 / 7)
    assert figures["accuracy"] == pytest.approx(4 / 7)
    assert deciding_figure(BIO) == "entity_f1"
    parts = TaskHead("token_classification", 2, ("DET", "NOUN"))
    assert deciding_figure(parts) == "accuracy"


def test_an_entity_does_not_go_on_in_the_next_sentence() -> None:
    targets = np.array([3, 4])  # B-PER | I-PER
    logits = np.eye(5, dtype=np.float32)[[3, 4]]
    assert figures_of(BIO, logits, targets, np.array([1, 1]))["precision"] == 1
    only = np.eye(5, dtype=np.float32)[[3, 0]]
    assert figures_of(BIO, only, targets, np.array([1, 1]))["recall"] == 0.5


def test_tagged_files(tmp_path: Path) -> None:
    conll = tmp_path / "a.txt"
    conll.write_text("-DOCSTART- -X- O\n\nEU NNP I-ORG\nrejects VBZ O\n\nPeter NNP I-PER\n")
    found = list(read_tagged(conll, BadRows()))
    assert [(e.words, e.tags) for e in found] == [
        (("EU", "rejects"), ("I-ORG", "O")),
        (("Peter",), ("I-PER",)),
    ]
    assert has_marks(found)
    assert as_bio(found)[0].tags == ("B-ORG", "O")
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"tokens": ["EU", "x"], "ner_tags": ["S-ORG", "O"]}\n')
    assert as_bio(list(read_tagged(lines, BadRows())))[0].tags == ("B-ORG", "O")
    lines.write_text('{"words": ["a", "b"], "tags": ["DET"]}\n{"words": ["a"], "tags": ["DET"]}\n')
    with pytest.raises(CorpusError) as caught:
        list(read_tagged(lines, BadRows()))
    assert "line 1" in caught.value.facts["where"]
    bad = BadRows("skip")
    assert [e.words for e in read_tagged(lines, bad)] == [("a",)]
    lines.write_text('{"words": ["a"], "tags": ["DET"]}\nno JSON\n')
    with pytest.raises(CorpusError, match="not a JSON object"):
        list(read_tagged(lines, BadRows()))
    assert [e.id for e in read_tagged(lines, BadRows("skip"))] == ["1"]
    assert not has_marks([sentence("a b", "DET NOUN")])
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(CorpusError, match="no sentences"):
        list(read_tagged(tmp_path / "empty", BadRows()))
