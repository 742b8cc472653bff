"""Optimum, or Optimum Intel, opens what albertkit exports; run with a Python that has one of them.

    python tests/interop/optimum_reads.py FOLDER

FOLDER is that of `exported_cases.py` for the format, `onnx` or `openvino`, which chooses the
library. The model of a case with texts gets them from the tokenizer in its folder.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reading import Answer, Case, main
from transformers import AutoTokenizer, logging

ONNX = Path(sys.argv[1]).name == "onnx"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "onnx.md"
CLASSES = {
    "feature-extraction": "FeatureExtraction",
    "fill-mask": "MaskedLM",
    "text-classification": "SequenceClassification",
    "token-classification": "TokenClassification",
    "question-answering": "QuestionAnswering",
    "multiple-choice": "MultipleChoice",
}
# On a processor with bfloat16 OpenVINO computes in it unless it is told not to.
OPTIONS: dict[str, Any] = {} if ONNX else {"ov_config": {"INFERENCE_PRECISION_HINT": "f32"}}
# Tasks that have no class of their own.
ANY = {"pretraining", *(() if ONNX else ("multiple-choice",))}


def class_of(task: str) -> Any:
    """The class that opens an export for a task."""
    if ONNX:
        import optimum.onnxruntime as library
    else:
        import optimum.intel as library
    kind = "CustomTasks" if task in ANY else CLASSES[task]
    return getattr(library, f"{'ORT' if ONNX else 'OV'}ModelFor{kind}")


@torch.inference_mode()
def read(case: Case) -> Answer:
    """The outputs of the class for the task."""
    task = case.facts["task"]
    model = class_of(task).from_pretrained(case.checkpoint, **OPTIONS)
    inputs, problems = case.inputs, []
    if case.facts["texts"] is not None:
        tokenizer = AutoTokenizer.from_pretrained(case.checkpoint)
        texts = case.facts["texts"], case.facts["pairs"]
        made = dict(tokenizer(*texts, padding=True, return_tensors="np"))
        if {x: made[x].tolist() for x in made} != {x: inputs[x].tolist() for x in inputs}:
            problems.append("the tokenizer in the folder gives other ids")
        inputs = made
    given = model(**{name: torch.from_numpy(np.asarray(x)) for name, x in inputs.items()})
    found = {name: np.asarray(x) for name, x in given.items() if x is not None}
    if task == "feature-extraction" and "pooler_output" in case.expected:
        whole = class_of("pretraining").from_pretrained(case.checkpoint, **OPTIONS)
        given = whole(**{name: torch.from_numpy(x) for name, x in inputs.items()})
        found["pooler_output"] = np.asarray(given["pooler_output"])
    if (case.folder / "tiny-onnx").exists():
        problems += page_problems(case.folder)
    return Answer(found, {}, problems)


def page_problems(folder: Path) -> list[str]:
    """The lines of the page that use Optimum, run beside an export with the page's name."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    lines = [block for block in blocks if "optimum" in block]
    os.chdir(folder)
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        for block in lines:
            exec(compile(block, PAGE.name, "exec"), {})
    return [] if lines and "city" in shown.getvalue() else [f"the page shows {shown.getvalue()}"]


if __name__ == "__main__":
    logging.set_verbosity_error()
    sys.exit(main(read))
