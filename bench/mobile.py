"""A fine-tuned classifier as the files for phones, beside PyTorch: answers, size, time, memory.

    python bench/mobile.py MODEL ROWS [--calibrate TEXTS] [--length 64] [--without-answers]

MODEL is a checkpoint folder, ROWS labelled examples as `evaluate` takes them. Exports a SavedModel
and LiteRT in each precision (those with integers inside if there are TEXTS), scores each file
with `evaluate`, and runs each LiteRT file on 128 tokens in a process of its own with ai-edge-litert
alone. With --length all of them, PyTorch too, are the model with so many positions, and LiteRT
files take one row of this length. Prints one JSON object a line. Needs the extras tensorflow and
litert.

albert_zh's README claims 120 ms for 128 tokens and 60 MB from load to first run for its tiny model
(4 layers of width 312, float) on a phone. This is a core of the machine that runs it, no phone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from albertkit import Checkpoint, Predictor, evaluate, export
from albertkit.exporters._length import shortened
from albertkit.exporters._quantize import agreement_of
from albertkit.infer.evaluate import head_to_measure

TOKENS, TURNS = 128, 21
# Run with a file, threads, tokens: memory and time of a program that has LiteRT and NumPy alone.
ALONE = f"""
import json, re, sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter

def megabytes(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

before, tokens = megabytes("VmRSS"), int(sys.argv[3])
inputs = {{
    "input_ids": np.arange(5, 5 + tokens, dtype=np.int32)[None],
    "attention_mask": np.ones((1, tokens), np.int32),
    "token_type_ids": np.zeros((1, tokens), np.int32),
}}
run = Interpreter(sys.argv[1], num_threads=int(sys.argv[2])).get_signature_runner()
run(**inputs)
memory, times = megabytes("VmHWM") - before, []
for _ in range({TURNS}):
    started = time.perf_counter()
    run(**inputs)
    times.append(1000 * (time.perf_counter() - started))
quarter, median, other = np.quantile(times, [0.25, 0.5, 0.75])
print(json.dumps({{
    "milliseconds": round(median, 1),
    "quartiles": [round(quarter, 1), round(other, 1)],
    "megabytes": round(memory, 1),
}}))
"""


def main() -> None:
    """Measure every file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--calibrate", type=Path)
    parser.add_argument("--length", type=int)
    parser.add_argument("--without-answers", action="store_true", help="size, time and memory")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if asked.length is not None:  # a text that is cut, is cut for all of them
            made = shortened(Checkpoint.load(asked.model), asked.length, "litert", True)
            asked.model = Path(place) / "model"
            made.save(asked.model)
        measure(asked)


def measure(asked: argparse.Namespace) -> None:
    """One line for each file."""
    before = None
    if not asked.without_answers:
        original = Predictor(asked.model, threads=1)
        head, before = head_to_measure(original), evaluate(original, asked.rows)
    files: list[tuple[str, str, Path | None]] = [
        *(("litert", precision, None) for precision in ("fp32", "fp16", "int8")),
        ("saved_model", "fp32", None),
    ]
    if asked.calibrate is not None:
        files += [("litert", precision, asked.calibrate) for precision in ("int8", "int16x8")]
    for to, precision, texts in files:
        found: dict[str, Any] = {"to": to, "precision": precision, "calibrated": texts is not None}
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "made"
            length = asked.length if to == "litert" else None
            done = export(
                asked.model, to=to, out=out, precision=precision, calibrate=texts, length=length
            )
            found |= {"bytes": done.bytes, "difference": dict(done.compared.difference)}
            if before is not None:
                after = evaluate(Predictor(out), asked.rows)
                metric = str(before.figures["metric"])
                names = ("agreement", "clear_agreement", "clear_count")
                found |= dict(zip(names, agreement_of(head, before, after), strict=True))
                found |= {"metric": metric, "torch": before.figures[metric]}
                found["found"] = after.figures[metric]
            if to == "litert":
                file, tokens = out / "model.tflite", asked.length or TOKENS
                found |= {f"threads_{n}": alone(file, n, tokens) for n in (1, 2)}
        print(json.dumps(found), flush=True)


def alone(file: Path, threads: int, tokens: int) -> dict[str, Any]:
    """Time and memory of a file in a clean process."""
    words = [sys.executable, "-c", ALONE, str(file), str(threads), str(tokens)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
