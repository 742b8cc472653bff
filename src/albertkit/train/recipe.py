"""The recipe of a pretraining run, section by section."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from albertkit.settings import setting
from albertkit.train.model_card import NOT_STATED
from albertkit.train.optim import OptimSettings
from albertkit.train.run import CadenceSettings
from albertkit.train.stages import StageSettings


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Where the tokenized text is."""

    path: Path = setting(help="folder made by albertkit make-data, with held-out documents")
    replay: Path | None = setting(
        None, "second data folder, such as general text: rows of it are mixed in"
    )
    replay_share: float = setting(
        0.2, "share of the rows from there; 0 only measures its held-out text", low=0, below=1
    )


@dataclass(frozen=True, kw_only=True)
class StartSettings:
    """The model that the run goes on from."""

    checkpoint: str = setting(
        "", "path or name of a model; its sizes and tokenizer hold. Empty: random numbers"
    )


@dataclass(frozen=True, kw_only=True)
class RunSettings(CadenceSettings):
    """Where the run goes and how it computes."""

    output: Path = setting(help="folder of the run; must be new, unless the run is resumed")
    seed: int = setting(0, "seed of weights, samples and dropout", low=0)
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "auto takes cuda when it is there")
    precision: Literal["fp32", "bf16"] = setting("fp32", "bf16: matrix products in bfloat16")
    threads: int = setting(0, "CPU threads; 0 takes what torch takes", low=0)
    stop_below: float = setting(
        0.0,
        "end the run once the held-out masked-LM loss is this many nats below the unigram "
        "entropy; 0 trains to the last step",
        low=0,
    )
    sentence_order: Literal["auto", "on", "off"] = setting(
        "auto",
        "train sentence order beside masked-LM; auto: where the data have documents of two "
        "sentences",
    )


@dataclass(frozen=True, kw_only=True)
class CardSettings:
    """What only a person knows about a model; it stands in the model card."""

    name: str = setting("", "name of the model; the folder of the run if empty")
    language: str = setting("", "en, zh, ...; what was found in the text if empty")
    license: str = setting(NOT_STATED, "licence of the weights, as an SPDX name")
    data: str = setting(NOT_STATED, "where the text is from")
    data_license: str = setting(NOT_STATED, "licences of the text")


@dataclass(frozen=True, kw_only=True)
class PretrainingRecipe:
    """Everything that decides a pretraining run."""

    data: DataSettings = setting()
    model: dict[str, Any] = setting(
        {},
        "size = a name that `albertkit info` knows, and any key of the config; "
        'vocab_size = "from_data" takes the vocabulary of the data',
    )
    start: StartSettings = setting(StartSettings)
    optim: OptimSettings = setting(OptimSettings)
    stages: list[StageSettings] = setting()
    run: RunSettings = setting()
    card: CardSettings = setting(CardSettings)
