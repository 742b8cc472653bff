"""The frame of a report: one HTML page that needs no network, its tables and its colours."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from albertkit.files import write_atomic
from albertkit.progress import format_time
from albertkit.train.drawing import STYLE

REPORT = "report.html"
_STYLE = """
:root { color-scheme: light dark; --text: #1c1c1c; --back: #fff; --line: #ddd; --soft: #f5f5f5;
        --good: #1a7f37; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e6e6; --back: #16181b; --line: #3a3d42;
        --soft: #22252a; --good: #4cc26b; --bad: #ff8a80; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: var(--text); background: var(--back); overflow-wrap: break-word; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .2rem 1rem .2rem 0;
         border-bottom: 1px solid var(--line); vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.name { white-space: nowrap; }
.yes { color: var(--good); font-weight: 600; white-space: nowrap; }
.no { color: var(--bad); font-weight: 600; white-space: nowrap; }
.guess { background: var(--soft); border-radius: .3rem; padding: 0 .4rem; margin-right: .3rem;
         display: inline-block; white-space: nowrap; } .guesses { min-width: 16rem; }
.wide { overflow-x: auto; } caption { text-align: left; padding: .5rem 0; }
.matrix td, .matrix th { padding: .2rem .6rem; } .matrix .same { font-weight: 600; }
a { color: inherit; } summary { cursor: pointer; }
pre { background: var(--soft); padding: 1rem; overflow-x: auto; }
/* On a telephone each row is a block, each cell a line with its heading. */
@media (max-width: 40rem) {
  h1 { font-size: 1.6rem; } td.number { text-align: left; }
  table { display: block; } tbody { display: block; } .guesses { min-width: 0; }
  tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  td { display: block; border: 0; padding: 0; } td.name { font-weight: 600; }
  tr:has(th) { display: none; } .matrix { display: table; font-size: .85rem; }
  .matrix tbody { display: table-row-group; } .matrix tr { display: table-row; }
  .matrix td, .matrix th { display: table-cell; text-align: right; }
  td:empty { display: none; } td[data-of]::before { content: attr(data-of) ": "; }
}
"""


def write_page(folder: Path, name: str, kind: str, parts: Iterable[str], recipe: str) -> Path:
    """Write the report of a run into its folder.

    name: of the model. kind: of the run, as in "pretraining". parts: HTML, in their order. recipe:
    its text.
    """
    title = html.escape(f"{name}: {kind}")
    whole = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}{STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
        *parts,
        f"<details><summary>The whole recipe</summary><pre>{html.escape(recipe)}</pre></details>",
        "</body></html>",
        "",
    ]
    path = folder / REPORT
    write_atomic(path, "\n".join(whole))
    return path


def links() -> str:
    """Where the other files of a run are."""
    return (
        '<p><a href="model/README.md">the model and its card</a>, '
        '<a href="recipe.toml">the recipe</a>, <a href="metrics.jsonl">all figures</a></p>'
    )


def paragraph(text: str) -> str:
    """Lines of text."""
    return f"<p>{html.escape(text).replace(chr(10), '<br>')}</p>"


def when(seconds: float | None) -> str:
    """The date, and how long the run took."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"<p>{now}{'' if seconds is None else f', after {format_time(seconds)}'}</p>"


def table(rows: Iterable[Sequence[str]], names: Sequence[str] = ()) -> str:
    """A table of rows of cells, each HTML; names: of its columns."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    lines = [f"<tr>{head}</tr>"] * bool(names) + [f"<tr>{''.join(row)}</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"


def name_cell(text: str) -> str:
    """What a row is about."""
    return f'<td class="name">{html.escape(text)}</td>'


def cell(text: str, heading: str = "") -> str:
    """heading: what a narrow screen shows before the text, where there is no row of headings."""
    return f"<td{_of(heading)}>{html.escape(text)}</td>"


def number_cell(text: str, heading: str) -> str:
    """A cell whose text stands at its right end."""
    return f'<td class="number"{_of(heading)}>{html.escape(text)}</td>'


def _of(heading: str) -> str:
    return f' data-of="{html.escape(heading)}"' if heading else ""


def verdict_cell(good: bool, text: str) -> str:
    """In colour and in words."""
    return f'<td class="{"yes" if good else "no"}">{html.escape(text)}</td>'
