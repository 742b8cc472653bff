"""From a fine-tuning recipe to the objects of a run; what cannot work is refused here."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from albertkit import settings as recipes
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.data.row_batches import RowBatches
from albertkit.errors import RecipeError
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.codecs import CODECS, labelled
from albertkit.tasks.head import TaskHead
from albertkit.tasks.rows import Labelled, Rows
from albertkit.tasks.span_rows import MAX_TOKENS, stride_for
from albertkit.tasks.windows import MIN_TOKENS
from albertkit.text.tokenizer import Tokenizer
from albertkit.train.finetune_data import Examples, Facts, encoded, without_folders
from albertkit.train.finetune_health import RunFacts
from albertkit.train.finetune_recipe import FinetuneRecipe
from albertkit.train.finetune_start import (
    TaskOrigin,
    by_script,
    open_start,
    refuse_unknown,
    tokenizer_of,
)
from albertkit.train.loop import device_of, seed_of
from albertkit.train.objective_checks import check_objective
from albertkit.train.optim import Adam

# Settings that a resumed run may change: they decide no weight, or (device, threads) only rounding.
MAY_CHANGE = {"output", "device", "threads", "log_every", "save_every", "keep", "tensorboard"}
# Rates by width: Lan et al. 2019, table 14, has 1e-5 to 5e-5 for xxlarge; albert_zh's README 2e-5
# to 1e-4 for base and smaller; that of the narrowest was measured with the models that ship.
USUAL_RATES = ((2048, 1e-5), (768, 2e-5), (512, 6e-5), (0, 3e-4))
# Few examples need more passes: Mosbach et al. 2021, "On the stability of fine-tuning BERT", train
# 20 epochs where 3 are usual. 220 reviews: accuracy 0.75 after 21 steps of tiny-en, 0.86 after 70.
USUAL_EPOCHS, MAX_EPOCHS, ENOUGH_STEPS = 3.0, 20.0, 100
MAX_LOG_STEPS = 20  # so far apart at most are the points of the training curve
_UNKNOWN_NOTED = 0.05  # share of unknown characters from which on it is said


@dataclass(frozen=True)
class PreparedTask:
    """A recipe with every choice made, the model that it begins with, and its examples as rows."""

    recipe: FinetuneRecipe
    checkpoint: Checkpoint
    config: AlbertConfig
    head: TaskHead
    tokenizer: Tokenizer
    examples: Examples
    origin: TaskOrigin
    train: Rows
    dev: Rows
    steps: int

    @classmethod
    def resolve(cls, recipe: FinetuneRecipe, begun: Path | None = None) -> PreparedTask:
        """Read the examples, open the model, and make every choice that was left to the program.

        begun: folder of a run to resume; its model is taken instead of the one it began with.

        Raises CorpusError, TrainingError, RecipeError, and what `Checkpoint.load` raises.
        """
        _refuse_smoothing(recipe)
        examples = Examples.read(recipe.task, recipe.data, recipe.objective.kind)
        head = CODECS[recipe.task].head_for(examples.train, examples.kind)
        name = recipe.model.checkpoint or by_script(examples)
        checkpoint, origin = open_start(name, head, begun)
        tokenizer = tokenizer_of(checkpoint, name)
        max_tokens = _max_tokens(recipe, checkpoint.config)
        tokenizer.extra["model_max_length"] = max_tokens  # what predicts has the same windows
        options = {}
        if recipe.task == "span":
            options["stride"] = recipe.objective.doc_stride or stride_for(max_tokens)
            tokenizer.extra["doc_stride"] = options["stride"]
        train = encoded(recipe.task, tokenizer, examples.train, max_tokens, **options)
        measured = examples.dev[: recipe.run.validation_rows]
        dev = encoded(recipe.task, tokenizer, measured, max_tokens, **options)
        refuse_unknown(train, name)
        recipe = dataclasses.replace(
            recipe,
            model=dataclasses.replace(recipe.model, checkpoint=name),
            objective=dataclasses.replace(
                recipe.objective, kind=examples.kind, max_tokens=max_tokens
            ),
        )
        recipe, steps = _with_numbers(recipe, len(train.group_lengths), checkpoint.config)
        config = _with_dropout(checkpoint.config, recipe)
        check_objective(recipe, head, config)
        return cls(recipe, checkpoint, config, head, tokenizer, examples, origin, train, dev, steps)

    @property
    def identity(self) -> dict[str, str]:
        """SHA-256 of everything in the recipe that decides the weights, and of the examples."""
        table = recipes.to_table(self.recipe)
        run = {key: value for key, value in table["run"].items() if key not in MAY_CHANGE}
        deciding = table | {"run": run, "data": {}, "card": {}}
        recipe = hashlib.sha256(repr(deciding).encode()).hexdigest()
        return {"recipe": recipe, "data": self.examples.fingerprint}

    @property
    def batches(self) -> RowBatches:
        """Which rows make a step."""
        schedule = self.recipe.schedule
        return RowBatches(
            self.train.group_lengths, schedule.batch_size, self.recipe.run.seed,
            schedule.sort_window,
        )  # fmt: skip

    @property
    def warmup_steps(self) -> int:
        """Steps of linear warm-up."""
        return round(self.steps * self.recipe.schedule.warmup_share)

    def labelled(self) -> tuple[Labelled, Labelled]:
        """The training and the held-out examples with what the head should give for them."""
        dev = self.examples.dev[: len(self.dev.sizes)]
        where = self.recipe.data.dev or self.recipe.data.train
        return (
            labelled(self.head, self.examples.train, self.train, self.recipe.data.train),
            labelled(self.head, dev, self.dev, where),
        )

    def output_weights(self, targets: Any) -> npt.NDArray[np.float32]:
        """How much each output of the training rows counts: windows of a text share its weight."""
        weights = self.train.weights
        if self.recipe.objective.class_weights == "balanced":
            if self.head.kind not in ("classification", "token_classification"):
                raise RecipeError(
                    "Class weights are for one class of several.",
                    expected="kind classification or token_classification",
                    found=self.head.kind,
                    fix="leave objective.class_weights out",
                )
            counts = np.bincount(targets, minlength=self.head.num_labels)
            of_class = len(targets) / (np.count_nonzero(counts) * np.maximum(counts, 1))
            weights = weights * of_class[targets][self.train.owners]
        return weights.astype(np.float32)

    def build(self) -> tuple[AlbertForTask, Adam]:
        """The model with its head, and its optimizer; the same weights for the same seed."""
        torch.manual_seed(seed_of(self.recipe.run.seed, -1))
        model = AlbertForTask(
            self.config,
            self.head,
            pooler=self.checkpoint.has_pooler,
            early_exit=self.recipe.objective.early_exit,
        )
        own = dict(model.named_parameters())
        with torch.no_grad():
            for name in own.keys() & self.checkpoint.tensors.keys():
                if name.startswith("albert.") or self.checkpoint.head == self.head:
                    tensor = np.require(self.checkpoint.tensors[name], requirements=["C", "W"])
                    own[name].copy_(torch.from_numpy(tensor))
        optim = self.recipe.optim
        freeze(model, optim.frozen)
        model.to(self.recipe.run.device)
        return model, Adam(
            model.named_parameters(),
            optim,
            bias_correction=optim.bias_correction,
            rate_scale=lambda name: optim.layer_decay ** height_below_head(name, self.config),
        )

    def run_facts(self) -> RunFacts:
        """What may explain that the run does not learn."""
        config, recipe = self.config, self.recipe
        return RunFacts(
            untrained=self.origin.untrained,
            new=tuple(self.origin.new),
            dropout=max(config.hidden_dropout_prob, config.attention_probs_dropout_prob),
            learning_rate=recipe.schedule.learning_rate,
            usual_rate=usual_rate(config.hidden_size),
            steps=self.steps,
            seed=recipe.run.seed,
            answers=recipe.task == "span",
        )

    def describe(self) -> Facts:
        """What a run works with, every choice that was left to the program included."""
        run, schedule = self.recipe.run, self.recipe.schedule
        epochs = self.steps / self.batches.steps_per_epoch
        notes = []
        if self.train.unknown > _UNKNOWN_NOTED:
            share = f"{self.train.unknown:.0%}"
            notes = [("unknown", f"{share} of the characters are not in the model's vocabulary")]
        return [
            *self.examples.facts,
            ("model", self.origin.describe()),
            ("learned", self.head.traits.purpose.format(count=self.head.num_labels)),
            ("rows", self.train.describe()),
            *notes,
            (
                "schedule",
                f"{self.steps:,} steps of {schedule.batch_size} "
                f"{'rows' if self.train.options is None else 'questions'} ({epochs:.3g} epochs), "
                f"rate {schedule.learning_rate:g}",
            ),
            (
                "computed by",
                f"{self.recipe.optim.name} on {run.device}, {run.precision}, {run.threads} threads",
            ),
        ]

    def published_recipe(self) -> FinetuneRecipe:
        """The recipe without folders, for the model card."""
        recipe = self.recipe
        name = recipe.model.checkpoint
        name = Path(name).name if Path(name).is_absolute() else name
        return dataclasses.replace(
            recipe,
            data=without_folders(recipe.data),
            model=dataclasses.replace(recipe.model, checkpoint=name),
            run=dataclasses.replace(recipe.run, output=Path(recipe.run.output.name)),
        )


def usual_rate(hidden_size: int) -> float:
    """A learning rate that works for most data with models of this width."""
    return next(rate for width, rate in USUAL_RATES if hidden_size >= width)


def usual_epochs(steps_per_epoch: int) -> float:
    """Passes over the examples: 3, or as many as make 100 steps, at most 20."""
    return min(MAX_EPOCHS, max(USUAL_EPOCHS, float(-(-ENOUGH_STEPS // steps_per_epoch))))


def height_below_head(name: str, config: AlbertConfig) -> int:
    """How many parts are above a parameter: 0 for head and pooler, 1 for the last group, ..."""
    groups = config.num_hidden_groups
    if name.startswith("albert.encoder."):
        return groups - int(name.split(".")[3])
    return groups + 1 if name.startswith("albert.embeddings.") else 0


def freeze(model: AlbertForTask, patterns: list[str]) -> None:
    """Leave parameters untrained whose names hold one of the patterns.

    Raises:
        RecipeError: a pattern that no name holds, or nothing is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(pattern in name for name in names):
            raise RecipeError(
                f"No parameter has {pattern!r} in its name.",
                expected="a part of a name, such as embeddings, encoder or pooler",
                found=pattern,
                fix="correct optim.frozen",
            )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(pattern in name for pattern in patterns))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise RecipeError(
            "Everything is frozen, so nothing can be trained.",
            expected="optim.frozen without the head",
            found=", ".join(patterns),
            fix="freeze embeddings and encoder alone",
        )


