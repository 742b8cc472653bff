"""ONNX graphs of an ALBERT, from every exporter: read, not written.

Weights are told by their place in the flow of numbers, never by their names: formats/onnx/graph.py
reads the bytes, expand.py and parts.py find the products with constants, probe.py tells what lies
between them by trying it; embeddings.py, walk.py and heads.py follow the numbers from the inputs to
the outputs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.checkpoint.families import _beside
from albertkit.checkpoint.families._protocol import LoadResult, Overrides
from albertkit.checkpoint.families.onnx.config import folders, tell_config, tell_head
from albertkit.checkpoint.families.onnx.embeddings import find_embeddings
from albertkit.checkpoint.families.onnx.expand import expand
from albertkit.checkpoint.families.onnx.graph import Graph
from albertkit.checkpoint.families.onnx.graph import read as read_graph
from albertkit.checkpoint.families.onnx.heads import SECOND_BIAS, find_heads
from albertkit.checkpoint.families.onnx.layers import Pool, in_order, names
from albertkit.checkpoint.families.onnx.parts import Parts, Weight
from albertkit.checkpoint.families.onnx.walk import Found, Walk
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.checkpoint.mapping import LoadReport, absent_heads
from albertkit.errors import CheckpointError, listed

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
    graph = expand(read_graph(found))
    parts = Parts(graph)
    walk = Walk(parts)
    place = find_heads(walk, walk.layers(find_embeddings(walk)))
    told = walk.found
    pool = Pool()
    attention, feed_forward = (in_order(x, pool) for x in (told.attention, told.feed_forward))
    _tie(told, pool)
    pool.copies |= told.copies
    config = tell_config(found, told.facts, attention, feed_forward, overrides)
    problems = told.problems + config.problems
    weight = told.tensors.get("span.weight", told.tensors.get("classifier.weight"))
    choosing = any(len(item.sizes or ()) == 3 for item in graph.inputs)
    head = tell_head(
        place,
        None if weight is None else weight.array,
        (choosing, overrides.head),
        config.values,
        problems,
    )
    blocks = names(config.config, attention, feed_forward)
    assert blocks is not None  # the plan was made of them
    weights = dict(told.tensors)
    for part, block in blocks.items():
        weights |= {f"{part}.{name}": tensor for name, tensor in block.items()}
    tensors = _numbers(weights, problems)
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
            if name not in graph.parts
        },
        problems=problems,
        files=[*graph.files, *config.files],
    )


def _tie(found: Found, pool: Pool) -> None:
    """Tell whether the decoder is the word table; its copy is left out then."""
    words = pool.first(found.tensors[_WORDS])
    decoder = found.tensors.get(_DECODER)
    if decoder is None:
        return
    tied = pool.first(decoder) is words
    found.facts["tied_decoder"] = tied
    if tied:
        del found.tensors[_DECODER]


def _numbers(weights: dict[str, Weight], problems: list[str]) -> dict[str, Array]:
    """The tensors in float32: views of the file where it has them so."""
    tensors = {name: weight.fractions() for name, weight in weights.items()}
    second = tensors.pop(SECOND_BIAS, None)
    for name, tensor in tensors.items():
        if name.endswith(".bias") or ".norm." in name:  # some exporters keep axes of size 1
            tensors[name] = tensor.reshape(-1)
    if second is not None:
        first = tensors["masked_lm.bias"]
        tensors["masked_lm.bias"] = np.add(first, second.reshape(-1), dtype=np.float32)
        problems.append("two biases of the masked-LM decoder were added up")
    return tensors


def _account(
    graph: Graph, weights: dict[str, Weight], tensors: dict[str, Array], pool: Pool
) -> LoadReport:
    """What became of every tensor of the file.

    Raises:
        CheckpointError: fractions that the model has no place for.
    """
    report = LoadReport(missing=absent_heads(tensors))
    for ours, weight in weights.items():
        name = ours.removesuffix(", second part")
        before = report.loaded.get(weight.source)
        report.loaded[weight.source] = (
            (name, weight.how) if before is None else (f"{before[0]}, {name}", before[1])
        )
    taken = {name for node in graph.nodes for name in node.inputs}
    taken |= {source for part, (source, _) in graph.parts.items() if part in taken}
    switches = {name for x in graph.nodes if x.op == "OneHot" for name in x.inputs[2:]}
    unknown = []
    for name, tensor in graph.tensors.items():
        if name in report.loaded or name in graph.parts:
            continue
        if not tensor.is_float:
            reason: str | None = "no weights: shapes, places, masks"
        elif tensor.array.size <= 1 or name in switches:
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


def _is_even(array: np.ndarray) -> bool:
    """Whether every number is the same."""
    return bool((array == array.flat[0]).all())


def losses(checkpoint: Checkpoint) -> list[str]:
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
