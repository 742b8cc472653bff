"""What a run says before it starts: how long it takes on a CPU, and that its folder holds a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from albertkit import settings
from albertkit.errors import OutputError
from albertkit.sizes import size
from albertkit.train.expected import cpu_seconds, cpu_warning
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.resume import require_new


def on_cpu(name: str, threads: int = 2) -> PretrainingRecipe:
    """A shipped recipe, on a CPU."""
    recipe = settings.load(name, PretrainingRecipe, {"run.output": "run"})
    run = dataclasses.replace(recipe.run, device="cpu", threads=threads)
    return dataclasses.replace(recipe, run=run)


def test_the_time_follows_from_the_weights_that_a_token_passes() -> None:
    recipe, config = on_cpu("base-en"), size("albert-base-v2")
    # 12 layers of 4 * 768 ** 2 + 2 * 768 * 3072 weights, six operations for each, by hand
    operations = 6 * 12 * 7_077_888
    tokens = 112_500 * 4096 * 128 + 12_500 * 4096 * 512
    assert cpu_seconds(recipe, config, 2) == pytest.approx(operations * tokens / 1e11)


def test_a_recipe_for_a_gpu_says_so_on_a_cpu_with_the_time() -> None:
    config = size("albert-base-v2")
    recipe = on_cpu("base-en")
    years = cpu_seconds(recipe, config, 2) / (365 * 86400)
    warning = cpu_warning(recipe, config)
    assert warning is not None
    assert "meant for a GPU" in warning
    assert f"about {years:,.0f} years" in warning
    gpu = dataclasses.replace(recipe, run=dataclasses.replace(recipe.run, device="cuda"))
    assert cpu_warning(gpu, config) is None
    tiny = size("albert-chinese-tiny")
    assert cpu_warning(on_cpu("demo"), tiny) is None


def test_a_second_run_into_a_folder_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("")
    with pytest.raises(OutputError) as caught:
        require_new(tmp_path)
    command = caught.value.for_command_line()
    assert f"albertkit pretrain {tmp_path / 'recipe.toml'} --resume" in command
    assert "resume=True" in str(caught.value)
    (tmp_path / "recipe.toml").rename(tmp_path / "other")
    with pytest.raises(OutputError):
        require_new(tmp_path)
    require_new(tmp_path / "free")
