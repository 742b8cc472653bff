"""Train a run folder made by begin.py to its end, or from its newest state to its end.

    python bench/shipped/go_on.py RUN

This is `albertkit pretrain RUN/recipe.toml --resume`, except that a share of the training rows
begins at a random position instead of 0, so that rows longer than those of the recipe work.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from albertkit.model.albert import Embeddings
from albertkit.train.pretrain import pretrain

MOVED = 0.2  # share of rows that begin elsewhere


def move_rows(module: nn.Module, inputs: tuple[Tensor, Tensor | None, Tensor]) -> object:
    """Before the embeddings of a training step: shift the positions of some rows.

    Drawn from torch's generator, which the training loop seeds for each step.
    """
    if not module.training or not isinstance(module, Embeddings):
        return None
    ids, types, positions = inputs
    starts = positions == 0
    rows = int(starts.sum())
    room = module.position.num_embeddings - int(positions.max())
    shift = torch.randint(room, (rows,)) * (torch.rand(rows) < MOVED)
    return ids, types, positions + shift[starts.cumsum(0) - 1]


def main() -> None:
    """Go on."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    options = parser.parse_args()
    # torch's stub forbids a hook that changes what comes in; its documentation allows it.
    nn.modules.module.register_module_forward_pre_hook(move_rows)  # type: ignore[arg-type]
    raise SystemExit(pretrain(options.run / "recipe.toml", resume=True).exit_code)


if __name__ == "__main__":
    main()
