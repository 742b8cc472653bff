"""early_exit.safetensors: the classifiers after the layers below the last, beside the weights.

exits.N.weight (C, H) and exits.N.bias (C,) for the layer with N layers before it. For regression
`tolerance` (1,), the largest difference at which two predictions agree; for classes `confidence`
(1,), the least probability of an answer that leaves early (0 if it is missing). Other programs
ignore the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from albertkit.checkpoint.formats.memory_map import Array
from albertkit.checkpoint.formats.safetensors_file import read_weights, write_tensors
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, listed
from albertkit.tasks.early_exit import CONFIDENCE, TOLERANCE
from albertkit.tasks.head import TaskHead

EARLY_EXIT = "early_exit.safetensors"


def exit_shapes(config: AlbertConfig, head: TaskHead) -> dict[str, tuple[int, ...]]:
    """Name and shape of each tensor that the file must have."""
    count, width = head.num_labels, config.hidden_size
    shapes: dict[str, tuple[int, ...]] = {}
    for number in range(config.num_hidden_layers * config.inner_group_num - 1):
        shapes |= {f"exits.{number}.weight": (count, width), f"exits.{number}.bias": (count,)}
    return shapes | ({TOLERANCE: (1,)} if head.kind == "regression" else {})


def read_exits(found: Path, config: AlbertConfig, head: TaskHead | None) -> dict[str, Array]:
    """The tensors of the file beside a checkpoint (a folder, a file, a prefix); none without it.

    Raises:
        CheckpointError: the file is damaged, or belongs to another model.
    """
    path = (found if found.is_dir() else found.parent) / EARLY_EXIT
    if head is None or head.traits.task != "classify" or not path.is_file():
        return {}
    tensors, shapes = read_weights(path).tensors, exit_shapes(config, head)
    there = {name: tensor.shape for name, tensor in tensors.items()}
    if head.kind != "regression" and CONFIDENCE in there:
        shapes[CONFIDENCE] = (1,)
    if there != shapes:
        wrong = sorted(n for n in there.keys() | shapes.keys() if there.get(n) != shapes.get(n))
        raise CheckpointError(
            "The classifiers for early exit are those of another model.",
            expected=listed([f"{name} {shapes.get(name, 'none')}" for name in wrong]),
            found=listed([f"{name} {there.get(name, 'none')}" for name in wrong]),
            where=path,
            fix="put the file back that belongs to the weights, or remove it",
        )
    return tensors


def write_exits(folder: Path, tensors: Mapping[str, Array]) -> None:
    """Write the file into a folder; nothing if the model has no such classifiers."""
    if tensors:
        write_tensors(folder / EARLY_EXIT, tensors)
