"""Drawings of a fine-tuning run for report.html: lengths of rows, and how sure the model is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from albertkit.tasks.calibration import Bin, expected_calibration_error, reliability
from albertkit.tasks.rows import Rows
from albertkit.train.drawing import HELD_OUT, TO_BEAT, drawing, legend, side_by_side
from albertkit.train.page import name_cell, number_cell, paragraph, table


def lengths(rows: Rows, limit: int) -> str:
    """How many rows have how many tokens; limit: tokens of the longest row that is read."""
    found = np.asarray(rows.batch.lengths)
    edges = _edges(int(found.min()), limit)
    counts = np.histogram(found, edges)[0]

    def draw(panel: Any) -> None:
        from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

        panel.bar(
            edges[:-1], counts, np.diff(edges), align="edge", color=HELD_OUT, edgecolor="none"
        )
        panel.axvline(limit, linestyle="--", color=TO_BEAT)
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_locator(FixedLocator([n for n in _powers(limit) if n >= edges[0]]))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(ScalarFormatter())
        panel.set(xlabel="tokens", ylabel="rows")

    cells = [
        [name_cell(_between(low, high - 1)), number_cell(f"{count:,}", "rows")]
        for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
        if count
    ]
    windowed = f"No text is longer than a window of {limit:,} tokens."
    if rows.windowed:
        windowed = (
            f"{rows.windowed:.1%} of the texts are longer than a window of {limit:,} tokens and "
            "are read in several."
        )
    said = f"{rows.describe()}. {windowed}"
    key = legend([("held-out", "rows to train on"), ("to-beat", f"longest window: {limit:,}")])
    figure = drawing("tokens per row", draw, key, said=said)
    note = paragraph(f"Rows to train on: {said}")
    return side_by_side([figure]) + note + _hidden(table(cells, ["tokens", "rows"]))


def calibration(probabilities: npt.ArrayLike, right: npt.ArrayLike, what: str) -> str:
    """How often answers of a given probability are right.

    probabilities, right: of N answers; what: what these are, as in "of words".
    """
    bins = reliability(probabilities, right)
    error = expected_calibration_error(bins)

    def draw(panel: Any) -> None:
        panel.bar(
            [of.low for of in bins], [of.right for of in bins], bins[0].high - bins[0].low,
            align="edge", color=HELD_OUT, edgecolor="none", alpha=0.35,
        )  # fmt: skip
        stated, true = [of.probability for of in bins], [of.right for of in bins]
        panel.plot(stated, true, "o-", color=HELD_OUT)
        panel.plot([0, 1], [0, 1], linestyle="--", color=TO_BEAT)
        panel.set(xlabel="mean probability", ylabel="right", xlim=(0, 1), ylim=(0, 1.02))
        panel.set_xticks(np.linspace(0, 1, 6))

    said = f"expected calibration error {error:.3f}; " + "; ".join(map(_in_words, bins))
    key = legend([("held-out", "the model"), ("to-beat", "as sure as it is right")])
    figure = drawing("reliability", draw, key, said=said, shares="xy")
    note = (
        f"Expected calibration error (ECE): {error:.3f}, the mean distance of the probability "
        f"{what} from the share that is right. Below the dashed line the model is "
        "overconfident."
    )
    cells = [
        [
            name_cell(f"{of.low:.0%} to {of.high:.0%}"),
            number_cell(f"{of.count:,}", "answers"),
            number_cell(f"{of.probability:.1%}", "mean probability"),
            number_cell(f"{of.right:.1%}", "right"),
        ]
        for of in bins
    ]
    names = ["probability", "answers", "mean probability", "right"]
    return side_by_side([figure]) + paragraph(note) + table(cells, names)


def _in_words(of: Bin) -> str:
    return f"{of.count:,} answers of {of.probability:.0%}, {of.right:.0%} right"


def _edges(shortest: int, limit: int) -> list[int]:
    """Edges of bins from a power of two up, two of them to each; the last bin ends with limit."""
    first = 2 ** int(np.log2(max(1, min(shortest, limit))))
    edges, number = [], 0
    while (edge := round(first * 2 ** (number / 2))) < limit:
        edges.append(edge)
        number += 1
    return [*dict.fromkeys(edges), limit + 1]


def _powers(limit: int) -> list[int]:
    """Powers of two up to a limit, and the limit in place of one that is too near."""
    powers = [2**n for n in range(limit.bit_length())]
    return [n for n in powers if 1.4 * n < limit] + [limit]


def _between(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def _hidden(text: str) -> str:
    """What a drawing shows in numbers, opened by a click."""
    return f"<details><summary>the same as a table</summary>{text}</details>"
