"""What a model is, in figures, and what is in a checkpoint: each as one JSON object."""

from __future__ import annotations

from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from albertkit.checkpoint.checkpoint import Opened
from albertkit.checkpoint.families import named
from albertkit.cli.options import SourceOptions
from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError
from albertkit.hub import all_models, is_shipped
from albertkit.parameters import HEADS, Memory, count_parameters, memory_to_run, memory_to_train
from albertkit.sizes import SIZES, size

# Sequences and tokens for which memory is computed.
TO_RUN = ((1, 128), (1, 512), (32, 128))
TO_TRAIN = ((32, 128), (8, 512))


def describe(source: str, options: SourceOptions) -> dict[str, Any]:
    """Config, exact parameters and memory of a size, checkpoint or config file.

    Raises:
        ConfigError: no size, model, checkpoint or file has this name.
        CheckpointError: a checkpoint that cannot be opened.
    """
    name, config = _find(source, options)
    return {
        "name": name,
        "config": config.to_json(),
        "parameters": parameters(config),
        "memory": [
            *(_memory("run", b, t, memory_to_run(config, batch=b, tokens=t)) for b, t in TO_RUN),
            *(
                _memory("train", b, t, memory_to_train(config, batch=b, tokens=t))
                for b, t in TO_TRAIN
            ),
        ],
        "not_for_transformers": config.fits_huggingface,
    }


def parameters(config: AlbertConfig) -> dict[str, int]:
    """Exact counts with and without pooler and heads; shared parameters count once."""
    return {
        "body without pooler": count_parameters(config, pooler=False),
        "body": count_parameters(config),
        "body, masked-LM head": count_parameters(config, masked_lm=True),
        "body, both pretraining heads": count_parameters(
            config, masked_lm=True, sentence_order=True
        ),
        "the same with an untied masked-LM matrix": count_parameters(
            config, masked_lm=True, sentence_order=True, tied=False
        ),
    }


def _find(source: str, options: SourceOptions) -> tuple[str, AlbertConfig]:
    """Name and config: of what is at a path, else of a size, else of a released model."""
    path = Path(source)
    asked = options != SourceOptions(offline=options.offline)
    if not asked and path.is_dir() and (path / "config.json").is_file():
        return path.resolve().name, AlbertConfig.load(path / "config.json")
    if not asked and path.is_file() and path.suffix == ".json":
        return path.name, AlbertConfig.load(path)
    if path.exists() or any(path.parent.glob(f"{path.name}.*")):
        return path.resolve().name, options.open(source).checkpoint.config
    if is_shipped(source):
        return source, options.open(source).checkpoint.config
    if source in SIZES:
        return source, size(source)
    models = all_models()
    if source in models:
        return source, models[source].config
    near = get_close_matches(source, [*SIZES, *models], 3)
    raise ConfigError(
        "There is no size, model, folder or file of this name.",
        expected="a size (" + ", ".join(SIZES) + "), a name that `albertkit models` lists, "
        "a checkpoint, or a config file",
        found=source,
        fix="did you mean " + " or ".join(near) + "?" if near else "correct the name",
    )


def _memory(purpose: str, batch: int, tokens: int, memory: Memory) -> dict[str, Any]:
    return {
        "for": purpose,
        "batch": batch,
        "tokens": tokens,
        "weights": memory.weights,
        "activations": memory.activations,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        "total": memory.total,
    }


def describe_checkpoint(opened: Opened) -> dict[str, Any]:
    """Everything there is to know about an opened checkpoint, as one JSON object."""
    checkpoint, result = opened.checkpoint, opened.result
    present = [h.rstrip(".") for h in HEADS if any(t.startswith(h) for t in checkpoint.tensors)]
    tokenizer = checkpoint.tokenizer
    return {
        "path": str(opened.path),
        "family": opened.family,
        "written_by": named(opened.family).TITLE,
        "files": [str(path) for path in result.files],
        "config": asdict(checkpoint.config),
        "provenance": result.provenance,
        "heads": present,
        "missing": result.report.missing,
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


def _use(opened: Opened, name: str) -> dict[str, str]:
    """What became of a tensor of the source."""
    report = opened.result.report
    if name in report.loaded:
        ours, how = report.loaded[name]
        return {"becomes": ours, "change": how}
    return {"ignored": report.ignored.get(name, "not part of the model")}
