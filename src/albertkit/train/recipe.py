"""The recipe of a pretraining run, section by section."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from albertkit.settings import setting
from albertkit.train.card import CardSettings
from albertkit.train.optim import OptimSettings
from albertkit.train.run import CadenceSettings
from albertkit.train.stages import StageSettings


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Where the tokenized text is."""

    path: Path = setting(help="folder made by albertkit make-data, with held-out documents")


@dataclass(frozen=True, kw_only=True)
class RunSettings(CadenceSettings):
    """Where the run goes and how it computes."""

    output: Path = setting(help="folder of the run; must be new, unless the run is resumed")
    seed: int = setting(0, "seed of weights, samples and dropout", low=0)
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "auto takes cuda when it is there")
    precision: Literal["fp32", "bf16"] = setting("fp32", "bf16: matrix products in bfloat16")
    threads: int = setting(0, "CPU threads; 0 takes what torch takes", low=0)


@dataclass(frozen=True, kw_only=True)
class PretrainingRecipe:
    """Everything that decides a pretraining run."""

    data: DataSettings = setting()
    model: dict[str, Any] = setting(
        help="size = a name that `albertkit info` knows, and any key of the config; "
        'vocab_size = "from_data" takes the vocabulary of the data'
    )
    optim: OptimSettings = setting(OptimSettings)
    stages: list[StageSettings] = setting()
    run: RunSettings = setting()
    card: CardSettings = setting(CardSettings)
