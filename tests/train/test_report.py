"""report.html: what is shown of figures and guesses, in colour and in words."""

from __future__ import annotations

import json
import re

import pytest

from albertkit import settings as recipes
from albertkit.train.baselines import Baselines
from albertkit.train.curves import curves
from albertkit.train.figures import Figure
from albertkit.train.fillings import Filling
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.report import drawn_figures, write_report

BASELINES = Baselines(unigram_entropy=5.0, unigram_accuracy=0.1, order_accuracy=0.6)
TRAIN = [
    {
        "event": "train",
        "step": step,
        "mlm_loss": 6.0,
        "mlm_accuracy": 0.1,
        "sop_accuracy": 0.5,
        "learning_rate": 1e-3,
    }
    for step in (1, 2)
]
HELD_OUT = {
    "event": "validation",
    "step": 2,
    "mlm_loss": 4.0,
    "mlm_accuracy": 0.2,
    "mlm_count": 1000,
    "sop_loss": 0.7,
    "sop_accuracy": 0.5,
    "sop_count": 100,
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    tmp_path = tmp_path_factory.mktemp("run")
    lines = [json.dumps(line) + "\n" for line in [*TRAIN, HELD_OUT]]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    fillings = [
        Filling("the [MASK] <b> ends", "loop", (("line", 0.5), ("loop", 0.25), (",", 0.05))),
        Filling("a [MASK] is read", "file", (("the", 0.5),)),
    ]
    recipe = recipes.load("demo", PretrainingRecipe)
    return write_report(tmp_path, recipe, [], BASELINES, None, fillings=fillings).read_text(
        encoding="utf-8"
    )


def row_of(page: str, start: str) -> str:
    """The row of a table whose first cell begins so, its tags taken off."""
    found = [row for row in re.findall(r"<tr>(.*?)</tr>", page) if start in row]
    return re.sub(r"<[^>]+>", "|", found[-1])


def test_each_row_has_its_verdict_in_colour_and_in_words(page: str) -> None:
    assert '<td class="yes">learned</td>' in page
    assert '<td class="no">not learned</td>' in page
    for figure, verdict in [
        ("masked-LM loss", "beaten"),
        ("masked-LM accuracy", "beaten"),
        ("sentence-order loss", "not beaten"),
        ("sentence-order accuracy", "not beaten"),
    ]:
        assert row_of(page, figure).endswith(f"|{verdict}|"), figure


@pytest.mark.parametrize(
    ("name", "value", "baseline", "said"),
    [
        ("sop_loss", 0.60, 0.693, "beaten"),
        ("sop_loss", 0.645, 0.693, "not clearly beaten"),
        ("sop_loss", 0.70, 0.693, "not beaten"),
        ("sop_accuracy", 0.70, 0.568, "beaten"),
        ("sop_accuracy", 0.589, 0.568, "not clearly beaten"),  # 95 pairs: 48.9 to 68.3 %
        ("sop_accuracy", 0.55, 0.568, "not beaten"),
    ],
)
def test_what_is_better_by_chance_is_not_called_worse(
    name: str, value: float, baseline: float, said: str
) -> None:
    assert Figure(name, "", value, 95, baseline, "").comparison == said


def test_guesses_have_scores_and_the_right_word_beside_them(page: str) -> None:
    first = row_of(page, "&lt;b&gt; ends")
    for part in ("|[MASK]|", "|loop|", "|line 50%|", "|loop| 25%|", "|, 5%|", "|guess 2|"):
        assert part in first
    assert row_of(page, "is read").endswith("|not among them|")


def test_a_narrow_screen_has_the_headings_in_the_cells(page: str) -> None:
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    [headings] = [row for row in rows if "95 % interval</th>" in row]
    [cells] = [row for row in rows if "masked-LM loss (nats)" in row]
    named = re.findall(r'data-of="([^"]*)"', cells)
    assert [name for name in re.findall(r"<th>(.*?)</th>", headings) if name] == ["figure", *named]


def test_curves_have_the_colours_of_the_page_around_them() -> None:
    drawn = curves(TRAIN, [HELD_OUT], drawn_figures(BASELINES))
    assert drawn.count("<svg") == 4
    painted = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", drawn))
    assert painted == {
        "none",
        "var(--text)",
        "var(--training)",
        "var(--held-out)",
        "var(--to-beat)",
    }
