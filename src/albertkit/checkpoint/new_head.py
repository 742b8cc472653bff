"""A new head on a checkpoint, for code that trains it: `from_pretrained(model, num_labels=3)`."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import CheckpointError
from albertkit.parameters import parameter_shapes
from albertkit.tasks.head import TaskHead
from albertkit.tasks.kinds import KINDS


def head_for(checkpoint: Checkpoint, name: str, num_labels: int | None) -> Checkpoint:
    """The checkpoint with the head that a class of transformers has, which may be a new one.

    name: of the class. num_labels: outputs of a new head; 1 for a number instead of classes.

    Raises:
        CheckpointError: its head is another one, or nothing says how many classes a new one has.
    """
    kinds = [kind for kind, traits in KINDS.items() if traits.transformers == name]
    kinds = kinds or list(KINDS)  # the base class takes any
    head = checkpoint.head
    if head is None:
        kind = "regression" if num_labels == 1 and "regression" in kinds else kinds[0]
        outputs = KINDS[kind].num_outputs or num_labels
        if outputs is None:
            raise CheckpointError(
                "This checkpoint was not fine-tuned.",
                expected="the head of a task, such as a classifier",
                found="no such head",
                fix="pass num_labels=2 for a new head to train; or train one with "
                "albertkit.finetune('classify', train='examples.csv', out='run')",
                command_fix="albertkit finetune classify --train examples.csv --out run",
            )
        return with_new_head(checkpoint, TaskHead(kind, outputs))
    if head.kind not in kinds or num_labels not in (None, head.num_labels):
        right = head.traits.transformers
        raise CheckpointError(
            "This checkpoint has the head of another task.",
            expected=f"a head for {' or '.join(kinds)}"
            + (f" with {num_labels} outputs" if num_labels else ""),
            found=f"{head.kind} with {head.num_labels}",
            fix="use load_model" if right is None else f"use {right}, without num_labels",
        )
    return checkpoint


def with_new_head(checkpoint: Checkpoint, head: TaskHead, seed: int = 0) -> Checkpoint:
    """A checkpoint with a head that has learned nothing; a pooler too, if it reads one.

    Values are google's initial ones: normal(0, initializer_range) cut at two deviations, biases 0,
    scales of a normalisation 1. Says so in a warning.
    """
    parts = [f"{head.part}.", *(["albert.pooler."] if head.needs_pooler else [])]
    shapes = {
        name: shape
        for name, shape in parameter_shapes(checkpoint.config, head).items()
        if name.startswith(tuple(parts)) and name not in checkpoint.tensors
    }
    draw, spread = np.random.default_rng(seed), checkpoint.config.initializer_range
    new = {name: _initial(name, shape, draw, spread) for name, shape in shapes.items()}
    warnings.warn(f"new, to be trained: {', '.join(sorted(new))}", stacklevel=4)
    return replace(checkpoint, tensors={**checkpoint.tensors, **new}, head=head)


def _initial(
    name: str, shape: tuple[int, ...], draw: np.random.Generator, spread: float
) -> np.ndarray:
    """First values of a tensor of a head."""
    if len(shape) == 1:
        return np.full(shape, float(name.endswith("weight")), np.float32)
    values = draw.standard_normal(shape)
    while (far := np.abs(values) > 2).any():
        values[far] = draw.standard_normal(int(far.sum()))
    return (values * spread).astype(np.float32)
