"""report.html: curves and figures of a run in one file that needs no network."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from albertkit import settings as recipes
from albertkit.files import write_atomic
from albertkit.train.baselines import Baselines
from albertkit.train.figures import baseline_rows, figures
from albertkit.train.health import Verdict
from albertkit.train.metrics import read_metrics
from albertkit.train.recipe import PretrainingRecipe

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1c; background: #fff; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .2rem 1rem .2rem 0;
         border-bottom: 1px solid #ddd; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: #f5f5f5; padding: 1rem; overflow-x: auto; } svg { max-width: 100%; height: auto; }
"""
_TRAIN, _HELD_OUT, _LINE = "#9db7d5", "#1f4e8c", "#b3471d"


def write_report(
    folder: Path,
    recipe: PretrainingRecipe,
    facts: Iterable[tuple[str, str]],
    baselines: Baselines,
    verdict: Verdict | None,
) -> Path:
    """Write RUN/report.html from RUN/metrics.jsonl; `facts` are lines about data and model."""
    metrics = read_metrics(folder / "metrics.jsonl")
    train = [line for line in metrics if line["event"] == "train"]
    held_out = [line for line in metrics if line["event"] == "validation"]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{html.escape(folder.name)}: pretraining</title>",
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(folder.name)}: pretraining</h1>",
    ]
    if verdict is not None:
        parts.append(f"<p>{html.escape(str(verdict)).replace(chr(10), '<br>')}</p>")
    if held_out:
        parts += ["<h2>Held-out documents</h2>", _final_table(held_out[-1], baselines)]
    parts += ["<h2>Curves</h2>", _curves(train, held_out, baselines)]
    parts += ["<h2>Data and model</h2>", _table(facts)]
    parts += ["<h2>Recipe</h2>", f"<pre>{html.escape(recipes.to_toml(recipe))}</pre>"]
    path = folder / "report.html"
    write_atomic(path, "\n".join([*parts, "</body></html>", ""]))
    return path


def _final_table(last: dict[str, Any], baselines: Baselines) -> str:
    """Figures of the last validation beside the lines to beat, with 95 % intervals."""
    rows = [
        "<tr><th>figure</th><th>model</th><th>95 % interval</th><th>cases</th>"
        "<th>line to beat</th></tr>"
    ]
    for figure in figures(last, baselines):
        title = figure.title if figure.is_share else f"{figure.title} (nats)"
        cells = [figure.text, figure.interval, f"{figure.count:,}"]
        rows.append(
            f"<tr><td>{title}</td>"
            + "".join(f'<td class="number">{cell}</td>' for cell in cells)
            + f"<td>{figure.baseline_text} {figure.baseline_name}</td></tr>"
        )
    note = (
        f"<p>After step {last['step']:,}. The interval is Wilson's, as if cases were "
        "independent; masked tokens of one document are not quite.</p>"
    )
    return "<table>" + "".join(rows) + "</table>" + note


def _table(facts: Iterable[tuple[str, str]]) -> str:
    rows = (
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
        for name, value in facts
    )
    return "<table>" + "".join(rows) + "</table>"


def _curves(
    train: Sequence[dict[str, Any]], held_out: Sequence[dict[str, Any]], baselines: Baselines
) -> str:
    """Four curves over steps as one SVG: losses, accuracies, learning rate."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7))
    figure.subplots_adjust(0.06, 0.08, 0.98, 0.94, wspace=0.15, hspace=0.35)
    panels = figure.subplots(2, 2).flat
    curves = [row for row in baseline_rows(baselines) if row[0] != "sop_loss"]
    for panel, (name, title, baseline, baseline_name) in zip(panels, curves, strict=False):
        title = title if name.endswith("accuracy") else f"{title} (nats)"
        panel.plot(_steps(train), _values(train, name), color=_TRAIN, label="training")
        panel.plot(
            _steps(held_out), _values(held_out, name), "o-", color=_HELD_OUT, label="held out"
        )
        panel.axhline(baseline, linestyle="--", color=_LINE, label=baseline_name)
        panel.set(title=title, xlabel="step")
        panel.legend()
    rate = figure.axes[-1]
    rate.plot(_steps(train), _values(train, "learning_rate"), color=_HELD_OUT)
    rate.set(title="learning rate", xlabel="step")
    drawn = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "albertkit"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()[drawn.getvalue().index("<svg") :]


def _steps(lines: Sequence[dict[str, Any]]) -> list[int]:
    return [line["step"] for line in lines]


def _values(lines: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [line[name] for line in lines]
