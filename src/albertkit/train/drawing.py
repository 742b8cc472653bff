"""Drawings as SVG: their colours are those of the page around them, light or dark."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Sequence
from typing import Any

# What is drawn in one of these colours gets the colour of that name in the style of the page.
_COLOURS = {
    "#010101": "var(--text)",
    "#020202": "var(--training)",
    "#030303": "var(--held-out)",
    "#040404": "var(--to-beat)",
}
TEXT, TRAINING, HELD_OUT, TO_BEAT = _COLOURS
_INCHES = (4.2, 2.7)  # as wide as a telephone, so that its letters are as large as the text's

STYLE = """
:root { --training: #8aa9cc; --held-out: #1f4e8c; --to-beat: #b3471d; }
@media (prefers-color-scheme: dark) {
  :root { --training: #5d7da1; --held-out: #9cc4f5; --to-beat: #f0a07c; } }
.curves { display: grid; gap: 1rem;
          grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
.curves figure { margin: 0; } .curves svg { width: 100%; height: auto; }
.curves span { white-space: nowrap; margin-right: .8rem; }
.curves span::before { content: ""; display: inline-block; width: 1.2rem; margin-right: .3rem;
                       vertical-align: middle; border-top: 3px solid; }
.training::before { border-color: var(--training) !important; }
.held-out::before { border-color: var(--held-out) !important; }
.to-beat::before { border-color: var(--to-beat) !important; border-top-style: dashed !important; }
"""


def drawing(
    title: str, draw: Callable[[Any], None], key: str = "", *, said: str, shares: str = ""
) -> str:
    """A drawing under its title.

    draw: is given the panel to draw on. key: see `legend`. said: what the drawing shows, for screen
    readers. shares: axes in percent, of "x" and "y"; an x-axis that `draw` leaves as it is has
    integers.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    lines = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    # The salt makes ids that differ between the drawings, and are the same every time.
    style: dict[Any, Any] = {"svg.hashsalt": title, "font.size": 11, **dict.fromkeys(lines, TEXT)}
    drawn = io.StringIO()
    with matplotlib.rc_context(style):
        figure = Figure(figsize=_INCHES)
        panel = figure.subplots()
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        draw(panel)
        for axis in shares:
            getattr(panel, f"{axis}axis").set_major_formatter(PercentFormatter(1.0))
        figure.tight_layout()
        figure.savefig(drawn, format="svg", metadata={"Date": None}, transparent=True)
    svg = drawn.getvalue()[drawn.getvalue().index("<svg") :]
    for colour, variable in _COLOURS.items():
        svg = svg.replace(colour, variable)
    label = html.escape(f"{title}: {said}")
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return f"<figure><figcaption><b>{title}</b>{key}</figcaption>{svg}</figure>"


def side_by_side(figures: Sequence[str]) -> str:
    """Drawings beside each other where the screen is wide, else below each other."""
    return f'<div class="curves">{"".join(figures)}</div>'


def legend(rows: Sequence[tuple[str, str]]) -> str:
    """What the colours mean: rows of a class of the style and a text."""
    return "<br>" + " ".join(
        f'<span class="{name}">{html.escape(text)}</span>' for name, text in rows
    )
