"""The lines of an example that make its inputs, for each task."""

from __future__ import annotations

from albertkit.checkpoint.checkpoint import Checkpoint

_TEXTS = {
    "fill-mask": ['"It [MASK] all night."', '"The street was [MASK]."'],
    "question-answering": ['"Where did it rain?"', '"Who came?"'],
}
_SECOND = {"question-answering": ['"It rained in London."', '"Nobody came."']}
_ANY = ['"It rained all night."', '"The street was dry."']


def inputs_of_example(checkpoint: Checkpoint, task: str, length: int | None) -> str:
    """Python that makes `inputs` with `tokenizer`; length: of every row, one row then."""
    rows = 2 if length is None else 1
    columns = [_TEXTS.get(task, _ANY), *([_SECOND[task]] if task in _SECOND else [])]
    texts = ", ".join(f"[{', '.join(column[:rows])}]" for column in columns)
    padding = "True" if length is None else f'"max_length", max_length={length}, truncation=True'
    lines = [f'inputs = dict(tokenizer({texts}, padding={padding}, return_tensors="np"))']
    if task == "multiple-choice":
        lines.append("inputs = {name: array[None] for name, array in inputs.items()}")
    return "\n".join(lines)
