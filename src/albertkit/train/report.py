"""report.html: curves and figures of a run in one file that needs no network."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from albertkit import settings as recipes
from albertkit.files import write_atomic
from albertkit.train.baselines import Baselines
from albertkit.train.console import spell_time
from albertkit.train.figures import baseline_rows, figures, lessons
from albertkit.train.health import Verdict
from albertkit.train.metrics import read_metrics
from albertkit.train.recipe import PretrainingRecipe

_STYLE = """
:root { color-scheme: light dark; --text: #1c1c1c; --back: #fff; --line: #ddd; --soft: #f5f5f5;
        --good: #1a7f37; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e6e6; --back: #16181b; --line: #3a3d42;
        --soft: #22252a; --good: #4cc26b; --bad: #ff8a80; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: var(--text); background: var(--back); overflow-wrap: anywhere; }
.wide { overflow-x: auto; overflow-wrap: normal; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .2rem 1rem .2rem 0;
         border-bottom: 1px solid var(--line); vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.learned { color: var(--good); font-weight: 600; white-space: nowrap; }
.missed { color: var(--bad); font-weight: 600; white-space: nowrap; }
a { color: inherit; } pre { background: var(--soft); padding: 1rem; overflow-x: auto; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
.curves svg { width: 100%; height: auto; background: #fff; }
"""
_TRAIN, _HELD_OUT, _LINE = "#9db7d5", "#1f4e8c", "#b3471d"


def write_report(
    folder: Path,
    recipe: PretrainingRecipe,
    facts: Iterable[tuple[str, str]],
    baselines: Baselines,
    verdict: Verdict | None,
    seconds: float | None = None,
) -> Path:
    """Write RUN/report.html from RUN/metrics.jsonl; `facts` are lines about data and model.

    seconds: how long the run took, all its processes together.
    """
    metrics = read_metrics(folder / "metrics.jsonl")
    train = [line for line in metrics if line["event"] == "train"]
    held_out = [line for line in metrics if line["event"] == "validation"]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(folder.name)}: pretraining</title>",
        f"<style>{_STYLE}</style></head><body>",
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
    parts += ["<h2>Curves</h2>", _curves(train, held_out, baselines)]
    parts += ["<h2>Data and model</h2>", _table(facts)]
    text = html.escape(recipes.to_toml(recipe))
    parts += [f"<details><summary>The whole recipe</summary><pre>{text}</pre></details>"]
    path = folder / "report.html"
    write_atomic(path, "\n".join([*parts, "</body></html>", ""]))
    return path


def _when(seconds: float | None) -> str:
    """The date, and how long the run took."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"<p>{now}{'' if seconds is None else f', after {spell_time(seconds)}'}</p>"


def _lessons(last: dict[str, Any], baselines: Baselines, before: dict[str, Any]) -> str:
    """Masked words and sentence order, each learned or not learned, and the replayed text."""
    rows = [
        f'<tr><td>{lesson.title}</td><td class="{"learned" if lesson.learned else "missed"}">'
        f"{lesson.verdict}</td><td>{html.escape(lesson.facts)}</td></tr>"
        for lesson in lessons(last, baselines, before)
    ]
    if "replay_mlm_loss" in last and "replay_mlm_loss" in before:
        loss, earlier = last["replay_mlm_loss"], before["replay_mlm_loss"]
        kept = "kept" if loss <= earlier + 0.02 else "forgotten in part"
        name = "learned" if kept == "kept" else "missed"
        fact = f"held-out loss {loss:.3f}, before the run {earlier:.3f}"
        rows.append(f'<tr><td>replayed text</td><td class="{name}">{kept}</td><td>{fact}</td></tr>')
    return f"<table>{''.join(rows)}</table>"


def _final_table(last: dict[str, Any], baselines: Baselines, before: dict[str, Any]) -> str:
    """Figures of the last validation beside the lines to beat, with 95 % intervals."""
    rows = [
        "<tr><th>figure</th>" + "<th>before</th>" * bool(before) + "<th>model</th>"
        "<th>95 % interval</th><th>cases</th><th>line to beat</th></tr>"
    ]
    for figure in figures(last, baselines, before):
        title = figure.title if figure.is_share else f"{figure.title} (nats)"
        cells = [figure.before_text] if before else []
        cells += [figure.text, figure.interval, f"{figure.count:,}"]
        rows.append(
            f"<tr><td>{title}</td>"
            + "".join(f'<td class="number">{cell}</td>' for cell in cells)
            + f"<td>{figure.baseline_text} {figure.baseline_name}</td></tr>"
        )
    note = (
        f"<p>After step {last['step']:,}. The interval is Wilson's, as if cases were "
        "independent; masked tokens of one document are not quite.</p>"
    )
    return '<div class="wide"><table>' + "".join(rows) + "</table></div>" + note


def _table(facts: Iterable[tuple[str, str]]) -> str:
    rows = (
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
        for name, value in facts
    )
    return "<table>" + "".join(rows) + "</table>"


def _curves(
    train: Sequence[dict[str, Any]], held_out: Sequence[dict[str, Any]], baselines: Baselines
) -> str:
    """Curves over steps, each an SVG: losses, accuracies, learning rate."""
    drawn = []
    curves = [row for row in baseline_rows(baselines) if row[0] != "sop_loss"]
    for name, title, baseline, baseline_name in curves:
        share = name.endswith("accuracy")

        def draw(
            panel: Any,
            name: str = name,
            line: float = baseline,
            label: str = baseline_name,
        ) -> None:
            panel.plot(_steps(train), _values(train, name), color=_TRAIN, label="training")
            panel.plot(
                _steps(held_out), _values(held_out, name), "o-", color=_HELD_OUT, label="held out"
            )
            panel.axhline(line, linestyle="--", color=_LINE, label=label)
            panel.legend()

        drawn.append(_panel(title if share else f"{title} (nats)", draw, share=share))

    def draw_rate(panel: Any) -> None:
        panel.plot(_steps(train), _values(train, "learning_rate"), color=_HELD_OUT)

    return f'<div class="curves">{"".join([*drawn, _panel("learning rate", draw_rate)])}</div>'


def _panel(title: str, draw: Callable[[Any], None], *, share: bool = False) -> str:
    """One drawing over steps, large enough to be read on a telephone."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(5, 3.2))
    panel = figure.subplots()
    draw(panel)
    panel.set(title=title, xlabel="step")
    if share:
        panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    figure.tight_layout()
    drawn = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": title}):  # ids differ between the drawings
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()[drawn.getvalue().index("<svg") :]


def _steps(lines: Sequence[dict[str, Any]]) -> list[int]:
    return [line["step"] for line in lines]


def _values(lines: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [line[name] for line in lines]
