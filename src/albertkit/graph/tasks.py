"""What an exported file is for, by the names that the hub and Optimum have for it."""

from __future__ import annotations

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.graph.network import outputs_of, require_task
from albertkit.tasks.kinds import KINDS

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# Outputs of an `Engine`, each with its names in the file.
_TASKS: dict[str, dict[str, tuple[str, ...]]] = {
    "feature-extraction": {"hidden": ("last_hidden_state",), "pooled": ("pooler_output",)},
    "fill-mask": {"masked_lm": ("logits",)},
    "pretraining": {"masked_lm": ("prediction_logits",), "sentence_order": ("sop_logits",)},
}
_SPAN: dict[str, tuple[str, ...]] = {"task": ("start_logits", "end_logits")}
_OPTIONAL = ("pooled",)


def tasks_of(checkpoint: Checkpoint) -> list[str]:
    """What a checkpoint can be exported for, the usual one first.

    Raises:
        PredictionError: a head that no graph has.
    """
    there = outputs_of(checkpoint)
    found = [task for task, names in _TASKS.items() if set(names) - set(_OPTIONAL) <= there]
    if checkpoint.has_masked_lm:
        found.sort(key=lambda task: task != "fill-mask")
    if checkpoint.head is not None:
        require_task(checkpoint, exporting=True)
        found.insert(0, checkpoint.head.traits.pipeline)
    return found


def choose_task(checkpoint: Checkpoint, task: str | None) -> str:
    """The task that was asked for, or the usual one.

    Raises:
        PredictionError: the checkpoint has no head for it.
    """
    known = tasks_of(checkpoint)
    if task is None:
        return known[0]
    if task not in known:
        raise PredictionError(
            f"task must be one of {', '.join(known)}.",
            found=task,
            fix=f"pass task={known[0]!r}, or leave task out",
            command_fix=f"give --task {known[0]}, or leave --task out",
        )
    return task


def file_names(checkpoint: Checkpoint, task: str) -> dict[str, tuple[str, ...]]:
    """The outputs of an export, of an `Engine`, each with its names in the file."""
    if task not in _TASKS:
        assert checkpoint.head is not None
        return _SPAN if checkpoint.head.kind == "span" else {"task": ("logits",)}
    there = outputs_of(checkpoint)
    return {name: names for name, names in _TASKS[task].items() if name in there}


def is_multiple_choice(task: str) -> bool:
    """Whether inputs are (B, choices, T)."""
    return task == KINDS["multiple_choice"].pipeline
