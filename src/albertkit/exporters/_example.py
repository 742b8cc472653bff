"""The lines of an example that make its inputs, for each task."""

from __future__ import annotations

from albertkit.checkpoint.checkpoint import Checkpoint

_TEXTS = {
    "fill-mask": '["It [MASK] all night.", "The street was [MASK]."]',
    "question-answering": '["Where did it rain?"], ["It rained in London."]',
}


def inputs_of_example(checkpoint: Checkpoint, task: str) -> str:
    """Python that makes `inputs` with `tokenizer`."""
    texts = _TEXTS.get(task, '["It rained all night.", "The street was dry."]')
    lines = [f'inputs = dict(tokenizer({texts}, padding=True, return_tensors="np"))']
    if task == "multiple-choice":
        lines.append("inputs = {name: array[None] for name, array in inputs.items()}")
    return "\n".join(lines)
