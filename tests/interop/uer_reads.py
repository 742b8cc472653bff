"""UER's view of the files that albertkit wrote: its names, and its forward pass written anew.

    python tests/interop/uer_reads.py FOLDER

UER-py is no package that can be installed. So the tensors are held against the golden files that it
wrote, name by name and bit by bit; every tensor must be one that UER's layers use; and what these
layers compute is compared. Files are decoded by torch and by the allow-list reader.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from reading import Answer, Case, main
from uer_forward import Uer

from albertkit.checkpoint.formats import torch_save


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], what: str) -> list[str]:
    """Nothing, if names, order of axes and bits are the same; float32 stands for any dtype."""
    problems = []
    if set(one) != set(other):
        problems.append(f"{what}: names {sorted(set(one) ^ set(other))[:6]}")
    for name in sorted(set(one) & set(other)):
        left, right = one[name], other[name]
        if right.dtype == torch.float32:
            left = left.float()
        if left.dtype != right.dtype or not torch.equal(left, right):
            problems.append(f"{what}: {name} differs")
    return problems


def read(case: Case) -> Answer:
    """Outputs by the names of the cases."""
    path = case.checkpoint / "model.bin"
    tensors = torch.load(path, weights_only=True)
    decoded = {
        name: torch.from_numpy(np.array(x))
        for name, x in torch_save.read_weights(path).tensors.items()
    }
    dtypes = {str(x.dtype).removeprefix("torch.") for x in tensors.values()}
    problems = [] if dtypes == {case.facts["dtype"]} else [f"dtypes {dtypes}"]
    problems += same(tensors, decoded, "allow-list reader")
    if case.facts["source_family"] == "uer":
        golden = torch.load(Path(case.facts["source_path"]), weights_only=True)
        problems += same(tensors, golden, "golden file")
    config = json.loads((case.checkpoint / "config.json").read_text("utf-8"))
    head = case.facts["task_head"] or {"pooling": "first"}
    model = Uer(tensors, config, pre=config["layernorm_positioning"] == "pre")
    found = model.answers(
        torch.from_numpy(case.inputs["input_ids"]),
        torch.from_numpy(case.inputs["token_type_ids"]),
        case.facts["head"],
        head["pooling"],
    )
    if model.used != set(tensors):
        problems.append(f"tensors that UER does not use: {sorted(set(tensors) - model.used)[:6]}")
    return Answer({name: x.numpy() for name, x in found.items()}, {}, problems)


if __name__ == "__main__":
    sys.exit(main(read))
