"""Drawings and tables of report.html after fine-tuning: what they show is in words beside them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from albertkit.data.batch import Batch
from albertkit.tasks.head import TaskHead
from albertkit.tasks.rows import Rows
from albertkit.text.encoding import Encoding
from albertkit.train.finetune_report import _compared
from albertkit.train.finetune_report_classes import classes, taken_for
from albertkit.train.finetune_report_drawings import calibration, lengths


def rows_of(lengths: list[int], owners: list[int]) -> Rows:
    """Rows of so many tokens; owners: the text of each."""
    encodings = [Encoding([5] * n, [0] * n, [(0, 0)] * n, [True] * n) for n in lengths]
    of = np.array(owners)
    sizes = np.ones(of.max() + 1, dtype=np.int64)
    return Rows(Batch.of(encodings), np.arange(len(of) + 1), of, None, sizes)


def test_the_share_of_texts_in_windows_counts_texts() -> None:
    rows = rows_of([16, 16, 16, 9], [0, 0, 0, 1])
    assert rows.windowed == 0.5
    options = replace(rows, options=np.array([0, 1, 1, 0]))  # of text 0 the second option is long
    assert options.windowed == pytest.approx(1 / 3)
    of_words = replace(  # the last row of the first sentence holds no first token of a word
        rows, bounds=np.array([0, 2, 4, 4, 5]), owners=np.array([0, 1, 1, 2, 3]),
        sizes=np.array([3, 1]),
    )  # fmt: skip
    assert of_words.windowed == 0.5


def test_lengths_are_drawn_up_to_the_limit_and_stand_in_a_table() -> None:
    page = lengths(rows_of([16, 16, 12, 9], [0, 0, 1, 2]), 16)
    assert "median 14 tokens, longest row 16" in page
    assert "33.3% of the texts are longer than a window of 16 tokens" in page
    table = page[page.index("<table>") :]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", table)
    assert cells == ["8 to 10", "1", "11 to 16", "3"]
    [label] = re.findall(r'aria-label="([^"]*)"', page)
    assert label.startswith("tokens per row: median 14 tokens")
    assert "longest window: 16" in page
    assert "stroke: var(--to-beat)" in page  # the limit


@pytest.mark.parametrize("limit", [5, 7, 512])
def test_lengths_of_the_shortest_and_the_longest_rows_can_be_drawn(limit: int) -> None:
    page = lengths(rows_of([3, limit], [0, 1]), limit)
    counts = re.findall(r'data-of="rows">(\d+)<', page)
    assert sum(map(int, counts)) == 2
    assert f"No text is longer than a window of {limit} tokens" in page


def test_reliability_has_its_error_and_each_bin_in_words() -> None:
    page = calibration([0.55, 0.65, 0.95, 0.95], [True, False, True, True], "of each text")
    # (0.45 + 0.65 + 2 * 0.05) / 4
    assert "Expected calibration error (ECE): 0.300" in page
    [label] = re.findall(r'aria-label="([^"]*)"', page)
    assert "error 0.300" in label
    assert "2 answers of 95%, 100% right" in label
    assert [re.sub(r"<[^>]+>", "|", row) for row in re.findall(r"<tr>(<td.*?)</tr>", page)] == [
        "|50% to 60%||1||55.0%||100.0%|",
        "|60% to 70%||1||65.0%||0.0%|",
        "|90% to 100%||2||95.0%||100.0%|",
    ]


def test_the_confusion_matrix_has_a_heading_for_each_row_and_column() -> None:
    head = TaskHead("classification", 2, ("a<b", "c"))
    page = taken_for(head, np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    assert page.count('<th scope="col">a&lt;b</th>') == 1
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', page)
    counts = [(name, re.findall(r">(\d+)<", cells)) for name, cells in rows]
    assert counts == [("a&lt;b", ["2", "1"]), ("c", ["0", "1"])]


def test_many_classes_have_what_they_are_taken_for_instead() -> None:
    names = tuple(f"class {n}" for n in range(13))
    targets = np.arange(13)
    page = taken_for(TaskHead("classification", 13, names), targets, np.minimum(targets, 11))
    assert "matrix" not in page
    assert re.findall(r"<td[^>]*>([^<]*)</td>", page) == ["class 12", "class 11 (1)"]


def test_each_of_several_classes_has_its_f1() -> None:
    head = TaskHead("multi_label", 2, ("cheap", "good"))
    targets = np.array([[1, 1], [0, 1]], dtype=np.float32)
    page = classes(head, targets, np.array([[1, 0], [0, 1]], dtype=np.float32), np.ones(2, int))
    assert re.findall(r'data-of="F1">([\d.]+)<', page) == ["0.667", "1.000"]


@pytest.mark.parametrize(
    ("name", "value", "interval", "said"),
    [
        ("loss", 0.6, None, "beaten"),
        ("loss", 0.7, None, "not beaten"),
        ("accuracy", 0.9, (0.8, 0.95), "beaten"),
        ("accuracy", 0.8, (0.6, 0.9), "not clearly beaten"),
        ("accuracy", 0.7, (0.6, 0.8), "not beaten"),  # as good as a constant answer
    ],
)
def test_what_is_better_by_chance_is_not_called_better(
    name: str, value: float, interval: tuple[float, float] | None, said: str
) -> None:
    assert _compared(name, value, 0.7, interval) == said
