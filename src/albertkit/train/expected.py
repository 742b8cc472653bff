"""How long a run will take on a CPU, estimated before it starts."""

from __future__ import annotations

from albertkit.config import AlbertConfig
from albertkit.train.recipe import PretrainingRecipe

# Multiplications and additions that a core does in a second, in practice: models of width 128 to
# 384 reached 30 to 120 billion. The estimate is right to a factor of three.
_CORE_FLOPS = 5e10
_DAY, _YEAR = 86400.0, 365 * 86400.0


def cpu_seconds(recipe: PretrainingRecipe, config: AlbertConfig, threads: int) -> float:
    """Seconds of all steps of a recipe on so many cores.

    A token costs six operations for each weight of a layer, in each layer it passes: two forward,
    four backward. Attention over the row and the heads are left out.
    """
    layer = 4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
    per_token = 6 * layer * config.num_hidden_layers * config.inner_group_num
    tokens = sum(stage.steps * stage.batch_size * stage.tokens for stage in recipe.stages)
    return per_token * tokens / (_CORE_FLOPS * max(1, threads))


def cpu_warning(recipe: PretrainingRecipe, config: AlbertConfig) -> str | None:
    """What to say before a run on a CPU that takes more than a day; None for others."""
    threads = recipe.run.threads
    seconds = cpu_seconds(recipe, config, threads)
    if recipe.run.device != "cpu" or seconds < _DAY:
        return None
    amount = (
        f"{seconds / _YEAR:,.0f} years" if seconds > 2 * _YEAR else f"{seconds / _DAY:,.0f} days"
    )
    return (
        f"this recipe is meant for a GPU: on this CPU ({threads} threads) it takes about {amount}; "
        "tiny-en and tiny-zh are smaller, and fewer steps end sooner"
    )
