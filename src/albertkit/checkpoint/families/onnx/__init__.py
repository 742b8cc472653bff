"""ONNX graphs of an ALBERT, as torch's exporters write them: read, not written.

graph.py reads the bytes; steps.py finds the nodes that use weights, in their order; weights.py
says which weight is which; layers.py finds what layers share, config.py what the graph shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from albertkit.checkpoint.families import _beside
from albertkit.checkpoint.families._protocol import LoadResult, Loss, Overrides
from albertkit.checkpoint.families.onnx.config import folders, read_config, read_task_head
from albertkit.checkpoint.families.onnx.graph import Graph
from albertkit.checkpoint.families.onnx.graph import read as read_graph
from albertkit.checkpoint.families.onnx.layers import Pool, in_order, named_blocks
from albertkit.checkpoint.families.onnx.steps import Steps
from albertkit.checkpoint.families.onnx.tensors import Stored
from albertkit.checkpoint.families.onnx.weights import Found, find_weights
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.checkpoint.mapping import LoadReport, missing_heads
from albertkit.errors import CheckpointError, listed

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint

TITLE = "ONNX exports: PyTorch, optimum, onnxruntime, tf2onnx"
WRITES = False
_SUFFIX = ".onnx"
_USUAL = "model.onnx"
# Weights of another family in the same folder are the ones that are meant.
_OTHERS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".pdparams", ".index")
_WORDS = "albert.embeddings.word.weight"
_DECODER = "masked_lm.decoder.weight"


def detect(path: Path) -> Path | None:
    """A file *.onnx, or the one in a folder or its folder `onnx` without weights of others."""
    if path.is_file():
        return path if path.suffix == _SUFFIX else None
    if not path.is_dir():
        return None
    there = sorted(path.iterdir())
    if any(item.name.endswith(_OTHERS) for item in there):
        return None
    for found in ([x for x in there if x.suffix == _SUFFIX], [path / "onnx" / _USUAL]):
        files = [item for item in found if item.is_file()]
        usual = [item for item in files if item.name == _USUAL]
        if len(files) == 1 or usual:
            return (usual or files)[0]
    return None


def read(found: Path, overrides: Overrides) -> LoadResult:
    """Read a model file, with the external data, config and tokenizer beside it."""
    graph = read_graph(found)
    weights_found = find_weights(Steps(graph))
    pool = Pool()
    layers = in_order(weights_found.layers, pool)
    _tie(weights_found, pool)
    config = read_config(found, weights_found.facts, layers, overrides)
    problems = weights_found.problems + config.problems
    head = read_task_head(
        weights_found, 3 in graph.inputs.values(), overrides.head, config.values, problems
    )
    blocks = named_blocks(config.config, layers)
    assert blocks is not None  # the plan was made of them
    weights = weights_found.tensors | blocks
    tensors = {name: weight.to_float32() for name, weight in weights.items()}
    report = _account(graph, weights, tensors, pool)
    wide = sum(tensor.dtype == "float64" for tensor in weights.values())
    if wide:
        problems.append(f"{wide} float64 tensors were rounded to float32")
    tokenizer = None
    for folder in folders(found):
        tokenizer = tokenizer or _beside.find_tokenizer(folder, problems)
    return LoadResult(
        config=config.config,
        tensors=tensors,
        report=report,
        head=head,
        provenance=config.provenance,
        tokenizer=tokenizer,
        special_ids=_beside.special_ids(config.values),
        source_tensors={
            name: (tensor.dtype, tuple(tensor.array.shape))
            for name, tensor in graph.tensors.items()
        },
        problems=problems,
        files=[*graph.files, *config.files],
    )


def _tie(found: Found, pool: Pool) -> None:
    """Whether the decoder is the word table; its copy is left out then."""
    words = pool.first(found.tensors[_WORDS])
    decoder = found.tensors.get(_DECODER)
    if decoder is None:
        return
    tied = pool.first(decoder) is words
    found.facts["tied_decoder"] = tied
    if tied:
        del found.tensors[_DECODER]


def _account(
    graph: Graph, weights: dict[str, Stored], tensors: dict[str, Array], pool: Pool
) -> LoadReport:
    """What became of every tensor of the file.

    Raises:
        CheckpointError: floats that the model has no place for.
    """
    report = LoadReport(missing=missing_heads(tensors))
    for name, weight in weights.items():
        how = _how(weight.array, graph.tensors[weight.source].array)
        before, how = report.loaded.get(weight.source, ("", how))
        report.loaded[weight.source] = f"{before}, {name}" if before else name, how
    taken = {name for node in graph.nodes for name in node.inputs}
    unknown = []
    for name, tensor in graph.tensors.items():
        if name in report.loaded:
            continue
        if not tensor.is_float:
            reason: str | None = "no weights: shapes, positions, masks"
        elif tensor.array.size <= 1:
            reason = "a number of a formula"
        elif name in pool.copies:
            reason = f"a copy of {pool.copies[name]}"
        elif name in taken and _is_even(tensor.array):
            reason = "one number throughout: a mask"
        else:
            reason = None
        if reason is None:
            unknown.append(f"{name} {tuple(tensor.array.shape)}")
        else:
            report.ignored[name] = reason
    if unknown:
        raise CheckpointError(
            "The file holds weights that this model has no place for.",
            expected="only weights of an ALBERT",
            found=listed(unknown),
            fix="check that the file is the right one; nothing is skipped silently",
        )
    return report


def _how(array: Array, stored: Array) -> str:
    """How the model's tensor differs from the one of the file."""
    if array.shape == stored.shape and array.strides == stored.strides:
        return "as it is"
    return "transposed" if array.shape == stored.shape[::-1] else "in another shape"


def _is_even(array: np.ndarray) -> bool:
    """Whether every number is the same."""
    return bool((array == array.flat[0]).all())


def losses(checkpoint: Checkpoint) -> list[Loss]:
    """Nothing is written.

    Raises:
        CheckpointError: always.
    """
    raise _only_read()


def write(checkpoint: Checkpoint, folder: Path, dtype: str) -> None:
    """Nothing is written.

    Raises:
        CheckpointError: always.
    """
    raise _only_read()


def _only_read() -> CheckpointError:
    return CheckpointError(
        "ONNX graphs are only read.",
        expected="a family that is written",
        found="onnx",
        fix="convert to huggingface, and export from there",
    )
