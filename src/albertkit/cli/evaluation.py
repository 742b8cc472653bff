"""An evaluation as tables for people."""

from __future__ import annotations

from albertkit.cli.output import print_line, print_table
from albertkit.infer.evaluate import Evaluation
from albertkit.tasks.figures import TITLES


def show_figures(found: Evaluation) -> None:
    """Figures with their intervals, then how each class was recognised."""
    rows = []
    for name, title in TITLES.items():
        if name in found.figures:
            low, high = found.intervals.get(name, (None, None))
            ends = "" if low is None else f"{low:.3f} to {high:.3f}"
            rows.append((title, f"{found.figures[name]:.4f}", ends))
    unit = "words" if found.head.kind == "token_classification" else "examples"
    title = f"{found.figures['count']:,} {unit}"
    print_table(title, ["figure", "value", "95 % interval"], rows, right=[1])
    if found.classes:
        table = [
            (
                of.name,
                *(f"{count:,}" for count in (of.support, of.predicted, of.correct)),
                f"{of.f1:.3f}",
            )
            for of in found.classes
        ]
        names = ["class", "support", "predicted", "correct", "F1"]
        print_table("", names, table, right=[1, 2, 3, 4])
    if found.by_options:
        shares = [
            (f"{size}", f"{support:,}", f"{right / support:.3f}", f"{1 / size:.3f}")
            for size, right, support in found.by_options
        ]
        names = ["options", "support", "accuracy", "by chance"]
        print_table("", names, shares, right=[0, 1, 2, 3])
    if found.skipped:
        print_line(f"left out: {len(found.skipped):,} rows, the first at {found.skipped[0]}")
