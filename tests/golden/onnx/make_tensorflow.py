"""The case `tensorflow`: TFAlbertForPreTraining of transformers 4.36.2 through tf2onnx 1.16.1."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx
import transformers
from sizes import SIZES

HERE = Path(__file__).resolve().parent / "tensorflow"
NAMES = ("input_ids", "attention_mask", "token_type_ids")


def torch_name(variable: tf.Variable) -> str:
    """What transformers calls the same tensor in PyTorch."""
    name = variable.name.split(":")[0].split("/", 1)[1].replace("/", ".")
    for theirs, ours in {
        "_._": ".", "kernel": "weight", "gamma": "weight", "beta": "bias",
        "embeddings.embeddings": "embeddings.weight", "predictions.decoder_bias": "decoder_bias",
    }.items():  # fmt: skip
        name = name.replace(theirs, ours)
    return name


def main() -> None:
    """Write the files of the case."""
    HERE.mkdir(exist_ok=True)
    config = transformers.AlbertConfig(**SIZES, hidden_dropout_prob=0.0)
    model = transformers.TFAlbertForPreTraining(config)
    source = np.random.default_rng(0)
    mask = np.ones((2, 7), np.int32)
    mask[1, -2:] = 0
    ids = source.integers(1, 30, (2, 7)).astype(np.int32)
    types = source.integers(0, 2, (2, 7)).astype(np.int32)
    inputs = dict(zip(NAMES, (ids, mask, types), strict=True))
    model(inputs)
    for weight in model.weights:
        weight.assign(source.normal(0, 0.3, weight.shape).astype(np.float32))
    signature = [tf.TensorSpec([None, None], tf.int32, name=name) for name in NAMES]

    @tf.function(input_signature=signature)
    def run(*tensors):
        found = model(dict(zip(NAMES, tensors, strict=True)), training=False)
        return {name: value for name, value in found.items() if value is not None}

    path = HERE / "model.onnx"
    tf2onnx.convert.from_function(run, signature, opset=13, output_path=str(path))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    outputs = dict(zip(names, session.run(None, inputs), strict=True))
    arrays = {f"in/{name}": value for name, value in inputs.items()}
    arrays |= {f"out/{name}": value for name, value in outputs.items()}
    for weight in model.weights:
        value = weight.numpy().T if "kernel" in weight.name else weight.numpy()
        arrays[f"state/{torch_name(weight)}"] = value
    np.savez_compressed(HERE / "expected.npz", **arrays)
    (HERE / "model.onnx.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
    path.unlink()
    given = {**SIZES, "num_hidden_groups": 1, "inner_group_num": 1}
    versions = {"transformers": "4.36.2", "tensorflow": "2.15.1", "tf2onnx": "1.16.1"}
    case = {"class": "AlbertForPreTraining", "opset": 13, "exporter": "tf2onnx", "config": given}
    text = json.dumps({**case, "versions": versions, "after": None}, indent=1)
    (HERE / "case.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
