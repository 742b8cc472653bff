"""Words added to a vocabulary: one piece each, and everything else as it was."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albertkit.checkpoint.tokenizers import open_tokenizer
from albertkit.errors import VocabularyError
from albertkit.text.added_words import AddedWords, add_words
from albertkit.text.learn_words import learn_words
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.words import segmenter_for

os.environ["HF_HUB_OFFLINE"] = "1"
MODELS = ["albertkit/tiny-en", "albertkit/tiny-zh"]
WORDS = {
    "albertkit/tiny-en": ["Polymerase", "myocarditis", "électromagnet", "covid-19", "xylo"],
    "albertkit/tiny-zh": ["劳动合同", "劳动合同法", "用人单位", "合同法", "Dockerfile"],
}
SENTENCES = {
    "albertkit/tiny-en": [
        "In 2009, the café re-opened; (polymer) ase, poly merase and myocardial damage.",
        "Electro magnets, covid 19, Covid - 19 and xyl are none of them. İ ﬁ ½ “quoted” …",
    ],
    "albertkit/tiny-zh": [
        "今天天气很好，ALBERT在学习。劳动和合同，用人的单位，docker 和 file。",
        "劳 动 合 同 法律，用人，单位；ΟΔΟ Kubernetes 2009，x²。",
    ],
}
ROUND = ["{}", " {} ", "x{}", "{}s", "({}),", "\u200b{}", "{}{}", "{}é"]


@pytest.fixture(scope="module", params=MODELS)
def grown(request: pytest.FixtureRequest) -> tuple[str, Tokenizer, AddedWords]:
    """Name of a model, its tokenizer, and the same with more words."""
    old = open_tokenizer(request.param)
    return request.param, old, add_words(old, WORDS[request.param])


def with_words(name: str) -> list[str]:
    """Sentences with words put anywhere into them, in every kind of neighbourhood."""
    chance = random.Random(0)
    made = []
    for text in SENTENCES[name] * 40:
        word = chance.choice(WORDS[name])
        word = chance.choice([word, word.upper(), word.lower(), word[:2] + "\u200b" + word[2:]])
        place = chance.randrange(len(text) + 1)
        pattern = chance.choice(ROUND)
        made.append(text[:place] + pattern.replace("{}", word) + text[place:])
    return made


def test_each_word_is_one_piece_behind_the_others(
    grown: tuple[str, Tokenizer, AddedWords],
) -> None:
    name, old, added = grown
    new = added.tokenizer
    assert new.pieces[: old.vocab_size] == old.pieces
    assert added.first_id == old.vocab_size
    assert new.vocab_size == old.vocab_size + len(WORDS[name])
    for word in WORDS[name]:
        (each,) = new.ids(word)
        assert each >= old.vocab_size
        assert added.old_ids[each - old.vocab_size] == old.ids(word)


def test_text_without_them_is_cut_as_before(grown: tuple[str, Tokenizer, AddedWords]) -> None:
    name, old, added = grown
    assert added.tokenizer.ids_batch(SENTENCES[name]) == old.ids_batch(SENTENCES[name])
    assert [added.tokenizer.align(x) for x in SENTENCES[name]] == [
        old.align(x) for x in SENTENCES[name]
    ]


def test_transformers_gives_equal_ids(
    grown: tuple[str, Tokenizer, AddedWords], tmp_path: Path
) -> None:
    transformers: Any = pytest.importorskip("transformers")
    name, _, added = grown
    transformers.AlbertConfig(vocab_size=added.tokenizer.vocab_size).save_pretrained(tmp_path)
    added.tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    texts = [*SENTENCES[name], *with_words(name), *WORDS[name]]
    wanted = theirs(texts, add_special_tokens=False)["input_ids"]
    assert added.tokenizer.ids_batch(texts) == wanted
    assert sum(any(i >= added.first_id for i in ids) for ids in wanted) > 20
    again = Tokenizer.load(tmp_path)
    assert again.fingerprint == added.tokenizer.fingerprint
    assert again.ids_batch(texts) == wanted


def test_offsets_and_word_starts_hold_with_the_words(
    grown: tuple[str, Tokenizer, AddedWords],
) -> None:
    name, _, added = grown
    new = added.tokenizer
    segmenter = segmenter_for(new)
    for text in with_words(name):
        ids, offsets = new.align(text)
        assert ids == new.ids(text)
        for each, (start, end) in zip(ids, offsets, strict=True):
            if each >= added.first_id:
                shown = text[start:end].lower().replace("\u200b", "").strip()
                assert shown.replace("é", "e") == new.pieces[each].removeprefix("▁")
        (marked,) = segmenter.encode([text])
        assert marked[0].tolist() == ids
        assert marked[1][marked[0] >= added.first_id].all()


def test_decoding_sets_no_space_around_chinese_words() -> None:
    new = add_words(open_tokenizer("albertkit/tiny-zh"), ["用人单位"]).tokenizer
    assert new.decode(new.ids("新的用人单位和人")) == "新的用人单位和人"


def test_a_word_inside_another_keeps_its_place() -> None:
    old = open_tokenizer("albertkit/tiny-en")
    added = add_words(old, ["polymerase", "polymer"])
    (longer,) = added.tokenizer.ids("polymerase")
    (shorter,) = added.tokenizer.ids("polymer")
    assert (longer, shorter) == (old.vocab_size, old.vocab_size + 1)


def test_what_is_a_piece_already_is_left_as_it_is() -> None:
    old = open_tokenizer("albertkit/tiny-en")
    added = add_words(old, ["the", "The", " polymerase ", "polymerase", ""])
    assert added.known == ["the", "The"]
    assert added.pieces == ["▁polymerase"]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("albertkit/tiny-en", "two words"),
        ("albertkit/tiny-en", "2,010,"),
        ("albertkit/tiny-zh", "node.js"),
        ("albertkit/tiny-zh", "C语言"),
        ("albertkit/tiny-zh", "\u200b"),
    ],
)
def test_what_cannot_be_a_piece_is_named(name: str, word: str) -> None:
    with pytest.raises(VocabularyError) as caught:
        add_words(open_tokenizer(name), ["", word])
    assert repr(word) in caught.value.facts["found"]


def test_words_are_added_once() -> None:
    first = add_words(open_tokenizer("albertkit/tiny-zh"), ["用人单位"])
    with pytest.raises(VocabularyError, match="No words can be added"):
        add_words(first.tokenizer, ["劳动合同"])


def test_the_words_learned_are_those_that_save_most_tokens() -> None:
    old = open_tokenizer("albertkit/tiny-en")
    texts = ["Polymerase binds; the polymerase moves."] * 6 + ["Myocarditis hurts."] * 5
    texts += ["xyloglucan"] * 4  # too rare
    saved = {
        "polymerase": 12 * (len(old.ids("polymerase")) - 1),
        "myocarditis": 5 * (len(old.ids("myocarditis")) - 1),
    }
    assert saved["polymerase"] > saved["myocarditis"]
    learned = learn_words(texts, old, 9)
    assert learned[:2] == ["polymerase", "myocarditis"]
    assert "xyloglucan" not in learned
    assert learn_words(texts, old, 1) == ["polymerase"]


def test_chinese_words_are_those_of_jieba() -> None:
    old = open_tokenizer("albertkit/tiny-zh")
    learned = learn_words(["用人单位和劳动者。", "Dockerfile的用法"] * 5, old, 20)
    assert {"用人单位", "劳动者", "dockerfile"} <= set(learned)
    assert all(len(word) > 1 for word in learned)
    assert np.all([len(old.ids(word)) > 1 for word in learned])
