"""Options of an objective that do not go with the task, the model or one another are refused."""

from __future__ import annotations

from albertkit.config import AlbertConfig
from albertkit.errors import RecipeError
from albertkit.tasks.head import TaskHead
from albertkit.train.fgm import WORDS
from albertkit.train.finetune_recipe import FinetuneRecipe
from albertkit.train.rdrop import DIVERGENCES

_NO_DIVERGENCE = "span"  # its outputs are places of a window, of which each has another number


def check_objective(recipe: FinetuneRecipe, head: TaskHead, config: AlbertConfig) -> None:
    """Refuse early exit, R-Drop and FGM where they cannot work.

    Raises:
        RecipeError: with the setting that has to go.
    """
    objective = recipe.objective
    if objective.early_exit and head.traits.task != "classify":
        raise RecipeError(
            "Early exit is for classes of texts and numbers.",
            expected="task classify",
            found=f"task {head.traits.task}",
            fix="leave objective.early_exit out",
        )
    if objective.rdrop_alpha:
        _check_rdrop(head, config)
    frozen = [pattern for pattern in recipe.optim.frozen if pattern in WORDS]
    if objective.fgm_epsilon and frozen:
        raise RecipeError(
            "FGM needs the gradient of the word embeddings, which are frozen.",
            expected=f"optim.frozen without {WORDS}",
            found=", ".join(frozen),
            fix="leave objective.fgm_epsilon out, or train the embeddings",
        )


def _check_rdrop(head: TaskHead, config: AlbertConfig) -> None:
    if head.traits.task == _NO_DIVERGENCE or head.traits.loss not in DIVERGENCES:
        raise RecipeError(
            "R-Drop is not there for this task.",
            expected="task classify, tag or choose",
            found=f"task {head.traits.task}",
            fix="leave objective.rdrop_alpha out",
        )
    dropout = (
        config.hidden_dropout_prob,
        config.attention_probs_dropout_prob,
        config.classifier_dropout_prob,
    )
    if not any(dropout):
        raise RecipeError(
            "R-Drop compares two passes with different dropout, and there is none.",
            expected="model.hidden_dropout, attention_dropout or classifier_dropout above 0",
            found="0 each",
            fix="set model.hidden_dropout to 0.1, or leave objective.rdrop_alpha out",
        )
