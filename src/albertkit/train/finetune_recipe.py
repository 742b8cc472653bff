"""The recipe of a fine-tuning run, section by section."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from albertkit.settings import setting
from albertkit.train.optim import OptimSettings
from albertkit.train.recipe import CardSettings
from albertkit.train.run import CadenceSettings


@dataclass(frozen=True, kw_only=True)
class ExampleSettings:
    """Where the examples are, and which columns hold what."""

    train: Path = setting(
        help="CSV, TSV, JSON lines, Parquet, or a folder of examples; for tag columns of words "
        "and tags; for span also SQuAD's JSON"
    )
    dev: Path | None = setting(
        None, "the same for measuring; if left out, a part of the training file is held out"
    )
    dev_share: float = setting(0.1, "share that is held out without dev", above=0, high=0.5)
    split_seed: int = setting(0, "seed of what is held out; another run.seed keeps it", low=0)
    text_column: str = setting("", "column of the texts; found by its name if empty")
    pair_column: str = setting("", "column of the second texts, for pairs")
    label_column: str = setting("", "column of the labels, or of the (right) answers")
    context_column: str = setting("", "for choose and span: column of what a question is about")
    question_column: str = setting("", "for choose and span: column of the questions")
    option_columns: list[str] = setting(
        [], "for choose: a column for each option, or one with a list of them"
    )
    label_separator: str = setting("|", "between the labels of a cell, for multi_label")
    on_bad_row: Literal["error", "skip"] = setting(
        "error", "skip leaves out rows that cannot be used, and counts them"
    )


@dataclass(frozen=True, kw_only=True)
class BeginSettings:
    """The model that is fine-tuned, and its dropout."""

    checkpoint: str = setting(
        "", "path or name of a model; one of this package for the script of the texts if empty"
    )
    hidden_dropout: float | None = setting(
        None, "in the layers; as the model's config says if left out", low=0, below=1
    )
    attention_dropout: float | None = setting(
        None, "of attention; as the model's config says if left out", low=0, below=1
    )
    classifier_dropout: float | None = setting(
        None, "before the head; as the model's config says (0.1) if left out", low=0, below=1
    )


@dataclass(frozen=True, kw_only=True)
class ObjectiveSettings:
    """What is learned from an example."""

    kind: str = setting(
        "auto", "of the head; auto: lists of labels are multi_label, measured numbers regression"
    )
    max_tokens: int = setting(
        0, "longest window in tokens, longer texts have several; 0 takes the model's, for span at "
        "most 384", low=0,
    )  # fmt: skip
    doc_stride: int = setting(
        0, "tokens from one window of a context to the next, for span; 0 takes 128, or a third of "
        "a window of less than 384", low=0,
    )  # fmt: skip
    label_smoothing: float = setting(
        0.0, "share of the target spread over all classes", low=0, below=1
    )
    class_weights: Literal["none", "balanced"] = setting(
        "none", "balanced: rare classes count more, each class alike in sum"
    )
    fgm_epsilon: float = setting(
        0.0, "above 0: FGM with an adversarial step so long in the word embeddings", low=0
    )
    rdrop_alpha: float = setting(
        0.0, "above 0: R-Drop with so much weight on the divergence of two passes", low=0
    )
    early_exit: bool = setting(
        False, "a classifier after every layer, for predicting with patience; for classify"
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneOptimSettings(OptimSettings):
    """AdamW as torch has it, with the rates of parts of the model."""

    name: Literal["lamb", "adamw"] = setting("adamw", "adamw, or lamb")
    bias_correction: bool = setting(
        True, "of the moments, as in torch; without it (google's code) more runs fail on small data"
    )
    layer_decay: float = setting(
        1.0, "rate of each part relative to the one above it: head, groups, embeddings", above=0
    )
    frozen: list[str] = setting(
        [], "parts of the names of parameters that are not trained, such as embeddings"
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneSchedule:
    """How long and how fast."""

    epochs: float = setting(
        0.0, "passes over the examples; 0 takes 3, or more where they would be few steps", low=0
    )
    steps: int = setting(0, "optimizer steps instead of epochs, if above 0", low=0)
    batch_size: int = setting(
        32, "rows in one optimizer step; for choose questions, each with all its options", low=1
    )
    learning_rate: float = setting(0.0, "highest rate; 0 takes one for the model's size", low=0)
    warmup_share: float = setting(0.1, "share of the steps with rising rate", low=0, high=1)
    decay_power: float = setting(1.0, "power of the polynomial decay; 1 is linear", above=0)
    micro_batch_tokens: int = setting(
        16_384, "most tokens in one forward and backward pass; decides memory, not results", low=1
    )
    sort_window: int = setting(
        1, "so many batches are sorted by length together; 1 leaves all order to chance", low=1
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneRunSettings(CadenceSettings):
    """Where the run goes, how it computes, and which of its models is kept."""

    log_every: int = setting(
        0, "steps between lines of metrics.jsonl; 0: at most 20, less in a short run", low=0
    )
    validate_every: int = setting(0, "steps between validations; 0: once an epoch", low=0)
    validation_rows: int = setting(100_000, "most held-out examples used for it", low=1)
    save_every: int = setting(0, "steps between training states; 0: once an epoch", low=0)
    keep: int = setting(1, "training states to keep", low=1)
    output: Path = setting(help="folder of the run; must be new, unless the run is resumed")
    seed: int = setting(0, "seed of the head, the order of examples and dropout", low=0)
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "auto takes cuda when it is there")
    precision: Literal["fp32", "bf16"] = setting("fp32", "bf16: matrix products in bfloat16")
    threads: int = setting(0, "CPU threads; 0 takes what torch takes", low=0)
    metric: str = setting("", "which figure decides what is best; one for the task if empty")
    keep_best: bool = setting(True, "the model is that of the best validation, not of the last")
    patience: int = setting(
        0, "end after so many validations without a better one; 0 trains to the end", low=0
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe:
    """Everything that decides a fine-tuning run."""

    task: Literal["classify", "tag", "choose", "span"] = setting("classify", "what is learned")
    data: ExampleSettings = setting()
    model: BeginSettings = setting(BeginSettings)
    objective: ObjectiveSettings = setting(ObjectiveSettings)
    optim: FinetuneOptimSettings = setting(FinetuneOptimSettings)
    schedule: FinetuneSchedule = setting(FinetuneSchedule)
    run: FinetuneRunSettings = setting()
    card: CardSettings = setting(CardSettings)
