"""Questions with options: rows of each option, kept together, and what is known without reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.row_batches import within_budget
from albertkit.tasks.choose import asked, constant_answers, encode, right_by_options, texts_of
from albertkit.tasks.examples import ChoiceExample
from albertkit.tasks.head import TaskHead
from albertkit.text.tokenizer import Tokenizer
from albertkit.train.task_losses import Choices, cross_entropy

HEAD = TaskHead("multiple_choice", 1)
LONG = " ".join(["the cat sat on the mat ."] * 8)
QUESTIONS = [
    ChoiceExample("0", "the cat ran .", "the _ sat", ("cat", "dog", "mat"), 0),
    ChoiceExample("1", LONG, "the dog", ("ran", "sat on the mat"), 1),
    ChoiceExample("2", "", "a cat", ("sat", "ran"), 1),
]


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Tokenizer:
    found = Checkpoint.load(tiny_model / "model").tokenizer
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("question", "row"),
    [
        ("Who ran?", "Who ran? a cat"),
        ("_ ran .", "a cat ran ."),  # as in google's program for RACE
        ("The ____ ran and the ____ sat", "The a cat ran and the a cat sat"),
    ],
)
def test_an_option_stands_in_the_gap_or_behind_its_question(question: str, row: str) -> None:
    assert asked(question, "a cat") == row


def test_what_is_missing_leaves_the_option_as_the_second_text() -> None:
    assert texts_of(QUESTIONS[2]) == [("a cat", "sat"), ("a cat", "ran")]
    idiom = ChoiceExample("", "They ____ .", "", ("ran", "sat"))
    assert texts_of(idiom) == [("They ____ .", "ran"), ("They ____ .", "sat")]


def test_a_score_is_the_mean_of_its_windows_and_no_option_is_lost(tokenizer: Tokenizer) -> None:
    rows = encode(tokenizer, QUESTIONS, 32)
    assert rows.options is not None
    assert rows.num_options.tolist() == [3, 2, 2]
    assert len(rows.batch) > 7  # the long context has windows
    assert max(rows.batch.lengths) <= 32
    assert rows.group_bounds.tolist() == [0, 3, len(rows.batch) - 2, len(rows.batch)]
    scores = np.arange(len(rows.batch), dtype=np.float32)[:, None]
    merged = rows.merge(scores)
    assert merged.shape == (3, 3)
    assert merged[0].tolist() == [0, 1, 2]
    for option in (0, 1):
        mine = (rows.owners == 1) & (rows.options == option)
        assert merged[1, option] == pytest.approx(scores[mine].mean())
    assert merged[1:, 2].tolist() == [-np.inf, -np.inf]
    questions, choices = Choices.of(rows.owners, rows.options, torch.device("cpu"))
    assert questions.tolist() == [0, 1, 2]
    np.testing.assert_allclose(choices.scores(torch.from_numpy(scores)).numpy(), merged)


def test_the_rows_of_a_question_are_in_one_micro_batch(tokenizer: Tokenizer) -> None:
    rows = encode(tokenizer, QUESTIONS, 32)
    counts = np.diff(rows.group_bounds)
    made = within_budget(rows.group_lengths, 40, counts)
    assert sorted(n for group in made for n in group) == [0, 1, 2]
    assert [1] in made  # more than the budget: alone
    assert rows.rows_of([2, 0]).tolist() == [*range(len(rows.batch) - 2, len(rows.batch)), 0, 1, 2]
    assert within_budget([5, 5, 5], 20, [2, 2, 1]) == [[0, 1], [2]]


def test_smoothing_spreads_over_the_options_that_there_are() -> None:
    logits = torch.tensor([[1.0, 0.0, -torch.inf], [0.5, 0.0, 2.0]], requires_grad=True)
    found = cross_entropy(logits, torch.tensor([0, 2]), 0.1)
    for row, target, count in ((0, 0, 2), (1, 2, 3)):
        wanted = torch.nn.functional.cross_entropy(
            logits[row, :count][None], torch.tensor([target]), label_smoothing=0.1
        )
        assert found[row].item() == pytest.approx(wanted.item())
    found.sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_places_of_right_options_are_what_is_known_without_reading(tokenizer: Tokenizer) -> None:
    rows = encode(tokenizer, QUESTIONS, 32)
    found = constant_answers(HEAD, np.array([1, 1, 2, 0]), rows)
    np.testing.assert_allclose(np.exp(found[0]), [2, 3, 2])  # one more of each than was seen
    assert found[1].tolist() == pytest.approx([np.log(2), np.log(3), -np.inf])
    assert found.argmax(-1).tolist() == [1, 1, 1]
    assert right_by_options(found, np.array([0, 1, 1])) == [(2, 2, 2), (3, 0, 1)]
