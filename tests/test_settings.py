"""Recipes are read strictly, and every key is a decision."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from albertkit import settings as recipes
from albertkit.errors import RecipeError
from albertkit.settings import setting
from albertkit.train.prepare import model_config
from albertkit.train.recipe import PretrainingRecipe

# Adding a key is a decision that somebody defends here.
KEYS = {
    "data": "path replay replay_share",
    "model": "",
    "start": "checkpoint",
    "optim": "name beta_1 beta_2 epsilon weight_decay max_gradient_norm no_weight_decay "
    "no_trust_ratio",
    "stages[]": "steps peak_learning_rate warmup_steps decay_power start_warmup_step "
    "max_predictions masked_probability max_ngram whole_words short_probability swap_probability "
    "tokens batch_size micro_batch_size",
    "run": "log_every validate_every validation_rows save_every keep tensorboard output seed "
    "device precision threads stop_below sentence_order",
    "card": "name language license data data_license",
}


@dataclass(frozen=True, kw_only=True)
class Inner:
    """A section."""

    rate: float = setting(0.5, "a rate", above=0, high=1)
    kind: Literal["red", "green"] = setting("red", "a colour")


@dataclass(frozen=True, kw_only=True)
class Outer:
    """A recipe small enough to see through."""

    path: Path = setting(help="where to")
    count: int = setting(3, "how many", low=1)
    fast: bool = setting(False, "whether to hurry")
    words: list[str] = setting(["a"], "some words")
    inner: Inner = setting(Inner)
    parts: list[Inner] = setting([], "sections in a row")


def read(text: str, *overrides: str) -> Outer:
    table = tomllib.loads(text)
    for override in overrides:
        recipes.apply_override(table, override)
    return recipes.from_table(table, Outer)


def test_the_keys_of_a_pretraining_recipe_are_these_and_each_has_a_sentence_of_help() -> None:
    keys = list(recipes.keys(PretrainingRecipe))
    assert [key.name for key in keys] == [
        f"{section}.{name}" if name else section
        for section, names in KEYS.items()
        for name in names.split() or [""]
    ]
    assert all(len(key.help) > 8 for key in keys)


def test_a_recipe_comes_back_from_its_own_toml_with_every_default_written_out() -> None:
    text = (
        'path = "a \\"b\\" \\\\ \\u0007 \\u00e9"\n[[parts]]\nrate = 1\n[[parts]]\nkind = "green"\n'
    )
    recipe = read(text)
    full = recipes.to_toml(recipe)
    assert read(full) == recipe
    assert "count = 3" in full
    assert full.count("[[parts]]") == 2
    assert recipe.path == Path('a "b" \\ \a \u00e9')
    assert recipe.parts[0] == Inner(rate=1.0)


@pytest.mark.parametrize(
    ("text", "message", "fact"),
    [
        ("path='x'\ncuont = 1", "unknown key 'cuont'", "did you mean 'count'?"),
        ("path='x'\n[inner]\nkinds = 'red'", "key 'inner.kinds'", "did you mean 'inner.kind'?"),
        ("path='x'\ncount = 'three'", "'count' must be an integer", "found: "),
        ("path='x'\ncount = true", "'count' must be an integer", "found: "),
        ("path='x'\ncount = 1.5", "'count' must be an integer", "found: "),
        ("path='x'\nfast = 1", "'fast' must be true or false", "found: 1"),
        ("path='x'\ncount = 0", "'count' must be at least 1", "found: 0"),
        (
            "path='x'\n[inner]\nrate = 0",
            "'inner.rate' must be more than 0 and at most 1",
            "to do: correct 'inner.rate'",
        ),
        ("path='x'\n[inner]\nrate = nan", "'inner.rate' must be more than 0", "nan"),
        ("path='x'\n[[parts]]\n[[parts]]\nrate = 2", "'parts.1.rate' must be", "most 1"),
        ("path='x'\n[inner]\nkind = 'gren'", "'inner.kind' must be one of", "'green'?"),
        ("path='x'\ninner = 3", "'inner' must be a table", "found: 3"),
        ("path='x'\nwords = 'a'", "'words' must be a list", "found: 'a'"),
        ("count = 1", "lacks 'path'", "where to"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out(text: str, message: str, fact: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read(text)
    assert message in str(caught.value)
    assert fact in str(caught.value)


def test_overrides_reach_into_lists_of_tables_and_take_toml_values_or_text() -> None:
    recipe = read(
        "path='x'\n[[parts]]\n[[parts]]\n",
        "parts.1.rate=0.25", "inner.kind=green", "words=['b', 'c']", "path=some/where", "fast=true",
    )  # fmt: skip
    assert recipe.parts == [Inner(), Inner(rate=0.25)]
    assert recipe.inner.kind == "green"
    assert recipe.words == ["b", "c"]
    assert recipe.path == Path("some/where")
    assert recipe.fast is True


@pytest.mark.parametrize("override", ["rate", "=3", "a..b=3", "parts.2.rate=1", "count.x=1"])
def test_an_override_that_leads_nowhere_is_refused(override: str) -> None:
    with pytest.raises(RecipeError):
        read("path='x'\ncount = 1\n[[parts]]\n[[parts]]\n", override)


def test_a_missing_recipe_is_refused_with_the_names_of_those_that_ship(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="base-en, continue, demo, small-en, small-zh, tiny-en"):
        recipes.load("tiny-fr", PretrainingRecipe)
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(RecipeError, match="not valid TOML"):
        recipes.load(tmp_path / "bad.toml", PretrainingRecipe)
    (tmp_path / "bad.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(RecipeError, match="not UTF-8"):
        recipes.load(tmp_path / "bad.toml", PretrainingRecipe)


@pytest.mark.parametrize("name", recipes.names())
def test_every_shipped_recipe_is_valid_and_its_rows_fit_its_model(name: str) -> None:
    recipe = recipes.load(name, PretrainingRecipe)
    # A recipe that goes on from a model names none: the smallest has 512 positions.
    config = model_config(dict(recipe.model) or {"size": "albert-base-v2"}, 8000)
    assert max(stage.tokens for stage in recipe.stages) <= config.max_position_embeddings
    for stage in recipe.stages:
        assert stage.warmup_steps < stage.steps


def test_the_base_recipe_is_the_papers() -> None:
    recipe = recipes.load("base-en", PretrainingRecipe)
    assert sum(stage.steps for stage in recipe.stages) == 125_000
    assert {stage.batch_size for stage in recipe.stages} == {4096}
    assert recipe.stages[0].peak_learning_rate == 0.00176
    assert recipe.optim.name == "lamb"


def test_a_model_is_a_name_with_changes_and_unknown_keys_are_reported() -> None:
    table: dict[str, Any] = {"size": "albert-base-v2", "num_hidden_layers": 3}
    config = model_config({**table, "vocab_size": "from_data"}, 8000)
    assert (config.num_hidden_layers, config.hidden_size, config.vocab_size) == (3, 768, 8000)
    with pytest.raises(RecipeError, match=r"model\.hidden_sise.*\n.*\n.*hidden_size"):
        model_config({**table, "hidden_sise": 3}, 8000)
