"""TensorFlow loads the checkpoints that albertkit wrote, and their variables give the same outputs.

    python tests/interop/tensorflow_runs.py FOLDER

Every variable comes from `tf.train.load_checkpoint`; the forward pass goes by the original names
(tf_forward.py), must find each variable that it needs, and must need each that is there.
"""

from __future__ import annotations

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from reading import Answer, Case, main
from tf_forward import Tf


def read(case: Case) -> Answer:
    """Outputs by the names of the cases."""
    prefixes = [str(path).removesuffix(".index") for path in case.checkpoint.glob("*.index")]
    reader = tf.train.load_checkpoint(*prefixes)
    variables = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    config = json.loads((case.checkpoint / "albert_config.json").read_text("utf-8"))
    model = Tf(variables, config)
    ids, types, mask = (
        case.rows(name) for name in ("input_ids", "token_type_ids", "attention_mask")
    )
    found = model.run(ids, types, mask)
    if case.facts["head"] is not None:
        answers = model.task(case.facts["head"], found, mask)
        if "logits" in answers:  # multiple choice: one score a row
            answers["logits"] = answers["logits"].reshape(case.expected["logits"].shape)
        found |= answers
    over = sorted(set(variables) - model.used)
    return Answer(found, {}, [f"variables that nothing uses: {over[:6]}"] if over else [])


if __name__ == "__main__":
    sys.exit(main(read))
