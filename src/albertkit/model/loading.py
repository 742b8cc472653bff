"""Between a checkpoint (numbers in memory) and modules (things that run)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.model.albert import Albert
from albertkit.model.checks import require_masked_lm, require_task_head
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.task_heads import AlbertForTask


def build(
    checkpoint: Checkpoint, kind: type[AlbertForPretraining] = AlbertForPretraining
) -> AlbertForPretraining:
    """Body and pretraining heads with the checkpoint's numbers, in evaluation mode.

    The sentence-order head is there if the checkpoint has it. The module shares memory with the
    checkpoint's tensors: training it changes them. kind: class of the module.

    Raises:
        CheckpointError: the checkpoint has no masked-LM head.
    """
    require_masked_lm(checkpoint)
    with torch.device("meta"):
        module = kind(
            checkpoint.config,
            sentence_order=checkpoint.has_sentence_order,
            pooler=checkpoint.has_pooler,
        )
    fill(module, checkpoint.tensors)
    return module.eval()


def build_body(checkpoint: Checkpoint, kind: type[Albert] = Albert) -> Albert:
    """The body alone with the checkpoint's numbers, in evaluation mode; heads are left out."""
    with torch.device("meta"):
        module = kind(checkpoint.config, pooler=checkpoint.has_pooler)
    fill(module, checkpoint.tensors, "albert")
    return module.eval()


def build_task(
    checkpoint: Checkpoint, body: Albert | None = None, kind: type[AlbertForTask] = AlbertForTask
) -> AlbertForTask:
    """Body and head of a task with the checkpoint's numbers, in evaluation mode.

    Args:
        checkpoint: a fine-tuned one.
        body: already built from this checkpoint, to be shared instead of built again.
        kind: class of the module.

    Raises:
        CheckpointError: the checkpoint has no head of a task.
    """
    head = require_task_head(checkpoint)
    with torch.device("meta"):
        module = kind(
            checkpoint.config,
            head,
            pooler=checkpoint.has_pooler,
            early_exit=bool(checkpoint.exits),
        )
    if body is None:
        fill(module, {**checkpoint.tensors, **checkpoint.exits})
    else:
        module.albert = body
        fill(module.get_submodule(head.part), checkpoint.tensors, head.part)
        if module.exits is not None:
            fill(module.exits, checkpoint.exits, "exits")
    return module.eval()


def fill(module: nn.Module, tensors: dict[str, np.ndarray], place: str = "") -> None:
    """Give every parameter of a module (made on the meta device) its numbers.

    Tensors of heads that the module does not have are left out. Read-only and transposed ones
    (views of files) are copied. place: name of the module inside the whole.
    """
    names = {name: f"{place}.{name}" if place else name for name in module.state_dict()}
    state = {
        name: torch.from_numpy(np.require(tensors[whole], requirements=["C", "W"]))
        for name, whole in names.items()
        if whole in tensors
    }
    module.load_state_dict(state, assign=True)


def tensors_of(module: AlbertForPretraining | AlbertForTask | Albert) -> dict[str, np.ndarray]:
    """Copies of a module's parameters under the names of a checkpoint, in float32."""
    prefix = "albert." if isinstance(module, Albert) else ""
    return {
        prefix + name: tensor.detach().to("cpu", torch.float32).numpy().copy()
        for name, tensor in module.state_dict().items()
    }
