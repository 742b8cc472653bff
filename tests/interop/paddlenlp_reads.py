"""PaddleNLP opens the folders that albertkit wrote; run with a Python that has PaddleNLP 2.8.1.

    python tests/interop/paddlenlp_reads.py FOLDER

Each folder is opened with the class that its config names. PaddleNLP fills what a file lacks with
random numbers and skips what it does not know, so every parameter is held against the file.
"""

from __future__ import annotations

import json
import logging
import os
import sys

os.environ.setdefault("GLOG_minloglevel", "3")

import numpy as np
import paddle
from paddlenlp.transformers.albert import modeling
from paddlenlp.utils.log import logger
from reading import Answer, Case, main

CLASSES = {
    "classification": "AlbertForSequenceClassification",
    "multi_label": "AlbertForSequenceClassification",
    "regression": "AlbertForSequenceClassification",
    "token_classification": "AlbertForTokenClassification",
    "multiple_choice": "AlbertForMultipleChoice",
    "span": "AlbertForQuestionAnswering",
}


def class_of(case: Case) -> str:
    """Class that fits the case, by its head and parts."""
    parts = case.facts["parts"]
    if case.facts["head"] is not None:
        return CLASSES[case.facts["head"]]
    if "masked_lm" not in parts:
        return "AlbertModel"
    return "AlbertForPretraining" if "sentence_order" in parts else "AlbertForMaskedLM"


def load(case: Case, name: str) -> tuple[paddle.nn.Layer, list[str]]:
    """The model, and which of its parameters are not those of the file."""
    model = getattr(modeling, name).from_pretrained(str(case.checkpoint))
    model.eval()
    stored = paddle.load(str(case.checkpoint / "model_state.pdparams"), return_numpy=True)
    for key, x in stored.items():
        if x.dtype == np.uint16:  # Paddle's NumPy form of bfloat16: its 16 bits
            stored[key] = (x.astype(np.uint32) << 16).view(np.float32)
    loaded = {key: x.numpy() for key, x in model.state_dict().items()}
    problems = []
    if set(stored) != set(loaded):
        problems.append(f"names: {sorted(set(stored) ^ set(loaded))[:6]}")
    for key in sorted(set(stored) & set(loaded)):
        same = stored[key].shape == loaded[key].shape and np.array_equal(stored[key], loaded[key])
        problems += [] if same else [f"{key}: another value than in the file"]
    return model, problems


def read(case: Case) -> Answer:
    """Outputs of body and heads."""
    name = class_of(case)
    config = json.loads((case.checkpoint / "config.json").read_text("utf-8"))
    problems = [] if config["architectures"] == [name] else [f"named {config['architectures']}"]
    inputs = {key: paddle.to_tensor(x) for key, x in case.inputs.items()}
    rows = {key: paddle.to_tensor(case.rows(key)) for key in case.inputs}
    with paddle.no_grad():
        model, found = load(case, name)
        body = model if name == "AlbertModel" else model.transformer
        encoder = body(**rows, output_hidden_states=True, return_dict=True)
        output = None if name == "AlbertModel" else model(**inputs, return_dict=True)
    inner = case.facts["config"]["inner_group_num"]
    answers = {
        f"hidden_{number * inner:02d}": state.numpy()
        for number, state in enumerate(encoder.hidden_states)
    }
    if encoder.pooler_output is not None:
        answers["pooled"] = encoder.pooler_output.numpy()
    answers |= {} if output is None else heads(name, output)
    left_out = {
        key: "PaddleNLP gives the states after whole layers alone"
        for key in case.expected
        if key.startswith("hidden_") and key not in answers and inner > 1
    }
    if "end_logits" in answers:
        del answers["end_logits"]
        left_out["end_logits"] = "this version gives the start logits as end logits, too"
    return Answer(answers, left_out, problems + found)


def heads(name: str, output: object) -> dict[str, np.ndarray]:
    """Logits by the names of the cases."""
    keys = {"logits": "mlm_logits" if name == "AlbertForMaskedLM" else "logits"}
    keys |= {key: key for key in ("sop_logits", "start_logits", "end_logits")}
    keys["prediction_logits"] = "mlm_logits"
    return {
        ours: getattr(output, theirs).numpy()
        for theirs, ours in keys.items()
        if getattr(output, theirs, None) is not None
    }


if __name__ == "__main__":
    logger.logger.setLevel(logging.ERROR)
    sys.exit(main(read))
