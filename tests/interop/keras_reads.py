"""albertkit's own Keras models open what albertkit wrote, every family through `load_model`.

    python tests/interop/keras_reads.py FOLDER

Run with a Python that has TensorFlow. What was loaded is written again: the same bits.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import numpy as np
from reading import Answer, Case, main

from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.keras import AlbertForPreTraining, AlbertForTaskHead, AlbertModel
from albertkit.model.checks import first_segment

TASK = (
    *("logits", "start_logits", "end_logits", "start_log_probs", "end_log_probs", "cls_logits"),
)


def read(case: Case) -> Answer:
    """Outputs of body, pretraining heads and task in float32."""
    overrides = Overrides(head=case.facts["head"])  # google's files do not say what it is for
    checkpoint = open_checkpoint(
        case.checkpoint, family=case.facts["family"], overrides=overrides
    ).checkpoint
    first = first_segment(checkpoint.config)
    names = ("input_ids", "token_type_ids", "attention_mask")
    batch = {name: case.inputs[name] for name in names}
    batch["token_type_ids"] = np.maximum(batch["token_type_ids"] - first, 0)
    rows = {name: x.reshape(-1, x.shape[-1]) for name, x in batch.items()}
    found, problems = {}, []
    kind = AlbertForPreTraining if checkpoint.has_masked_lm else AlbertModel
    model = kind._of(checkpoint, "float32")
    output = model(**rows, output_hidden_states=True)
    encoder = output.encoder if checkpoint.has_masked_lm else output
    if checkpoint.has_masked_lm:
        found["mlm_logits"] = output.logits
    if checkpoint.has_sentence_order and checkpoint.has_masked_lm:
        found["sop_logits"] = output.sop_logits
    problems += changed(model.to_checkpoint(), checkpoint)
    found |= {f"hidden_{n:02d}": state for n, state in enumerate(encoder.hidden_states)}
    if encoder.pooled is not None:
        found["pooled"] = encoder.pooled
    if checkpoint.head is not None:
        task = AlbertForTaskHead._of(checkpoint, "float32")
        beam = checkpoint.head.kind == "beam_span"
        starts = {"start_places": np.zeros(len(batch["input_ids"]), np.int32)} if beam else {}
        output = task(batch, **starts)
        problems += changed(task.to_checkpoint(), checkpoint)
        if beam:
            found["start_log_probs"] = output.beam.starts
            found["end_log_probs"] = output.beam.ends
            found["cls_logits"] = output.beam.unanswerable
        elif checkpoint.head.kind == "span":
            found |= {"start_logits": output.start_logits, "end_logits": output.end_logits}
        else:
            found["logits"] = output.logits
    there = {
        "mlm_logits": checkpoint.has_masked_lm,
        "sop_logits": checkpoint.has_masked_lm and checkpoint.has_sentence_order,
        "pooled": checkpoint.has_pooler,
        **dict.fromkeys(TASK, checkpoint.head is not None),
    }
    left_out = {
        name: "the file that was written has no such head"
        for name in case.expected
        if not there.get(name, True)
    }
    return Answer({name: np.asarray(x) for name, x in found.items()}, left_out, problems)


def changed(back: Checkpoint, checkpoint: Checkpoint) -> list[str]:
    """Tensors that are not what they were."""
    return [
        f"{name} is not what was loaded"
        for name, tensor in back.tensors.items()
        if not np.array_equal(tensor, checkpoint.tensors[name])
    ]


if __name__ == "__main__":
    sys.exit(main(read))
