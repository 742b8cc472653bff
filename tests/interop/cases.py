"""Cases of the interop check: what albertkit writes in each family, with the outputs it must give.

    python tests/interop/cases.py FOLDER [FAMILY ...]

Sources are the golden checkpoints of every family and random models (`random_models.py`). Each is
written with `albertkit.conversion.convert`; a case is FOLDER/FAMILY/NAME with

    checkpoint/   what was written
    inputs.npz    input_ids, token_type_ids, attention_mask: (B, T), multiple choice (B, choices, T)
    expected.npz  what our model gives for the source: hidden_00 ... (B, T, H), pooled (B, H),
                  mlm_logits (B, T, V), sop_logits (B, 2), logits, start_logits and end_logits
                  (B, T); for a beam start_log_probs, end_log_probs given start 0, cls_logits
    case.json     family, head, tolerance, scale and how it came about

Where a golden checkpoint of TensorFlow has its tensors beside it under their original names and is
written in its own family again, FOLDER/tf_names/NAME holds what was written with these tensors.

Our model is held against the original programs by the tests, on the golden outputs.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from goldens import ARRAYS, Golden, goldens
from random_models import PLANS, make
from torch.nn import functional as F

from albertkit.checkpoint.checkpoint import Checkpoint, Opened, open_checkpoint
from albertkit.checkpoint.families._protocol import LoadResult, Overrides
from albertkit.checkpoint.mapping import LoadReport
from albertkit.conversion import convert
from albertkit.errors import CheckpointError, ConfigError
from albertkit.model.checks import first_segment
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import build, build_body, build_task

TOLERANCE = 3e-5  # of the largest expected value, which counts as 1 at least
ROWS, CHOICES, COLUMNS = 4, 2, 14
# A family with fewer cases than this lost some on the way.
LEAST = {
    "huggingface": 20,
    "google_tf": 12,
    "brightmart_tf": 7,
    "uer": 10,
    "paddlenlp": 14,
    "keras_hub": 7,
}

Arrays = dict[str, np.ndarray]


def batch(checkpoint: Checkpoint) -> Arrays:
    """Ids, segments and mask: a full row, one with a hole, and two that end early.

    Id 0 stands at padding only: PaddleNLP and Keras treat the padding word in their own way.
    """
    config = checkpoint.config
    columns = min(COLUMNS, config.max_position_embeddings)
    draws = np.random.default_rng(config.vocab_size)
    ids = draws.integers(1, config.vocab_size, (ROWS, columns))
    ends = np.array([columns, columns, columns * 2 // 3, columns // 3])
    real = np.arange(columns) < ends[:, None]
    real[1, 2] = False
    first = first_segment(config)  # UER counts segments from 1, and 0 is padding
    second = (np.arange(columns) >= ends[:, None] // 2) & (config.type_vocab_size > first + 1)
    inputs = {
        "input_ids": np.where(real, ids, 0).astype(np.int64),
        "token_type_ids": np.where(real, first + second, 0).astype(np.int64),
        "attention_mask": real.astype(np.int64),
    }
    if checkpoint.head is not None and checkpoint.head.kind == "multiple_choice":
        inputs = {name: x.reshape(ROWS // CHOICES, CHOICES, columns) for name, x in inputs.items()}
    return inputs


@torch.inference_mode()
def outputs(checkpoint: Checkpoint, inputs: Arrays) -> Arrays:
    """Everything that our model gives for the batch, in float32."""
    whole = [torch.from_numpy(inputs[name]) for name in ("input_ids", "token_type_ids")]
    mask = torch.from_numpy(inputs["attention_mask"]).bool()
    columns = mask.shape[-1]
    # Our models count segments from 0, whatever rows their tables have for them.
    whole[1] = (whole[1] - first_segment(checkpoint.config)).clamp(min=0)
    ids, types, rows = (x.view(-1, columns) for x in (*whole, mask))
    model = build(checkpoint) if checkpoint.has_masked_lm else build_body(checkpoint)
    body = model.albert if isinstance(model, AlbertForPretraining) else model
    encoder = body(ids, types, mask=rows, return_all=True)
    found = {f"hidden_{n:02d}": state for n, state in enumerate(encoder.hidden_states)}
    if encoder.pooled is not None:
        found["pooled"] = encoder.pooled
    if isinstance(model, AlbertForPretraining):
        words = model.masked_lm(encoder.hidden.flatten(0, 1), body.embeddings)
        found["mlm_logits"] = words.view(*ids.shape, -1)
    if checkpoint.has_sentence_order:
        weight, bias = (
            torch.from_numpy(np.array(checkpoint.tensors[f"sentence_order.{kind}"]))
            for kind in ("weight", "bias")
        )
        found["sop_logits"] = F.linear(found["pooled"], weight, bias)
    if checkpoint.head is not None:
        found |= _task(checkpoint, *whole, mask)
    return {name: x.numpy() for name, x in found.items()}


def _task(
    checkpoint: Checkpoint, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor
) -> dict[str, torch.Tensor]:
    """What the head of the task gives."""
    starts = torch.zeros(len(ids), dtype=torch.int64)
    output = build_task(checkpoint)(ids, types, mask=mask, start_places=starts)
    if output.beam is not None:
        assert output.beam.ends is not None
        return {
            "start_log_probs": output.beam.starts,
            "end_log_probs": output.beam.ends,
            "cls_logits": output.beam.unanswerable,
        }
    if output.start is not None:
        return {"start_logits": output.start, "end_logits": output.end}
    return {"logits": output.logits}


def sources(family: str) -> Iterator[tuple[str, Golden | Opened, str]]:
    """What is to be written in a family: every golden, and this family's random models."""
    for plan in PLANS[family]():
        checkpoint = make(family, plan)
        result = LoadResult(checkpoint.config, checkpoint.tensors, LoadReport())
        yield (
            f"random-{plan.name}",
            Opened(checkpoint, "random", Path(plan.name), result),
            plan.dtype,
        )
    for golden in goldens():
        yield golden.name, golden, "float32"


