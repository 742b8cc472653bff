"""From spans of windows to answers, thresholds and figures: by hand, and as official programs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albertkit.errors import TrainingError
from albertkit.tasks.chinese_metrics import are_chinese
from albertkit.tasks.examples import SpanExample
from albertkit.tasks.head import TaskHead
from albertkit.tasks.n_best import BestAnswer
from albertkit.tasks.rows import Labelled
from albertkit.tasks.span_answers import (
    Decoded,
    SpanOutputs,
    best_threshold,
    constant_figures,
    decode,
    figures_of,
    figures_of_answers,
    head_for,
    scores_of,
    window_spans,
)
from albertkit.tasks.span_rows import SpanRows, encode
from albertkit.text.tokenizer import Tokenizer

SPAN, BEAM = TaskHead("span", 2), TaskHead("beam_span", 2)
CONTEXT = "the cat sat on the mat"
EXAMPLE = SpanExample("q", CONTEXT, "a", ((4, "cat"),))


@pytest.fixture(scope="module")
def rows(tiny_model: Path) -> SpanRows:
    """[CLS] a [SEP] four tokens [SEP] in windows that begin at tokens 0 and 2."""
    made = encode(Tokenizer.load(tiny_model / "model"), [EXAMPLE], 8, stride=2)
    assert made.contexts.tolist() == [[3, 7], [3, 7]]
    return made


def spans(head: TaskHead, rows: SpanRows, values: list[Any], none: tuple[float, ...]) -> list[Any]:
    arrays = [np.array(value, dtype=np.float32) for value in values]
    return [
        window_spans(head, rows, n, each, of)
        for n, (each, of) in enumerate(zip(arrays, none, strict=True))
    ]


def test_windows_of_a_plain_head_are_compared_by_their_logits(rows: SpanRows) -> None:
    """The second window is surer of its answer, the first has the higher logits."""
    first, second = np.zeros((8, 2)), np.zeros((8, 2))
    first[4], first[5] = (6, 5), (5.5, 4)  # "cat", "sat"
    first[0] = (4, 3)
    second[6] = (5, 5)  # "mat"
    second[0] = (-3, -2)
    [found] = decode(SPAN, [EXAMPLE], rows, spans(SPAN, rows, [first, second], (0, 0)))
    assert [(x.text, x.score) for x in found.best[:3]] == [
        ("cat", pytest.approx(11)),
        ("mat", pytest.approx(10)),
        ("cat sat", pytest.approx(10)),
    ]
    assert found.best[0].begin == 4
    # BERT's rule: the least sure window's logits at [CLS] above those of the best answer.
    assert found.no_answer == pytest.approx(-5 - 11)
    starts, ends = (first[[0, 3, 4, 5, 6], n] for n in (0, 1))
    share = math.exp(6) / np.exp(starts).sum() * math.exp(5) / np.exp(ends).sum()
    assert found.best[0].in_window == pytest.approx(share, rel=1e-5)
    assert sum(x.probability for x in found.best) == pytest.approx(1)


def test_a_start_counts_in_the_window_of_its_most_context(rows: SpanRows) -> None:
    """Tokens 2 and 3 are in both windows: "sat" begins in the first, "on" in the second."""
    first, second = np.zeros((8, 2)), np.zeros((8, 2))
    first[6] = (9, 0)  # "on" at the end of the first window
    second[4] = (3, 3)  # "on" in the second
    [found] = decode(SPAN, [EXAMPLE], rows, spans(SPAN, rows, [first, second], (0, 0)))
    assert (found.best[0].text, found.best[0].score) == ("on", pytest.approx(6))


def test_beams_are_compared_by_their_probabilities(rows: SpanRows) -> None:
    beams = [[[4, 4, -0.5, -0.1], [6, 6, -0.1, -0.1]], [[6, 6, -0.2, -0.1], [3, 3, -0.1, -0.1]]]
    [found] = decode(BEAM, [EXAMPLE], rows, spans(BEAM, rows, beams, (2.0, -1.5)))
    assert [x.text for x in found.best] == ["mat", "cat"]
    assert found.no_answer == -1.5
    assert found.no_answer_probability == pytest.approx(1 / (1 + math.exp(1.5)))


def test_a_context_without_tokens_has_no_answer(tiny_model: Path) -> None:
    nothing = SpanExample("q", "", "a")
    made = encode(Tokenizer.load(tiny_model / "model"), [nothing], 8)
    values = [np.zeros((len(made.batch.ids), 2))]
    [found] = decode(SPAN, [nothing], made, spans(SPAN, made, values, (0,)))
    assert [x.text for x in found.best] == [""]


def answer(text: str, no_answer: float) -> Decoded:
    return Decoded([BestAnswer(text, 0, len(text), 0.0, 1.0)], no_answer, 0.5)


def test_figures_and_threshold_by_hand() -> None:
    gold = [["cat"], [], ["the mat"], []]
    found = [answer("cat", -2), answer("dog", 0.5), answer("a mat on", 0.25), answer("on", 3)]
    threshold = best_threshold(gold, found)
    assert 0.25 < threshold < 0.5
    figures = figures_of_answers(gold, found, threshold)
    assert figures["f1"] == pytest.approx((1 + 1 + 2 / 3 + 1) / 4)
    assert figures["exact_match"] == 3 / 4
    assert figures["HasAns_f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert (figures["HasAns_exact"], figures["NoAns_f1"]) == (0.5, 1.0)
    assert figures["distinct_predictions"] == 3  # "cat", "a mat on" and none
    always = figures_of_answers(gold, found, None)
    assert (always["NoAns_f1"], "threshold" in always) == (0.0, False)


def test_where_nothing_is_right_no_question_is_answered() -> None:
    """The official program then says 0, which is below no logit in particular."""
    gold, found = [[], ["x"], []], [answer("a", -5), answer("b", -3), answer("c", -4)]
    figures = figures_of_answers(gold, found, best_threshold(gold, found))
    assert figures["f1"] == pytest.approx(2 / 3)
    assert figures["distinct_predictions"] == 1


def test_scores_are_those_of_the_official_programs(golden: Path) -> None:
    cases = json.loads((golden / "metrics" / "answers.json").read_text("utf-8"))
    names = {"squad1": ("exact_match", "f1"), "squad2": ("exact", "f1"), "cmrc": ("EM", "F1")}
    compared = 0
    for program, (exact_name, f1_name) in names.items():
        for case in cases[program]:
            gold, guess = case["gold"], case["predicted"]
            sure = max((case.get("no_answer") or {"": 0.0}).values())
            if set(gold) != set(guess) or sure > case.get("threshold", 1.0):
                continue  # a question without prediction, or whose prediction is replaced
            if program == "squad2" and all(gold.values()):
                continue  # it is scored as SQuAD 1.1
            if program == "cmrc" and not are_chinese(x for of in gold.values() for x in of):
                continue  # likewise
            exact, f1 = scores_of(list(gold.values()), [guess[x] for x in gold])
            compared += 1
            assert 100 * sum(exact) / len(gold) == pytest.approx(case["scores"][exact_name]), case
            assert 100 * sum(f1) / len(gold) == pytest.approx(case["scores"][f1_name]), case
    assert compared > 20


def test_chinese_questions_may_have_no_answer() -> None:
    exact, f1 = scores_of([["北京大学"], [], []], ["北京", "", "上海"])
    assert exact == [0, 1, 0]
    assert f1 == [pytest.approx(2 / 3), 1, 0]


def test_a_constant_answer_by_hand(rows: SpanRows) -> None:
    held = Labelled([EXAMPLE], rows, rows.answers)
    assert rows.answers.tolist() == [[4, 4, 0], [0, 0, 1]]
    found = constant_figures(SPAN, held, held)
    assert found["loss"] == pytest.approx((-math.log(0.5 / 4) - math.log(0.5)) / 2)
    beam = constant_figures(BEAM, held, held)
    assert beam["loss"] == pytest.approx(found["loss"] + 0.5 * math.log(2))
    assert found["exact_match"] == 0  # neither "the" nor all of the context
    assert found["f1"] == pytest.approx(2 / 5)  # all of it without its articles: 1 of 4 words


def test_figures_of_outputs_have_the_loss(rows: SpanRows) -> None:
    values = spans(SPAN, rows, [np.zeros((8, 2))] * 2, (0, 0))
    held = Labelled([EXAMPLE], rows, rows.answers)
    found = figures_of(SPAN, SpanOutputs(values, np.array([1.0, 2.0])), held)
    assert (found["loss"], found["count"]) == (1.5, 1)
    assert "threshold" not in found


def test_questions_without_any_answer_are_refused() -> None:
    with pytest.raises(TrainingError, match="No question has an answer"):
        head_for([SpanExample("q", "a", "b", (), True)], "beam_span")
