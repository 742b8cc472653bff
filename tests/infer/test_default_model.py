"""Without a named model the script of the first texts chooses one of the two that ship."""

from __future__ import annotations

from typing import Any

import pytest

from albertkit import Predictor
from albertkit.errors import PredictionError
from albertkit.hub import SHIPPED, is_shipped
from albertkit.hub.by_script import CHINESE, ENGLISH
from albertkit.infer.default_model import choose_model


@pytest.mark.parametrize(
    ("texts", "model"),
    [
        (["Paris is the [MASK] of France."], ENGLISH),
        (["北京是[MASK]的首都。"], CHINESE),
        (["ALBERT 在学习。"], CHINESE),  # Chinese texts have Latin words in them
        (["𠀀"], CHINESE),  # a rare character, outside the first plane
        (["2009", "[MASK]", "…", "a"], ENGLISH),
        (["2009", "[MASK]", "…", "中"], CHINESE),
        (["2009"], ENGLISH),
    ],
)
def test_chinese_characters_choose(texts: list[str], model: str) -> None:
    assert choose_model(texts) == model
    assert is_shipped(model)


def test_a_text_without_letters_changes_nothing() -> None:
    assert choose_model(["2009"], CHINESE) == CHINESE


@pytest.mark.parametrize(
    ("texts", "before"),
    [(["a", "中"], None), (["中", "a"], None), (["a"], CHINESE), (["中"], ENGLISH)],
)
def test_both_scripts_are_refused(texts: list[str], before: str | None) -> None:
    with pytest.raises(PredictionError, match=ENGLISH) as error:
        choose_model(texts, before)
    assert f"--model {CHINESE}" in str(error.value.command_fix)


@pytest.mark.parametrize(
    ("method", "english", "chinese"),
    [
        ("fill_mask", ("a [MASK]",), ("一[MASK]",)),
        ("__call__", ("a [MASK]",), ("一[MASK]",)),
        ("sentence_order", ("a", "b"), ("一", "二")),
        ("embed", (["a", "b"],), (["一", "二"],)),
        ("hidden_states", ("a",), ("一",)),
    ],
)
def test_the_first_question_chooses_for_good(
    method: str, english: Any, chinese: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = Predictor()
    getattr(predictor, method)(*english)
    assert predictor.folder == SHIPPED / "tiny-en"
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "model: albertkit/tiny-en, chosen by the script of the first text"
    ]
    getattr(predictor, method)(*english)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(PredictionError, match=f"for {ENGLISH}"):
        getattr(predictor, method)(*chinese)


def test_the_second_text_of_a_pair_counts() -> None:
    with pytest.raises(PredictionError, match=CHINESE):
        Predictor().sentence_order("a", "二")


@pytest.mark.parametrize(
    "ask",
    [
        lambda predictor: predictor.classify("a"),
        lambda predictor: predictor.tag("a"),
        lambda predictor: predictor.answer("a", "b"),
        lambda predictor: predictor.choose("a", ["b"]),
        lambda predictor: predictor.config,
    ],
)
def test_what_needs_a_model_of_its_own_says_so(ask: Any) -> None:
    with pytest.raises(PredictionError, match="No model is named"):
        ask(Predictor())


def test_options_of_a_checkpoint_need_one() -> None:
    with pytest.raises(PredictionError, match="No model is named"):
        Predictor(family="uer")
