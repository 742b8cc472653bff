"""What int8 costs a fine-tuned model: both on the same labelled examples, kept beside the model."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from albertkit.errors import PredictionError
from albertkit.files import strict_json, write_atomic
from albertkit.infer.exported import engine_of, precision_of

CHECK = "albertkit_check.json"
MAX_LOSS = 0.005  # of the metric, for answers that count as kept: half a point
QUANTIZED = ("int8", "int16x8")  # precisions that change answers
CLEAR = 1e-3  # between the two best logits


@dataclass(frozen=True)
class Checked:
    """A quantized model beside its original in float32, computed by PyTorch.

    data: the file of labelled examples. count: of examples, or words. metric: the figure that
    decides; before, after: its value. agreement: share of labels (or answers) that are the same;
    clear_agreement: the same where the original's two best logits differ by more than 0.001, which
    are clear_count; None where there are no labels, or no logits of labels. bytes, bytes_before: of
    the model's files. seconds, seconds_before: in the network, for all examples.
    """

    data: str
    count: int
    metric: str
    before: float
    after: float
    agreement: float | None
    clear_agreement: float | None
    clear_count: int | None
    bytes: int
    bytes_before: int
    seconds: float
    seconds_before: float

    @property
    def keeps(self) -> bool:
        """Whether the metric lost at most half a point."""
        return self.after >= self.before - MAX_LOSS

    @property
    def speed(self) -> float:
        """How many times as fast it is."""
        return self.seconds_before / max(self.seconds, 1e-9)

    def save(self, folder: Path) -> None:
        """Write it into the folder of the quantized model."""
        values = {**asdict(self), "speed": round(self.speed, 3), "keeps": self.keeps}
        write_atomic(folder / CHECK, json.dumps(values, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Checked | None:
        """What `save` wrote; None if the model was not checked.

        Raises:
            PredictionError: the file is damaged.
        """
        if not (folder / CHECK).is_file():
            return None
        values: Any = strict_json(folder / CHECK)
        try:
            return cls(**{name: values[name] for name in cls.__dataclass_fields__})
        except (TypeError, KeyError) as error:
            raise PredictionError(
                "The result of a check is damaged.",
                expected=f"{CHECK} as it was written",
                found=str(error),
                where=folder / CHECK,
                fix="quantize the model again",
                command_fix="quantize the model again: albertkit quantize MODEL --check DEV "
                "--out DIR",
            ) from error


def refuse_unchecked(folder: Path) -> None:
    """Refuse an exported folder in int8 or int16x8 unless it was checked and keeps the metric.

    One line on standard error says what the check found.

    Raises:
        PredictionError: with the ways to go on.
    """
    precision = precision_of(folder)
    if precision not in QUANTIZED:
        return
    found = Checked.load(folder)
    if found is None or not found.keeps:
        raise PredictionError(
            f"engine='auto' takes {precision} only if it was checked and keeps its metric.",
            expected=f"{CHECK} with a loss of at most {MAX_LOSS}",
            found="none"
            if found is None
            else f"{found.metric} {found.before:.4f} before, {found.after:.4f} after",
            where=folder,
            fix="leave engine out to use it as it is, or make one with "
            "quantize(model, check='dev.csv', out='small')",
            command_fix="leave --engine out to use it as it is, or make one with "
            "albertkit quantize MODEL --check DEV --out DIR",
        )
    print(
        f"engine: {engine_of(folder)}, {precision}; {found.metric} {found.before:.4f} before, "
        f"{found.after:.4f} after, {found.speed:.1f} times as fast, on {found.data}",
        file=sys.stderr,
        flush=True,
    )