def _refuse_smoothing(recipe: FinetuneRecipe) -> None:
    if recipe.task == "span" and recipe.objective.label_smoothing:
        raise RecipeError(
            "Label smoothing is for classes.",
            expected="objective.label_smoothing=0 for span",
            found=recipe.objective.label_smoothing,
            fix="leave objective.label_smoothing out",
        )


def _max_tokens(recipe: FinetuneRecipe, config: AlbertConfig) -> int:
    longest, wanted = config.max_position_embeddings, recipe.objective.max_tokens
    if wanted and not MIN_TOKENS <= wanted <= longest:
        raise RecipeError(
            "The model cannot read windows of this length.",
            expected=f"objective.max_tokens from {MIN_TOKENS} to {longest}, or 0",
            found=wanted,
            fix="leave objective.max_tokens out: longer texts are read in several windows",
            command_fix="leave --max-tokens out: longer texts are read in several windows",
        )
    return wanted or (min(longest, MAX_TOKENS) if recipe.task == "span" else longest)


def _with_numbers(
    recipe: FinetuneRecipe, num_groups: int, config: AlbertConfig
) -> tuple[FinetuneRecipe, int]:
    """The recipe with rate, device, threads and intervals decided, and the steps of the run.

    num_groups: rows, or questions with the rows of all their options.
    """
    schedule, run = recipe.schedule, recipe.run
    per_epoch = -(-num_groups // schedule.batch_size)
    epochs = schedule.epochs or usual_epochs(per_epoch)
    steps = schedule.steps or max(1, round(epochs * per_epoch))
    rate = schedule.learning_rate or usual_rate(config.hidden_size)
    run = dataclasses.replace(
        run,
        device=device_of(run.device),
        threads=run.threads or torch.get_num_threads(),
        log_every=run.log_every or max(1, min(MAX_LOG_STEPS, steps // MAX_LOG_STEPS)),
        validate_every=run.validate_every or per_epoch,
        save_every=run.save_every or per_epoch,
    )
    schedule = dataclasses.replace(schedule, learning_rate=rate, epochs=epochs)
    return dataclasses.replace(recipe, schedule=schedule, run=run), steps


def _with_dropout(config: AlbertConfig, recipe: FinetuneRecipe) -> AlbertConfig:
    stated = {
        "hidden_dropout_prob": recipe.model.hidden_dropout,
        "attention_probs_dropout_prob": recipe.model.attention_dropout,
        "classifier_dropout_prob": recipe.model.classifier_dropout,
    }
    given: dict[str, Any] = {key: value for key, value in stated.items() if value is not None}
    return dataclasses.replace(config, **given)
