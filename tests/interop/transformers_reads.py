"""transformers opens the folders that albertkit wrote; run with a Python that has transformers.

    python tests/interop/transformers_reads.py FOLDER

Each folder is opened with the class that its config names; keys that are missing or left over are
counted exactly.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import torch
import transformers
from reading import Answer, Case, main

CLASSES = {
    "classification": "AlbertForSequenceClassification",
    "multi_label": "AlbertForSequenceClassification",
    "regression": "AlbertForSequenceClassification",
    "token_classification": "AlbertForTokenClassification",
    "multiple_choice": "AlbertForMultipleChoice",
    "span": "AlbertForQuestionAnswering",
}
POOLER = {"albert.pooler.weight", "albert.pooler.bias"}
# Classes whose body has no pooler: where the file has one, transformers says that it is left over.
WITHOUT_POOLER = ("AlbertForMaskedLM", "AlbertForTokenClassification", "AlbertForQuestionAnswering")


def class_of(case: Case) -> str:
    """Class that fits the case, by its head and parts."""
    parts = case.facts["parts"]
    if case.facts["head"] is not None:
        return CLASSES[case.facts["head"]]
    if "masked_lm" not in parts:
        return "AlbertModel"
    return "AlbertForPreTraining" if "sentence_order" in parts else "AlbertForMaskedLM"


def load(
    name: str, case: Case, left_over: set[str], **options: object
) -> tuple[torch.nn.Module, list[str]]:
    """A model of this class from the case's folder, and which keys are not as they must be."""
    model, loading_info = getattr(transformers, name).from_pretrained(
        case.checkpoint, output_loading_info=True, dtype=torch.float32, **options
    )
    wanted = {"missing_keys": set(), "unexpected_keys": left_over}
    problems = []
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        keys = loading_info.get(kind) or []
        if set(keys) != wanted.get(kind, set()):
            problems.append(f"{name}: {kind} {sorted(map(str, keys))[:6]}")
    return model.eval(), problems


def hidden_states(case: Case, states: tuple[torch.Tensor, ...]) -> dict[str, np.ndarray]:
    """Hidden states by number; transformers 4 keeps one of each layer, not of each inner place."""
    places = range(len(states))
    if transformers.__version__.startswith("4."):
        inner = case.facts["config"]["inner_group_num"]
        places = range(0, inner * len(states), inner)
    return {f"hidden_{n:02d}": x.numpy() for n, x in zip(places, states, strict=True)}


@torch.inference_mode()
def read(case: Case) -> Answer:
    """Outputs of body and heads, with the attention written out."""
    name = class_of(case)
    config = json.loads((case.checkpoint / "config.json").read_text("utf-8"))
    problems = [] if config["architectures"] == [name] else [f"named {config['architectures']}"]
    pooled = "pooler" in case.facts["parts"]
    over = POOLER if pooled and name in WITHOUT_POOLER else set()
    options = {"add_pooling_layer": pooled} if name == "AlbertModel" else {}
    model, found = load(name, case, over, attn_implementation="eager", **options)
    problems += found
    inputs = {key: torch.from_numpy(x) for key, x in case.inputs.items()}
    rows = {key: torch.from_numpy(case.rows(key)) for key in case.inputs}
    body = model if name == "AlbertModel" else model.albert
    encoder = body(**rows, output_hidden_states=True)
    answers = hidden_states(case, encoder.hidden_states)
    if encoder.pooler_output is not None:
        answers["pooled"] = encoder.pooler_output.numpy()
    elif pooled:  # this class has none: ask the bare model, to which the heads are left over
        with_pooler = transformers.AlbertModel.from_pretrained(case.checkpoint).eval()
        answers["pooled"] = with_pooler(**rows).pooler_output.numpy()
    output = None if name == "AlbertModel" else model(**inputs)
    answers |= {} if output is None else heads(name, output)
    left_out = {
        key: "transformers 4 gives the states after whole layers alone"
        for key in case.expected
        if key.startswith("hidden_")
        and key not in answers
        and case.facts["config"]["inner_group_num"] > 1
    }
    return Answer(answers, left_out, problems)


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
    transformers.logging.set_verbosity_error()
    sys.exit(main(read))
