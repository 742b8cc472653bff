"""Curves of a run as SVG: their colours are those of the page around them, light or dark."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# What is drawn in one of these colours gets the colour of that name in the style of the page.
_COLOURS = {
    "#010101": "var(--text)",
    "#020202": "var(--training)",
    "#030303": "var(--held-out)",
    "#040404": "var(--to-beat)",
}
_TEXT, _TRAINING, _HELD_OUT, _TO_BEAT = _COLOURS
_INCHES = (4.2, 2.7)  # as wide as a telephone, so that its letters are as large as the text's

STYLE = """
:root { --training: #8aa9cc; --held-out: #1f4e8c; --to-beat: #b3471d; }
@media (prefers-color-scheme: dark) {
  :root { --training: #5d7da1; --held-out: #9cc4f5; --to-beat: #f0a07c; } }
.curves { display: grid; gap: 1rem;
          grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
.curves figure { margin: 0; } .curves svg { width: 100%; height: auto; }
.curves span { white-space: nowrap; margin-right: .8rem; }
.curves span::before { content: ""; display: inline-block; width: 1.2rem; margin-right: .3rem;
                       vertical-align: middle; border-top: 3px solid; }
.training::before { border-color: var(--training) !important; }
.held-out::before { border-color: var(--held-out) !important; }
.to-beat::before { border-color: var(--to-beat) !important; border-top-style: dashed !important; }
"""


def curves(
    train: Sequence[Mapping[str, Any]],
    held_out: Sequence[Mapping[str, Any]],
    rows: Sequence[tuple[str, str, float, str]],
) -> str:
    """Figures and learning rate over steps; `train`, `held_out`: lines of metrics.

    rows: of each figure its name there, its title, the line to beat and the name of that.
    """
    figures = [_of_figure(train, held_out, *row) for row in rows]

    def draw_rate(panel: Any) -> None:
        panel.plot(_steps(train), _values(train, "learning_rate"), color=_HELD_OUT)

    return f'<div class="curves">{"".join([*figures, _figure("learning rate", draw_rate)])}</div>'


def _of_figure(
    train: Sequence[Mapping[str, Any]],
    held_out: Sequence[Mapping[str, Any]],
    name: str,
    title: str,
    baseline: float,
    baseline_name: str,
) -> str:
    """One figure in training and on held-out rows, with the line to beat."""

    train = [line for line in train if name in line]

    def draw(panel: Any) -> None:
        panel.plot(_steps(train), _values(train, name), color=_TRAINING)
        panel.plot(_steps(held_out), _values(held_out, name), "o-", color=_HELD_OUT)
        panel.axhline(baseline, linestyle="--", color=_TO_BEAT)

    share = name.endswith("accuracy")
    training = '<span class="training">training</span>' * bool(train)
    legend = (
        f'<br>{training}<span class="held-out">held out</span>'
        f'<span class="to-beat">{html.escape(baseline_name)}</span>'
    )
    return _figure(title, draw, legend, share=share)


def _figure(
    title: str, draw: Callable[[Any], None], legend: str = "", *, share: bool = False
) -> str:
    """A drawing over steps under its title."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    lines = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    # The salt makes ids that differ between the drawings, and are the same every time.
    style: dict[Any, Any] = {"svg.hashsalt": title, "font.size": 11, **dict.fromkeys(lines, _TEXT)}
    drawn = io.StringIO()
    with matplotlib.rc_context(style):
        figure = Figure(figsize=_INCHES)
        panel = figure.subplots()
        draw(panel)
        panel.set(xlabel="step")
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if share:
            panel.yaxis.set_major_formatter(PercentFormatter(1.0))
        figure.tight_layout()
        figure.savefig(drawn, format="svg", metadata={"Date": None}, transparent=True)
    svg = drawn.getvalue()[drawn.getvalue().index("<svg") :]
    for colour, variable in _COLOURS.items():
        svg = svg.replace(colour, variable)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1)
    return f"<figure><figcaption><b>{title}</b>{legend}</figcaption>{svg}</figure>"


def _steps(lines: Sequence[Mapping[str, Any]]) -> list[int]:
    return [line["step"] for line in lines]


def _values(lines: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [line[name] for line in lines]
