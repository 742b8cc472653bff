"""tf_model.h5, which the TensorFlow classes of transformers 2 to 4 wrote, under PyTorch's names.

A file has a group for each layer of the class, and in it the name of the class and the path of
the weight: `albert/tf_albert_for_masked_lm/albert/encoder/albert_layer_groups_._0/.../kernel:0`.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from albertkit.checkpoint.families.huggingface.old_names import BIASES, CurrentNames, current_names
from albertkit.checkpoint.formats import hdf5
from albertkit.checkpoint.formats.dtypes import as_float32
from albertkit.checkpoint.formats.safetensors_file import Weights
from albertkit.errors import CheckpointError

FILE = "tf_model.h5"
_ROOTS = ("albert", "predictions", "sop_classifier", "classifier", "qa_outputs")
_LAYERS = "/encoder/albert_layer_groups_._"
_KINDS = {"kernel": "weight", "gamma": "weight", "beta": "bias", "embeddings": "weight"}
_FLOATS = ("float32", "float16", "bfloat16", "float64")


def is_tf_model(path: Path) -> bool:
    """Whether a file holds an ALBERT of these classes; one that is damaged counts by its name."""
    if path.suffix != ".h5" or not path.is_file() or not hdf5.is_hdf5(path):
        return False
    try:
        return any(_LAYERS in name for name in hdf5.read(path))
    except CheckpointError:
        return path.name == FILE


def read_tf_model(path: Path) -> tuple[Weights, CurrentNames]:
    """The tensors of a file, and the same under today's names.

    Raises:
        CheckpointError: it is damaged, or holds other things than the weights of one model.
    """
    weights = Weights()
    in_file: dict[str, str] = {}  # today's name: name in the file
    copies: dict[str, str] = {}
    for name, dataset in hdf5.read(path).items():
        today = name_today(name)
        if today is None or dataset.dtype not in _FLOATS:
            raise CheckpointError(
                "The file holds something that is not a weight of an ALBERT.",
                expected="weights of a TFAlbert class of transformers",
                found=f"{name}: {dataset.dtype} {dataset.array.shape}",
                fix="save the model itself with save_pretrained",
            )
        tensor = as_float32(dataset.array, dataset.dtype)
        tensor = tensor.T if "/kernel:" in name else tensor
        if today in in_file:  # the masked-LM head lists the word table again
            _check_copy(tensor, weights.tensors[today], name)
            copies[name] = f"a copy of {in_file[today]}"
            continue
        weights.tensors[today] = tensor
        weights.kinds[name] = (dataset.dtype, tuple(dataset.array.shape))
        in_file[today] = name
    source = current_names(weights)
    source.names = {today: in_file[name] for today, name in source.names.items()}
    source.ignored |= copies
    if all(name in source.tensors for name in BIASES):
        source.leave_out(BIASES[0], f"not used: the class adds {source.names[BIASES[1]]}")
    return weights, source


def name_today(name: str) -> str | None:
    """PyTorch's name of a weight in tf_model.h5; None for names that do not belong to an ALBERT."""
    parts = name.split("/")
    start = next((n for n, part in enumerate(parts) if n and part in _ROOTS), None)
    if start is None:
        return None
    kind = parts[-1].partition(":")[0]
    path = [re.sub(r"_\._(\d+)$", r".\1", part) for part in parts[start:-1]]
    return ".".join([*path, _KINDS.get(kind, kind)])


def _check_copy(one: np.ndarray, other: np.ndarray, name: str) -> None:
    if not np.array_equal(one, other, equal_nan=True):
        raise CheckpointError(
            "The file holds two versions of one weight.",
            expected="equal copies",
            found=f"{name} and another one differ",
            fix="save the model again with save_pretrained",
        )
