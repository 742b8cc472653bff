"""Curves of a run: losses, figures and learning rate over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from albertkit.train.drawing import HELD_OUT, TO_BEAT, TRAINING, drawing, legend, side_by_side


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
        panel.set(xlabel="step")
        panel.plot(_steps(train), _values(train, "learning_rate"), color=HELD_OUT)

    rate = drawing("learning rate", draw_rate, said=_ends(train, "learning_rate"))
    return side_by_side([*figures, rate])


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
        panel.set(xlabel="step")
        panel.plot(_steps(train), _values(train, name), color=TRAINING)
        panel.plot(_steps(held_out), _values(held_out, name), "o-", color=HELD_OUT)
        panel.axhline(baseline, linestyle="--", color=TO_BEAT)

    shown = [("training", "training")] * bool(train)
    shown += [("held-out", "held out"), ("to-beat", baseline_name)]
    said = [f"training {_ends(train, name)}"] * bool(train)
    said += [f"held out {_ends(held_out, name)}"] * bool(held_out)
    said += [f"{baseline_name} {baseline:.4g}"]
    shares = "y" if name.endswith("accuracy") else ""
    return drawing(title, draw, legend(shown), said="; ".join(said), shares=shares)


def _ends(lines: Sequence[Mapping[str, Any]], name: str) -> str:
    """The first and the last value of a curve in words."""
    if not lines:
        return "not measured"
    ends = [lines[0], lines[-1]] if len(lines) > 1 else lines
    return ", ".join(f"{line[name]:.4g} at step {line['step']:,}" for line in ends)


def _steps(lines: Sequence[Mapping[str, Any]]) -> list[int]:
    return [line["step"] for line in lines]


def _values(lines: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [line[name] for line in lines]
