"""What a model is, in figures: for a named size, a checkpoint folder, or a config file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from albertkit.config import AlbertConfig, read_config
from albertkit.errors import ConfigError
from albertkit.parameters import Memory, count_parameters, memory_to_run, memory_to_train
from albertkit.sizes import SIZES, size

# Rows and tokens that the memory is told for.
TO_RUN = ((1, 128), (1, 512), (32, 128))
TO_TRAIN = ((32, 128), (8, 512))


def describe(source: str | Path) -> dict[str, Any]:
    """Config, exact parameters and memory, as one JSON object.

    Raises:
        ConfigError: no size, folder or file has this name.
    """
    name, config = _find(source)
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


def _find(source: str | Path) -> tuple[str, AlbertConfig]:
    path = Path(source)
    if str(source) in SIZES:
        return str(source), size(str(source))
    if path.is_dir():
        return path.resolve().name, read_config(path / "config.json")
    if path.is_file():
        return path.name, read_config(path)
    try:
        return str(source), size(str(source))
    except ConfigError as error:
        raise ConfigError(
            "There is no such size, folder or file.",
            expected=f"{error.facts['expected']}; or a checkpoint folder; or a config file",
            found=source,
            fix="correct the name",
        ) from error


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
