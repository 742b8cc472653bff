"""A data folder of the corpus of topics.py, and recipes of short runs over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from topics import NUM_WORDS, SPECIAL, EveryTokenIsAWord, on_topics

from albertkit import settings as recipes
from albertkit.data.writing import write_shards
from albertkit.text.tokenizer import Tokenizer
from albertkit.train.recipe import PretrainingRecipe


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of 45 pieces with held-out documents."""
    folder = tmp_path_factory.mktemp("corpus")
    pieces = SPECIAL + [f"w{i}" for i in range(NUM_WORDS)]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    tokenizer = Tokenizer.load(folder / "vocab.txt")
    write_shards(
        on_topics(0, 300),
        tokenizer,
        folder / "data",
        validation_fraction=0.2,
        segmenter=EveryTokenIsAWord(tokenizer),
    )
    return folder / "data"


@pytest.fixture
def make_recipe(data: Path, tmp_path: Path) -> Callable[..., PretrainingRecipe]:
    """Recipe of a run of two stages that takes a second or two; takes overrides."""

    def make(*overrides: str) -> PretrainingRecipe:
        table: dict[str, Any] = {
            "data": {"path": str(data)},
            "model": {
                "vocab_size": "from_data",
                "embedding_size": 16,
                "hidden_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 64,
                "max_position_embeddings": 64,
                "hidden_dropout_prob": 0.1,
            },
            "optim": {"name": "adamw"},
            "stages": [
                {"tokens": 32, "steps": 12, "batch_size": 8, "micro_batch_size": 4,
                 "warmup_steps": 2, "peak_learning_rate": 1e-3},
                {"tokens": 64, "steps": 6, "batch_size": 4, "warmup_steps": 2,
                 "peak_learning_rate": 1e-3},
            ],
            "run": {"output": str(tmp_path / "run"), "log_every": 5, "validate_every": 6,
                    "save_every": 4, "validation_rows": 32, "device": "cpu", "threads": 1},
        }  # fmt: skip
        for override in overrides:
            recipes.apply_override(table, override)
        return recipes.from_table(table, PretrainingRecipe)

    return make
