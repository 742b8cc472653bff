"""What a predictor asks: an engine, its tokenizer, and where both came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.config import AlbertConfig
from albertkit.errors import PredictionError
from albertkit.infer.batches import BATCH_TOKENS, DEVICE_BATCH_TOKENS, Runner, check_limits
from albertkit.infer.checked import refuse_unchecked
from albertkit.infer.default_model import choose_model, folder_of
from albertkit.infer.engine import Engine
from albertkit.infer.engines import make_engine, open_exported
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.infer.exported import engine_of, is_exported
from albertkit.infer.fill_mask import Filler
from albertkit.infer.patience import LayersUsed, with_exits
from albertkit.progress import Progress
from albertkit.tasks.head import TaskHead
from albertkit.tasks.windows import MIN_TOKENS
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.vocabulary_files import candidates


@dataclass(frozen=True)
class OpenModel:
    """A model that is ready to answer; folder: None for an engine that was passed in."""

    engine: Engine
    tokenizer: Tokenizer
    filler: Filler
    folder: Path | None


def open_model(
    source: str | Path | Engine,
    *,
    settings: EngineSettings,
    tokenizer: str | Path | Tokenizer | None,
    overrides: Overrides | None,
    family: str | None,
    engine: str | None,
    offline: bool | None,
) -> OpenModel:
    """Open a checkpoint of any family or an exported folder, or take an engine.

    engine: by name; None: the engine that an exported folder is for, and torch otherwise; auto: see
    `auto_engine.py`, and an exported folder in int8 must have been checked.

    Raises:
        CheckpointError, ConfigError, VocabularyError: see `open_checkpoint`.
        PredictionError: there is no tokenizer, or no engine of this name.
    """
    folder = Path(source) if isinstance(source, (str, Path)) else None
    if folder is not None and is_exported(folder):
        if engine == "auto":
            refuse_unchecked(folder)
        named = engine if engine not in (None, "auto") else engine_of(folder)
        source = open_exported(named, folder, settings)
        tokenizer = folder if tokenizer is None and candidates(folder) else tokenizer
    elif isinstance(source, (str, Path)):
        beside = None if isinstance(tokenizer, Tokenizer) else tokenizer
        opened = open_checkpoint(
            source, family=family, tokenizer=beside, overrides=overrides, offline=offline
        )
        if opened.tokenizer_error is not None and tokenizer is None:
            raise opened.tokenizer_error
        checkpoint = opened.checkpoint
        tokenizer = tokenizer if isinstance(tokenizer, Tokenizer) else checkpoint.tokenizer
        source = _engine_for(checkpoint, engine, settings)
    if tokenizer is None:
        raise PredictionError(
            "This checkpoint has no tokenizer.",
            expected="spiece.model, vocab.txt or tokenizer.json beside the weights",
            where=folder,
            fix="pass tokenizer='spiece.model', the vocabulary that the model was trained with",
            command_fix="add --tokenizer spiece.model, the vocabulary that the model was "
            "trained with",
        )
    if not isinstance(tokenizer, Tokenizer):
        tokenizer = Tokenizer.load(tokenizer)
    barred = np.zeros(source.config.vocab_size, dtype=np.bool_)
    barred[sorted(tokenizer.special_ids)] = True
    barred[tokenizer.vocab_size :] = True  # entries of the table without a piece
    return OpenModel(source, tokenizer, Filler(tokenizer, barred), folder)


def _engine_for(checkpoint: Checkpoint, name: str | None, settings: EngineSettings) -> Engine:
    if name != "auto":
        return make_engine(name or "torch", checkpoint, settings)
    from albertkit.infer.auto_engine import fastest_engine  # PyTorch, which others do without

    return fastest_engine(checkpoint, settings)


class ModelOfTexts:
    """The model that a predictor was given; or, where it was given none, that of its first texts.

    For the arguments see `Predictor`.
    """

    def __init__(
        self,
        source: str | Path | Engine | None = None,
        device: str = "cpu",
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        tokenizer: str | Path | Tokenizer | None = None,
        overrides: Overrides | None = None,
        family: str | None = None,
        engine: str | None = None,
        precision: str = "auto",
        threads: int | None = None,
        calibrate: str | Path | None = None,
        offline: bool | None = None,
        patience: int | None = None,
        progress: Progress | bool = False,
    ) -> None:
        if source is None and (tokenizer, overrides, family) != (None, None, None):
            raise PredictionError(
                "No model is named.",
                expected="the checkpoint that tokenizer, overrides or family is about",
                fix="pass its path first",
            )
        if batch_tokens is None:
            batch_tokens = BATCH_TOKENS if device == "cpu" else DEVICE_BATCH_TOKENS
        check_limits(batch_size, batch_tokens)
        self.batch_size, self.batch_tokens = batch_size, batch_tokens
        self.patience, self.progress = patience, progress
        # What else than the model decides the numbers, for a file that is gone on with.
        self.engine_options = {
            "engine": engine,
            "precision": None if precision == "auto" else precision,
        }
        self.used = LayersUsed()  # by the texts so far, with patience
        self._open: Callable[[str | Path | Engine], OpenModel] = partial(
            open_model,
            settings=EngineSettings(device, precision, threads, calibrate),
            tokenizer=tokenizer,
            overrides=overrides,
            family=family,
            # The trial of auto runs every layer: it would choose for another use.
            engine=None if patience is not None and engine == "auto" else engine,
            offline=offline,
        )
        self._model = None if source is None else self._open(source)
        if patience is not None and self._model is not None:
            with_exits(self._model.engine, patience)
        self._texts_choose = source is None
        self._chosen: str | None = None  # the name that the first texts chose

    def choose_model_for(self, texts: Sequence[str]) -> None:
        """Without a named model: open the one for the first texts, and refuse other texts."""
        if self._texts_choose:
            self._chosen = choose_model(texts, self._chosen)
            if self._model is None:
                self._model = self._open(folder_of(self._chosen))

    @property
    def runner(self) -> Runner:
        """The engine, asked in batches."""
        return Runner(
            self.engine,
            self.batch_size,
            self.batch_tokens,
            patience=self.patience,
            used=self.used,
            progress=self.progress,
        )

    @property
    def _opened(self) -> OpenModel:
        if self._model is None:
            raise PredictionError(
                "No model is named, and no text has chosen one yet.",
                expected="a model; without one, fill_mask, sentence_order, embed and "
                "hidden_states choose by their texts",
                fix='name it: Predictor("path/to/model")',
            )
        return self._model

    @property
    def engine(self) -> Engine:
        """What computes the model."""
        return self._opened.engine

    @property
    def tokenizer(self) -> Tokenizer:
        """What cuts the texts."""
        return self._opened.tokenizer

    @property
    def folder(self) -> Path | None:
        """Where the model came from; None for an engine that was passed in."""
        return self._opened.folder

    @property
    def config(self) -> AlbertConfig:
        """The model's config."""
        return self.engine.config

    @property
    def max_window(self) -> int:
        """Tokens of the longest sequence that is read at once: as it was fine-tuned."""
        longest, tuned = self.config.max_position_embeddings, self.tokenizer.model_max_length
        return min(longest, tuned) if tuned >= MIN_TOKENS else longest

    @property
    def head(self) -> TaskHead | None:
        """The head of a fine-tuned model."""
        return self.engine.head
