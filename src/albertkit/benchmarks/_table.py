"""The table of a suite: what a run scored beside what was published, with the sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from albertkit.benchmarks._protocol import DataSet
from albertkit.benchmarks._published import published

_BOTH = ("span", "beam_span")  # of these F1 and exact match are printed together


@dataclass(frozen=True)
class Row:
    """Scores of one model from one source: text by the name of the data set, percent."""

    model: str
    source: str
    cells: Mapping[str, str] = field(default_factory=dict)


def table(
    sets: Sequence[DataSet],
    runs: Mapping[str, Mapping[str, Mapping[str, float]]],
    seeds: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]] | None = None,
) -> list[Row]:
    """A row for each model that was run, then one for each published model and source.

    runs: scores (-1 or 0 to 1) by name, by the name of the data set, by the name of the model. A
    data set without a run has no cell. seeds: in the same way the scores of several runs, of which
    `runs` has the medians.
    """
    rows = []
    for model, found in runs.items():
        several = (seeds or {}).get(model, {})
        cells = {
            x.name: cell(x, found[x.name], several.get(x.name, ())) for x in sets if x.name in found
        }
        rows.append(Row(model, "this run", cells))
    others: dict[tuple[str, str], dict[str, str]] = {}
    for data_set in sets:
        for score in published(data_set.title):
            cells = others.setdefault((score.model, score.source), {})
            text = f"{score.value} ({score.of})" if score.of else score.value
            held = cells.get(data_set.name)
            cells[data_set.name] = text if held is None else f"{held}, {text}"
    same: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {}  # copies of one model
    for (model, source), cells in others.items():
        same.setdefault((source, tuple(cells.items())), []).append(model)
    rows += [Row(", ".join(names), source, dict(held)) for (source, held), names in same.items()]
    return rows


def cell(
    data_set: DataSet, scores: Mapping[str, float], runs: Sequence[Mapping[str, float]] = ()
) -> str:
    """The deciding score in percent with one decimal; "F1/EM" of reading comprehension.

    Behind a slash that of a split that is scored besides. runs: of several, whose lowest and
    highest score stand behind.
    """
    first = data_set.scores[0]
    names = list(data_set.scores if data_set.kind in _BOTH else data_set.scores[:1])
    names += [name for name in scores if name.startswith(f"{first}_") and data_set.beside]
    text = "/".join(f"{100 * scores[name]:.1f}" for name in names)
    if len(runs) > 1:
        each = [100 * run[first] for run in runs]
        text += f" ({min(each):.1f} to {max(each):.1f})"
    return text


def markdown(sets: Sequence[DataSet], rows: Sequence[Row]) -> str:
    """The table as Markdown, sources numbered below; cells without a score are empty."""
    sources = list(dict.fromkeys(row.source for row in rows))
    head = ["model", *(x.title for x in sets), "source"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        numbers = [row.cells.get(x.name, "") for x in sets]
        lines.append([row.model, *numbers, f"[{sources.index(row.source) + 1}]"])
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    notes = "\n".join(f"[{number}] {source}  " for number, source in enumerate(sources, 1))
    return f"{body}\n\n{notes}\n"