def write_case(
    folder: Path, family: str, name: str, source: Golden | Opened, dtype: str
) -> str | None:
    """Make one case; or say why the family cannot hold this model.

    A random model of the family must be written without loss. A golden one may lose its heads.
    """
    golden = isinstance(source, Golden)
    opened = source.open() if golden else source
    place = folder / family / name
    place.mkdir(parents=True)
    try:
        done = convert(opened, place / "checkpoint", family, dtype=dtype, allow_loss=golden)
    except CheckpointError as error:
        place.rmdir()
        own = golden and source.opener == family
        if not golden or own or "mistake" in error.what:
            raise
        return f"{error.what} {error.facts.get('found', '')}"
    written = read_again(place / "checkpoint", family, opened.checkpoint)
    # UER's scales were folded where another family was written, or numbers were rounded to half
    # precision: that is another model.
    folded = opened.checkpoint.config.layer_norm_kind == "uer" != family
    checkpoint = written if folded or dtype != "float32" else opened.checkpoint
    inputs = batch(checkpoint)
    expected = outputs(checkpoint, inputs)
    if done.lost:  # the values are the source's, for the heads that are left
        left = outputs(written, inputs)
        expected = {name: x for name, x in expected.items() if name in left}
        if written.config.head_layer_norm_eps != checkpoint.config.head_layer_norm_eps:
            expected["mlm_logits"] = left["mlm_logits"]  # the account says so: a lost epsilon
    np.savez(place / "inputs.npz", **inputs)
    np.savez(place / "expected.npz", **expected)
    head = written.head
    facts: dict[str, Any] = {
        "family": family,
        "head": None if head is None else head.kind,
        "dtype": dtype,
        "tolerance": TOLERANCE,
        # In these cases all values are small, so that a wrong epsilon shows: no 1 at least.
        "relative": "eps_probe" in name,
        "source": name,
        "source_path": str(opened.path),
        "source_family": opened.family,
        "lost": [loss.sentence for loss in done.lost],
        "parts": [
            part
            for part in ("pooler", "masked_lm", "sentence_order")
            if getattr(written, f"has_{part}")
        ],
        "config": asdict(checkpoint.config),
        "task_head": None if head is None else head.to_json(),
    }
    if golden and source.opener == family and (arrays := source.path.parent / ARRAYS).is_file():
        write_names_case(folder / "tf_names" / name, place / "checkpoint", arrays)
    (place / "case.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return None


def write_names_case(folder: Path, checkpoint: Path, arrays: Path) -> None:
    """A case for `tensorflow_reads.py`: names and bits of the original program."""
    shutil.copytree(checkpoint, folder)
    with np.load(arrays) as tensors:
        weights = {name: tensors[name] for name in tensors if name != "global_step"}
    np.savez(folder / "expected.npz", **weights)


def read_again(folder: Path, family: str, source: Checkpoint) -> Checkpoint:
    """What was written, which may have lost its head; google's files do not say what it is for."""
    if source.head is not None:
        try:
            by_kind = Overrides(head=source.head.kind)
            return open_checkpoint(folder, family=family, overrides=by_kind).checkpoint
        except ConfigError:
            pass
    return open_checkpoint(folder, family=family).checkpoint


def write_cases(folder: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """Make all cases of these families; for each family their number and what it cannot hold.

    Raises:
        SystemExit: a family has too few.
    """
    report: dict[str, dict[str, Any]] = {}
    for family in names:
        refused = {}
        count = 0
        for name, source, dtype in sources(family):
            try:
                reason = write_case(folder, family, name, source, dtype)
            except Exception as error:
                error.add_note(f"{family} from {name}")
                raise
            if reason is None:
                count += 1
            else:
                refused[name] = reason
        report[family] = {"cases": count, "refused": refused}
        if count < LEAST[family]:
            sys.exit(f"{family}: {count} cases, fewer than {LEAST[family]}: {refused}")
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    for family, facts in write_cases(place, sys.argv[2:] or list(PLANS)).items():
        print(f"{family}: {facts['cases']} cases, {len(facts['refused'])} sources it cannot hold")
