"""report.html: curves and figures of a run in one file that needs no network."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from albertkit import settings as recipes
from albertkit.text.tokenizer import MASK
from albertkit.train.baselines import Baselines
from albertkit.train.curves import curves
from albertkit.train.figures import baseline_rows, figures, lessons
from albertkit.train.fillings import Filling
from albertkit.train.health import Verdict
from albertkit.train.metrics import read_metrics
from albertkit.train.page import (
    cell,
    links,
    name_cell,
    number_cell,
    paragraph,
    table,
    verdict_cell,
    when,
    write_page,
)
from albertkit.train.recipe import PretrainingRecipe


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
    parts = [when(seconds), links()]
    if verdict is not None:
        parts.append(paragraph(str(verdict)))
    if held_out:
        before = held_out[0] if held_out[0]["step"] == 0 else {}
        parts += ["<h2>What was learned</h2>", _lessons(held_out[-1], baselines, before)]
        parts += ["<h2>Held-out documents</h2>", _final_table(held_out[-1], baselines, before)]
    if fillings:
        parts += ["<h2>Example fillings</h2>", _fillings(fillings)]
    parts += ["<h2>Curves</h2>", curves(train, held_out, drawn_figures(baselines))]
    parts += [
        "<h2>Data and model</h2>",
        table([name_cell(name), cell(fact)] for name, fact in facts),
    ]
    name = recipe.card.name or folder.name
    return write_page(folder, name, "pretraining", parts, recipes.to_toml(recipe))


def _lessons(last: dict[str, Any], baselines: Baselines, before: dict[str, Any]) -> str:
    """Masked words and sentence order, each learned or not learned, and the replayed text."""
    rows = [
        [name_cell(lesson.title), verdict_cell(lesson.learned, lesson.verdict), cell(lesson.facts)]
        for lesson in lessons(last, baselines, before)
    ]
    if "replay_mlm_loss" in last and "replay_mlm_loss" in before:
        loss, earlier = last["replay_mlm_loss"], before["replay_mlm_loss"]
        kept = loss <= earlier + 0.02
        rows.append(
            [
                name_cell("replayed text"),
                verdict_cell(kept, "kept" if kept else "forgotten in part"),
                cell(f"held-out loss {loss:.3f}, before the run {earlier:.3f}"),
            ]
        )
    return table(rows)


def _final_table(last: dict[str, Any], baselines: Baselines, before: dict[str, Any]) -> str:
    """Figures of the last validation beside the lines to beat, with 95 % intervals."""
    rows = []
    for figure in figures(last, baselines, before):
        title = figure.title if figure.is_share else f"{figure.title} (nats)"
        rows.append(
            [
                name_cell(title),
                *([number_cell(figure.before_text, "before the run")] if before else []),
                number_cell(figure.text, "model"),
                number_cell(figure.interval, "95 % interval"),
                number_cell(f"{figure.count:,}", "cases"),
                cell(f"{figure.baseline_text} {figure.baseline_name}", "line to beat"),
                verdict_cell(figure.beats_baseline, figure.comparison),
            ]
        )
    names = ["figure", *["before"] * bool(before), "model", "95 % interval", "cases"]
    note = (
        f"<p>After step {last['step']:,}. The interval is Wilson's, as if cases were "
        "independent; masked tokens of one document are not quite.</p>"
    )
    return table(rows, [*names, "line to beat", ""]) + note


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
                cell(filling.word, "right"),
                f'<td class="guesses" data-of="guesses">{guesses}</td>',
                verdict_cell(bool(places), found),
            ]
        )
    note = (
        "<p>Sentences of the held-out documents as the tokenizer gives them back, one word of each "
        "masked; always the same ones.</p>"
    )
    return table(rows, ["sentence", "right", "guesses with scores", ""]) + note


def _bold(text: str, bold: bool = True) -> str:
    return f"<b>{html.escape(text)}</b>" if bold else html.escape(text)


def drawn_figures(baselines: Baselines) -> list[tuple[str, str, float, str]]:
    """The figures that are drawn: name, title, line to beat and its name."""
    return [
        (name, title if name.endswith("accuracy") else f"{title} (nats)", line, beaten)
        for name, title, line, beaten in baseline_rows(baselines)
        if name != "sop_loss"
    ]
