"""Export in int8 and say what that costs: `quantize("finetuned", check="dev.csv", out="small")`."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from albertkit.checkpoint.families._protocol import Overrides
from albertkit.data.batch import Batch, Ints
from albertkit.exporters import Export, export
from albertkit.files import atomic_folder
from albertkit.infer.checked import CLEAR, Checked
from albertkit.infer.engine import Engine, Floats
from albertkit.infer.evaluate import Evaluation, evaluate, head_to_measure
from albertkit.infer.predictor import Predictor
from albertkit.tasks.head import TaskHead

Timed = tuple[Evaluation, float]  # and the seconds in the network


class _Timed:
    """An engine that counts the seconds it computes."""

    def __init__(self, engine: Engine) -> None:
        self.config, self.head, self.outputs = engine.config, engine.head, engine.outputs
        self._engine, self.seconds = engine, 0.0

    def run(
        self, batch: Batch, want: Collection[str], positions: Ints | None = None
    ) -> dict[str, Floats]:
        """See `Engine.run`."""
        started = time.perf_counter()
        found = self._engine.run(batch, want, positions)
        self.seconds += time.perf_counter() - started
        return found


@dataclass(frozen=True)
class Quantized:
    """What was written, and what it costs."""

    export: Export
    checked: Checked


def quantize(
    model: str | Path,
    *,
    check: str | Path,
    out: str | Path,
    to: str = "openvino",
    precision: str = "int8",
    calibrate: str | Path | None = None,
    length: int | None = None,
    tokenizer: str | Path | None = None,
    overrides: Overrides | None = None,
    family: str | None = None,
    offline: bool | None = None,
    **columns: Any,
) -> Quantized:
    """Export a fine-tuned model in int8, and evaluate both on labelled examples.

    The result is also written into the folder, as albertkit_check.json.

    Args:
        model: checkpoint of any family, or a name.
        check: labelled examples as `evaluate` takes them, which the model was not trained with.
        out: folder to make; must be free.
        to: onnx, openvino or litert.
        precision: int8, or int16x8 of litert.
        calibrate, length, tokenizer, overrides, family, offline: see `export`.
        columns: text_column, pair_column and so on of the examples, see `evaluate`.

    Raises:
        PredictionError: the model was not fine-tuned, or see `export`.
        CorpusError: the examples cannot be read.
        CheckpointError, ConfigError, VocabularyError, OutputError: see `export`.
    """
    original = Predictor(
        model, tokenizer=tokenizer, overrides=overrides, family=family, offline=offline
    )
    head = head_to_measure(original)
    with atomic_folder(Path(out)) as folder:
        before = _evaluated(original, check, columns)
        done = export(
            model,
            to=to,
            out=folder,
            precision=precision,
            calibrate=calibrate,
            length=length,
            tokenizer=tokenizer,
            overrides=overrides,
            family=family,
            offline=offline,
        )
        after = _evaluated(Predictor(folder, tokenizer=original.tokenizer), check, columns)
        checked = _costs(head, str(check), done, before, after)
        checked.save(folder)
    return Quantized(replace(done, folder=Path(out)), checked)


def _costs(head: TaskHead, data: str, done: Export, before: Timed, after: Timed) -> Checked:
    """Both evaluations side by side."""
    (first, seconds_before), (second, seconds) = before, after
    metric = str(first.figures["metric"])
    agreement, clear_agreement, clear_count = agreement_of(head, first, second)
    return Checked(
        data=data,
        count=int(first.figures["count"]),
        metric=metric,
        before=float(first.figures[metric]),
        after=float(second.figures[metric]),
        agreement=agreement,
        clear_agreement=clear_agreement,
        clear_count=clear_count,
        bytes=done.bytes,
        bytes_before=done.bytes_before,
        seconds=seconds,
        seconds_before=seconds_before,
    )


def _evaluated(predictor: Predictor, check: str | Path, columns: Mapping[str, Any]) -> Timed:
    """The figures of a model, and the seconds in its network."""
    timed = _Timed(predictor.engine)
    found = evaluate(Predictor(timed, tokenizer=predictor.tokenizer), check, **columns)
    return found, timed.seconds


def agreement_of(
    head: TaskHead, before: Evaluation, after: Evaluation
) -> tuple[float | None, float | None, int | None]:
    """agreement, clear_agreement, clear_count of `Checked`; each label of multi_label counts."""
    if before.answers:
        pairs = zip(before.answers, after.answers, strict=True)
        return float(np.mean([a == b for a, b in pairs])), None, None
    if before.logits is None or after.logits is None or head.kind == "regression":
        return None, None, None
    same, margins = _same(head, before.logits, after.logits)
    clear = margins > CLEAR
    kept = float(same[clear].mean()) if clear.any() else None
    return float(same.mean()), kept, int(clear.sum())


def _same(head: TaskHead, before: Floats, after: Floats) -> tuple[np.ndarray, np.ndarray]:
    """Whether each label is the same, and by how much the original preferred it."""
    if head.kind == "multi_label":
        return (before > 0) == (after > 0), np.abs(before)
    best = np.sort(before, axis=-1)
    return before.argmax(-1) == after.argmax(-1), best[:, -1] - best[:, -2]
