"""What lies in a checkpoint of any family: tensors, heads, config and who told each value."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from albertkit.checkpoint.families import Opened, named
from albertkit.parameters import HEADS


def describe(opened: Opened) -> dict[str, Any]:
    """Everything there is to know about an opened checkpoint, as one JSON object."""
    checkpoint, result = opened.checkpoint, opened.result
    present = [head.rstrip(".") for head in HEADS if any(map(_starts(head), checkpoint.tensors))]
    tokenizer = checkpoint.tokenizer
    return {
        "path": str(opened.path),
        "family": opened.family,
        "written_by": named(opened.family).TITLE,
        "files": [str(path) for path in result.files],
        "config": asdict(checkpoint.config),
        "provenance": result.provenance,
        "heads": present,
        "absent": result.report.missing,
        "task_head": None if checkpoint.head is None else checkpoint.head.to_json(),
        "parameters": sum(tensor.size for tensor in checkpoint.tensors.values()),
        "tensors": [
            {
                "name": name,
                "dtype": dtype,
                "shape": list(shape),
                **_use(opened, name),
            }
            for name, (dtype, shape) in result.source_tensors.items()
        ],
        "optimizer_slots": result.slots,
        "tokenizer": None
        if tokenizer is None
        else {"file": str(result.tokenizer or ""), "pieces": tokenizer.vocab_size},
        "problems": result.problems,
        "not_for_transformers": checkpoint.fits_huggingface,
    }


def _starts(prefix: str) -> Any:
    return lambda name: name.startswith(prefix)


def _use(opened: Opened, name: str) -> dict[str, str]:
    """What became of a tensor of the source."""
    report = opened.result.report
    if name in report.loaded:
        ours, how = report.loaded[name]
        return {"becomes": ours, "change": how}
    return {"ignored": report.ignored.get(name, "not part of the model")}
