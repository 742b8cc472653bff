"""Questions as windows, and what is learned from each: google's rules, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from albertkit.errors import PredictionError
from albertkit.tasks.examples import SpanExample
from albertkit.tasks.span_rows import SpanRows, encode, stride_for
from albertkit.text.tokenizer import Tokenizer

CONTEXT = "the cat sat on the mat , the dog ran"  # 10 tokens


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("words") / "vocab.txt"
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] the a cat dog ##s sat ran on mat . , and 巴 黎 是 法 国"
    path.write_text("\n".join(words.split()) + "\n", encoding="utf-8")
    return Tokenizer.load(path)


def question(text: str, start: int, context: str = CONTEXT, asked: str = "a cat") -> SpanExample:
    return SpanExample("q", context, asked, ((start, text),))


def pieces(tokenizer: Tokenizer, rows: SpanRows, row: int) -> list[str]:
    part = rows.batch.take([row])
    return [tokenizer.pieces[n] for n in part.ids]


def test_windows_begin_a_stride_apart_and_aim_at_cls_without_the_answer(
    tokenizer: Tokenizer,
) -> None:
    """[CLS] a cat [SEP] five tokens [SEP]: windows begin at 0, 2, 4 and 5 is never reached."""
    rows = encode(tokenizer, [question("mat ,", 19)], 10, stride=2)
    found = [" ".join(pieces(tokenizer, rows, row)) for row in (0, 3)]
    assert found[0] == "[CLS] a cat [SEP] the cat sat on the [SEP]"
    assert found[1] == "[CLS] a cat [SEP] , the dog ran [SEP]"
    assert rows.sizes.tolist() == [4]
    assert rows.contexts.tolist() == [[4, 9], [4, 9], [4, 9], [4, 8]]
    # "mat ," are tokens 5 and 6: in the windows of 2 to 6 and of 4 to 8, not in that of 6 to 9.
    assert rows.answers.tolist() == [[0, 0, 1], [7, 8, 0], [5, 6, 0], [0, 0, 1]]
    assert rows.batch.segment_ids[:10].tolist() == [0] * 4 + [1] * 6
    words = [CONTEXT[a:b] for a, b in rows.offsets[4:9].tolist()]
    assert words == ["the", "cat", "sat", "on", "the"]


def test_a_window_that_holds_the_beginning_of_an_answer_alone_aims_at_cls(
    tokenizer: Tokenizer,
) -> None:
    """ "the mat" is tokens 4 and 5; the first window ends after token 4."""
    rows = encode(tokenizer, [question("the mat", 15)], 10, stride=2)
    assert rows.answers.tolist() == [[0, 0, 1], [6, 7, 0], [4, 5, 0], [0, 0, 1]]


def test_an_answer_begins_where_its_token_has_the_most_context(tokenizer: Tokenizer) -> None:
    rows = encode(tokenizer, [question("mat ,", 19)], 10, stride=2)
    words = [CONTEXT[a:b] for a, b in rows.offsets[rows.may_begin].tolist()]
    assert sorted(words) == sorted(CONTEXT.split())  # each token in one window
    # Of "the cat sat on the" and "sat on the mat ,": "on" has one token behind it and one before,
    # of equals the first counts; "the" has none and two.
    most = [rows.may_begin[n + 4 : n + 9].tolist() for n in rows.batch.starts[:3]]
    assert most == [[1, 1, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 1, 1, 0]]


@pytest.mark.parametrize(
    ("text", "start", "first", "last"),
    [
        ("the cat", 0, 4, 5),
        ("ran", 33, 13, 13),  # at the very end
        (" mat ", 18, 9, 9),  # with spaces around it
        ("at", 5, 5, 5),  # inside a word: the token that holds it
        ("sat on", 8, 6, 7),
    ],
)
def test_an_answer_is_the_tokens_that_hold_its_characters(
    tokenizer: Tokenizer, text: str, start: int, first: int, last: int
) -> None:
    rows = encode(tokenizer, [question(text, start)], 32)
    assert rows.answers.tolist() == [[first, last, 0]]


def test_chinese_answers_are_single_characters(tokenizer: Tokenizer) -> None:
    rows = encode(tokenizer, [question("法国", 3, "巴黎是法国。", "巴黎")], 32)
    [[first, last, _]] = rows.answers.tolist()
    assert "巴黎是法国。"[rows.offsets[first, 0] : rows.offsets[last, 1]] == "法国"


def test_no_answer_and_one_that_is_elsewhere_aim_at_cls(tokenizer: Tokenizer) -> None:
    none = SpanExample("q", CONTEXT, "a cat", (), True)
    rows = encode(tokenizer, [none, question("dogs", 3), replace(none, context="")], 32)
    assert rows.answers.tolist() == [[0, 0, 1]] * 3
    assert rows.contexts[2].tolist() == [4, 4]  # an empty context has one window without tokens


def test_a_long_question_is_cut_and_said(tokenizer: Tokenizer) -> None:
    long = " ".join(["cat"] * 100)
    rows = encode(tokenizer, [question("ran", 33, asked=long)], 128)
    assert rows.contexts[0, 0] == 1 + 62 + 1  # half of the window
    assert "1 questions are cut" in rows.describe()
    wide = encode(tokenizer, [question("ran", 33, asked=long)], 384)
    assert wide.contexts[0, 0] == 1 + 64 + 1  # google's max_query_length
    small = encode(tokenizer, [question("ran", 33, asked=long)], 5)
    assert len(small.batch) == 10


def test_the_stride_is_googles_or_a_third_of_a_small_window(tokenizer: Tokenizer) -> None:
    assert [stride_for(n) for n in (512, 384, 96, 5)] == [128, 128, 32, 1]
    with pytest.raises(PredictionError, match="windows of this size"):
        encode(tokenizer, [question("ran", 33)], 4)


def test_parts_are_joined_as_if_encoded_together(tokenizer: Tokenizer) -> None:
    examples = [question("ran", 33), question("the cat", 0), question("mat ,", 19)]
    whole = encode(tokenizer, examples, 10, stride=2)
    joined = SpanRows.joined(
        [encode(tokenizer, examples[n : n + 1], 10, stride=2) for n in range(3)]
    )
    for name, value in vars(whole).items():
        other = getattr(joined, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, other)
    np.testing.assert_array_equal(whole.batch.ids, joined.batch.ids)


def test_a_hundred_thousand_characters_are_read(tokenizer: Tokenizer) -> None:
    context = "the cat sat on the mat . " * 4_000
    rows = encode(tokenizer, [question("ran", len(context), context + "ran")], 384, 128)
    assert len(rows.batch) > 200
    assert rows.answers[-1, 2] == 0
    assert rows.answers[:-2, 2].all()
