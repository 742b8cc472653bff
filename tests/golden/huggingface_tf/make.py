"""Makes the folders beside this file: models of transformers' TensorFlow classes, with outputs.

    TF_USE_LEGACY_KERAS=1 python tests/golden/huggingface_tf/make.py

Ran with Python 3.11, transformers 4.57.6, tensorflow-cpu 2.20.0 and tf-keras 2.20.1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
import transformers

HERE = Path(__file__).resolve().parent
SIZES = {
    "vocab_size": 61,
    "embedding_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_hidden_groups": 2,
    "inner_group_num": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "hidden_act": "gelu_new",
    "classifier_dropout_prob": 0.0,
}
CLASSES = {
    "body": ("TFAlbertModel", {}),
    "pretraining": ("TFAlbertForPreTraining", {}),
    "masked_lm": ("TFAlbertForMaskedLM", {}),
    "classification": ("TFAlbertForSequenceClassification", {"num_labels": 3}),
    "token_classification": ("TFAlbertForTokenClassification", {"num_labels": 4}),
    "span": ("TFAlbertForQuestionAnswering", {}),
    "multiple_choice": ("TFAlbertForMultipleChoice", {}),
}


def main() -> None:
    """Write every folder."""
    for number, (name, (kind, more)) in enumerate(CLASSES.items()):
        draws = np.random.default_rng(number)
        config = transformers.AlbertConfig(**SIZES, **more)
        model = getattr(transformers, kind)(config)
        shape = (2, 2, 9) if name == "multiple_choice" else (3, 9)
        mask = np.ones(shape, np.int64)
        mask[-1, ..., 6:] = 0
        inputs = {
            "input_ids": draws.integers(1, 61, shape),
            "token_type_ids": draws.integers(0, 2, shape),
            "attention_mask": mask,
        }
        batch = {key: tf.constant(x) for key, x in inputs.items()}
        model(batch)
        for weight in model.weights:
            weight.assign(
                draws.normal(0, 0.3, weight.shape) + weight.numpy() * ("gamma" in weight.name)
            )
        output = model(batch, output_hidden_states=True)
        others = ("hidden_states", "attentions")
        found = {key: output[key].numpy() for key in output if key not in others}
        found["last_hidden"] = output.hidden_states[-1].numpy()
        folder = HERE / name
        model.save_pretrained(folder)
        np.savez(folder / "inputs.npz", **inputs)
        np.savez(folder / "outputs.npz", **found)


if __name__ == "__main__":
    main()
