"""KerasHub opens the presets that albertkit wrote; run with a Python that has keras-hub.

    python tests/interop/keras_hub_reads.py FOLDER

Each preset is opened by `from_preset`, the body alone and as the task that its task.json names;
a tokenizer beside it, too. Hidden states come from the nodes of the functional model.
"""

from __future__ import annotations

import json
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_hub
import numpy as np
from reading import Answer, Case, main

MASKED_LM, CLASSIFIER = "AlbertMaskedLM", "AlbertTextClassifier"
TEXT = "the quick brown fox jumps over the lazy dog, and away."


def hidden_states(body: keras.Model) -> list[object]:
    """Symbols of the projected embeddings and of the output of every layer, in their order."""
    states = [body.embeddings_projection.output]
    calls = body.num_layers // body.num_groups
    for group in body.transformer_layers:
        for call in range(calls):
            states += [layer._inbound_nodes[call].output_tensors[0] for layer in group]
    return states


def expected_task(case: Case) -> str | None:
    """Class that task.json must name."""
    if case.facts["head"] in ("classification", "multi_label", "regression"):
        return CLASSIFIER
    return MASKED_LM if "masked_lm" in case.facts["parts"] else None


def read(case: Case) -> Answer:
    """Outputs of body and task in float32."""
    place = str(case.checkpoint)
    names = {"token_ids": "input_ids", "segment_ids": "token_type_ids"}
    batch = {theirs: case.rows(ours).astype("int32") for theirs, ours in names.items()}
    batch["padding_mask"] = case.rows("attention_mask").astype("int32")
    body = keras_hub.models.Backbone.from_preset(place)
    states = keras.Model(body.input, hidden_states(body))(batch)
    found = {f"hidden_{n:02d}": np.asarray(x) for n, x in enumerate(states)}
    if "pooler" in case.facts["parts"]:
        found["pooled"] = np.asarray(body(batch)["pooled_output"])
    problems = []
    task = case.checkpoint / "task.json"
    kind = json.loads(task.read_text("utf-8"))["class_name"] if task.is_file() else None
    if kind != expected_task(case):
        problems.append(f"task.json names {kind}, not {expected_task(case)}")
    if kind == MASKED_LM:
        rows, columns = batch["token_ids"].shape
        everywhere = np.tile(np.arange(columns, dtype="int32"), (rows, 1))
        model = keras_hub.models.AlbertMaskedLM.from_preset(place)
        found["mlm_logits"] = np.asarray(model({**batch, "mask_positions": everywhere}))
    if kind == CLASSIFIER:
        model = keras_hub.models.AlbertTextClassifier.from_preset(place)
        model.output_dense.activation = keras.activations.linear
        found["logits"] = np.asarray(model(batch))
    left_out = _missing(case, found)
    if (case.checkpoint / "tokenizer.json").is_file():
        tokenizer = keras_hub.models.AlbertTokenizer.from_preset(place)
        problems += [] if len(tokenizer(TEXT)) else ["the tokenizer gives nothing"]
    return Answer(found, left_out, problems)


def _missing(case: Case, found: dict[str, np.ndarray]) -> dict[str, str]:
    """Outputs that KerasHub has no head for; the account of the conversion names them as lost."""
    lost = " ".join(case.facts["lost"])
    reasons = {}
    for name in case.expected:
        if name in found:
            continue
        if name == "sop_logits" and "sentence-order" in lost:
            reasons[name] = "no sentence-order head"
        elif name == "mlm_logits" and "masked-LM" in lost:
            reasons[name] = "a preset has one task"
        elif not name.startswith(("hidden_", "pooled")) and "head for" in lost:
            reasons[name] = "no such head"
    return reasons


if __name__ == "__main__":
    sys.exit(main(read))
