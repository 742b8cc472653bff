"""Sentence splitting, by cases checked by hand."""

from __future__ import annotations

import pytest

from albertkit.data.sentences import MAX_SENTENCE_CHARACTERS, cut_long, split_sentences

ENGLISH = [
    "It rained. | We stayed in.",
    "Mr. and Mrs. Dursley met Dr. J. R. Smith. | They left.",
    "He lives in the U.S. Army base. | It is large.",
    "He moved to the U.S. | The move was easy.",
    "Some fruit, e.g. apples, i.e. Malus, cf. Smith. | Good.",
    '"What is it?" he asked. | "Nothing!" | She turned.',
    "\u201cCome here.\u201d | \u201cNo!\u201d said Ann. | So he went.",
    "Pi is 3.14 and e is 2.718. | Both are real.",
    "Wait... | Is it over? | Yes\u2026 | Maybe.",
    "Then he was ... gone.",
    "He arrived at 5 p.m. in the rain. | He left at 6 a.m. | The sun rose.",
    "See No. 5 and Fig. 3 on p. 12. | No. | That is wrong.",
    "1. The first point. | 2. The second.",
    "Apples, pears, etc. are fruit. | Acme Inc. | The firm failed.",
    "It ended in 1984. | 1985 was better.",
    "He saw it (the end.) | Then he slept.",
    "So said I. | The rest is known.",
    "What?! | Never!!! | Ok.",
    "one line only without an end",
]
CHINESE = [
    "今天下雨。|我们在家！|你呢？",
    "他说：“你好。”|然后走了。",
    "「真的嗎？」|他問。|（是的。）|好。",
    "先耕一遍；|再耕一遍。",
    "他想了想……|走了。",
    "他……，走了。",
    '他说"走吧。"|她没说话。',
    "圆周率是3.14。|用 Python 3.11 写的。",
    "什么？！|不可能。",
    "没有句号的一行",
    "劇情概要.",
]


@pytest.mark.parametrize("marked", ENGLISH)
def test_english_is_cut_where_a_reader_would(marked: str) -> None:
    assert split_sentences(marked.replace(" | ", " "), "en") == marked.split(" | ")


@pytest.mark.parametrize("marked", CHINESE)
def test_chinese_is_cut_where_a_reader_would(marked: str) -> None:
    assert split_sentences(marked.replace("|", ""), "zh") == marked.split("|")


def test_white_space_of_every_kind_becomes_one_space() -> None:
    assert split_sentences(" a\u2028b\u00a0\t c\u3000d\x85e ", "en") == ["a b c d e"]
    assert split_sentences(" \n\u3000", "zh") == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_letter_is_lost_whatever_the_marks(language: str) -> None:
    text = "\u2026\u2026。」。 a. B! ?! “。”。 \u2026 c" + "x。" * 3 + "。。。"
    joined = "".join(split_sentences(text, language)).replace(" ", "")
    assert joined == text.replace(" ", "")


def test_a_sentence_without_end_is_cut_at_spaces() -> None:
    words = "word " * 3000
    parts = split_sentences(words, "en")
    assert all(len(part) <= MAX_SENTENCE_CHARACTERS for part in parts)
    assert " ".join(parts) == words.strip()
    assert cut_long("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert cut_long("aaaa bb. cccc", 10) == ["aaaa bb.", "cccc"]
