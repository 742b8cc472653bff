"""report.html: curves and figures of a run in one file that needs no network."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from albertkit import settings as recipes
from albertkit.files import write_atomic
from albertkit.progress import format_time
from albertkit.text.tokenizer import MASK
from albertkit.train.baselines import Baselines
from albertkit.train.curves import STYLE, curves
from albertkit.train.figures import figures, lessons
from albertkit.train.fillings import Filling
from albertkit.train.health import Verdict
from albertkit.train.metrics import read_metrics
from albertkit.train.recipe import PretrainingRecipe

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
a { color: inherit; } summary { cursor: pointer; }
pre { background: var(--soft); padding: 1rem; overflow-x: auto; }
/* On a telephone each row is a block, each cell a line with its heading. */
@media (max-width: 40rem) {
  h1 { font-size: 1.6rem; } td.number { text-align: left; }
  table { display: block; } tbody { display: block; } .guesses { min-width: 0; }
  tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  td { display: block; border: 0; padding: 0; } td.name { font-weight: 600; }
  tr:has(th) { display: none; }
  td:empty { display: none; } td[data-of]::before { content: attr(data-of) ": "; }
}
"""


def write_report(
    folder: Path,
    recipe: PretrainingRecipe,
    facts: Iterable[tuple[str, str]],
    baselines: Baselines,
    verdict: Verdict | None,
    seconds: float | None = None,
    fillings: Sequence[Filling] = (),
) -> Path:
    """Write RUN/report.html from RUN/metrics.jsonl; `facts` are lines about data and model.

    seconds: how long the run took, all its processes together. fillings: guesses to show.
    """
    metrics = read_metrics(folder / "metrics.jsonl")
    train = [line for line in metrics if line["event"] == "train"]
    held_out = [line for line in metrics if line["event"] == "validation"]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(folder.name)}: pretraining</title>",
        f"<style>{_STYLE}{STYLE}</style></head><body>",
        f"<h1>{html.escape(recipe.card.name or folder.name)}: pretraining</h1>",
        _when(seconds),
        '<p><a href="model/README.md">the model and its card</a>, '
        '<a href="recipe.toml">the recipe</a>, <a href="metrics.jsonl">all figures</a></p>',
    ]
    if verdict is not None:
        parts.append(f"<p>{html.escape(str(verdict)).replace(chr(10), '<br>')}</p>")
    if held_out:
        before = held_out[0] if held_out[0]["step"] == 0 else {}
        parts += ["<h2>What was learned</h2>", _lessons(held_out[-1], baselines, before)]
        parts += ["<h2>Held-out documents</h2>", _final_table(held_out[-1], baselines, before)]
    if fillings:
        parts += ["<h2>Example fillings</h2>", _fillings(fillings)]
    parts += ["<h2>Curves</h2>", curves(train, held_out, baselines)]
    parts += ["<h2>Data and model</h2>", _table([_name(name), _cell(fact)] for name, fact in facts)]
    text = html.escape(recipes.to_toml(recipe))
    parts += [f"<details><summary>The whole recipe</summary><pre>{text}</pre></details>"]
    path = folder / "report.html"
    write_atomic(path, "\n".join([*parts, "</body></html>", ""]))
    return path


def _when(seconds: float | None) -> str:
    """The date, and how long the run took."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"<p>{now}{'' if seconds is None else f', after {format_time(seconds)}'}</p>"


def _lessons(last: dict[str, Any], baselines: Baselines, before: dict[str, Any]) -> str:
    """Masked words and sentence order, each learned or not learned, and the replayed text."""
    rows = [
        [_name(lesson.title), _verdict(lesson.learned, lesson.verdict), _cell(lesson.facts)]
        for lesson in lessons(last, baselines, before)
    ]
    if "replay_mlm_loss" in last and "replay_mlm_loss" in before:
        loss, earlier = last["replay_mlm_loss"], before["replay_mlm_loss"]
        kept = loss <= earlier + 0.02
        rows.append(
            [
                _name("replayed text"),
                _verdict(kept, "kept" if kept else "forgotten in part"),
                _cell(f"held-out loss {loss:.3f}, before the run {earlier:.3f}"),
            ]
        )
    return _table(rows)


def _final_table(last: dict[str, Any], baselines: Baselines, before: dict[str, Any]) -> str:
    """Figures of the last validation beside the lines to beat, with 95 % intervals."""
    rows = []
    for figure in figures(last, baselines, before):
        title = figure.title if figure.is_share else f"{figure.title} (nats)"
        beaten = figure.beats_baseline
        rows.append(
            [
                _name(title),
                *([_number(figure.before_text, "before the run")] if before else []),
                _number(figure.text, "model"),
                _number(figure.interval, "95 % interval"),
                _number(f"{figure.count:,}", "cases"),
                _cell(f"{figure.baseline_text} {figure.baseline_name}", "line to beat"),
                _verdict(beaten, "beaten" if beaten else "not beaten"),
            ]
        )
    names = ["figure", *["before"] * bool(before), "model", "95 % interval", "cases"]
    note = (
        f"<p>After step {last['step']:,}. The interval is Wilson's, as if cases were "
        "independent; masked tokens of one document are not quite.</p>"
    )
    return _table(rows, [*names, "line to beat", ""]) + note


def _fillings(fillings: Sequence[Filling]) -> str:
    """Held-out sentences with a word masked: what stands there, and what the model guesses."""
    rows = []
    for filling in fillings:
        places = [n for n, (guess, _) in enumerate(filling.guesses) if guess == filling.word]
        guesses = " ".join(
            f'<span class="guess">{_bold(guess, n in places)} {score:.0%}</span>'
            for n, (guess, score) in enumerate(filling.guesses)
        )
        found = "not among them" if not places else f"guess {places[0] + 1}"
        rows.append(
            [
                f"<td>{_bold(MASK).join(map(html.escape, filling.text.split(MASK)))}</td>",
                _cell(filling.word, "right"),
                f'<td class="guesses" data-of="guesses">{guesses}</td>',
                _verdict(bool(places), found),
            ]
        )
    note = (
        "<p>Sentences of the held-out documents as the tokenizer gives them back, one word of each "
        "masked; always the same ones.</p>"
    )
    return _table(rows, ["sentence", "right", "guesses with scores", ""]) + note


def _bold(text: str, bold: bool = True) -> str:
    return f"<b>{html.escape(text)}</b>" if bold else html.escape(text)


def _table(rows: Iterable[Sequence[str]], names: Sequence[str] = ()) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    lines = [f"<tr>{head}</tr>"] * bool(names) + [f"<tr>{''.join(row)}</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _name(text: str) -> str:
    return f'<td class="name">{html.escape(text)}</td>'


def _cell(text: str, heading: str = "") -> str:
    """heading: what a narrow screen shows before the text, where there is no row of headings."""
    return f"<td{_of(heading)}>{html.escape(text)}</td>"


def _number(text: str, heading: str) -> str:
    return f'<td class="number"{_of(heading)}>{html.escape(text)}</td>'


def _of(heading: str) -> str:
    return f' data-of="{html.escape(heading)}"' if heading else ""


def _verdict(good: bool, text: str) -> str:
    """In colour and in words."""
    return f'<td class="{"yes" if good else "no"}">{html.escape(text)}</td>'
