"""engine="auto": a trial decides, what it found is kept, and answers that differ are out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from albertkit import plugins
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.cli import main
from albertkit.errors import PredictionError
from albertkit.infer import auto_engine
from albertkit.infer.engine import Engine
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.infer.predictor import Predictor
from albertkit.infer.torch_engine import TorchEngine

MILLISECONDS = {"TorchEngine": 10.0, "Quick": 4.0, "Wrong": 1.0, "Near": 9.5}


class Quick(TorchEngine):
    """The same numbers."""


class Near(TorchEngine):
    """The same numbers, hardly faster."""


class Wrong(TorchEngine):
    """Other numbers."""

    def run(self, *question: object) -> dict:  # type: ignore[type-arg,override]
        return {name: 1.01 * x + 1 for name, x in super().run(*question).items()}  # type: ignore[arg-type]


def plugin(kind: Callable[[Checkpoint], Engine], *precisions: str) -> ModuleType:
    module = ModuleType("plugin")
    module.TITLE, module.PRECISIONS = "A plugin", precisions or ("fp32",)  # type: ignore[attr-defined]
    module.make = lambda checkpoint, settings: kind(checkpoint)  # type: ignore[attr-defined]
    return module


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, ModuleType]:
    """What is installed: torch, and what a test puts here; a trial takes what a table says."""
    monkeypatch.setenv("ALBERTKIT_CACHE", str(tmp_path / "cache"))
    there = {"torch": plugins.load("engines", "torch")}
    names, load = plugins.names, plugins.load

    def known(kind: str) -> list[str]:
        return list(there) if kind == "engines" else names(kind)

    def loaded(kind: str, name: str) -> ModuleType:
        return there[name] if kind == "engines" else load(kind, name)

    monkeypatch.setattr(plugins, "names", known)
    monkeypatch.setattr(plugins, "load", loaded)

    def in_turns(runs: Sequence, turns: int) -> list[float]:  # type: ignore[type-arg]
        return [MILLISECONDS[type(run.func.__self__).__name__] for run in runs]

    monkeypatch.setattr(auto_engine, "in_turns", in_turns)
    return there


def chosen(model: Path, **options: object) -> str:
    predictor = Predictor(model, engine="auto", **options)  # type: ignore[arg-type]
    return type(predictor.engine).__name__


def test_the_fastest_that_keeps_the_numbers_is_taken_and_named(
    engines: dict[str, ModuleType], tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engines |= {"quick": plugin(Quick), "wrong": plugin(Wrong), "near": plugin(Near)}
    assert chosen(tiny_model / "model") == "Quick"
    said = capsys.readouterr().err
    # 4 times 80 tokens in 4 and in 10 ms
    assert said.startswith("engine: quick, 80,000 tokens a second in a trial, 32,000 by torch")
    assert said.count("\n") == 1
    assert "wrong" not in said


def test_what_is_hardly_faster_is_not_taken(
    engines: dict[str, ModuleType], tiny_model: Path
) -> None:
    engines["near"] = plugin(Near)
    assert chosen(tiny_model / "model") == "TorchEngine"


def test_a_trial_is_kept_until_something_changes(
    engines: dict[str, ModuleType],
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engines["quick"] = plugin(Quick)
    tried: list[int] = []
    rates = auto_engine._rates
    monkeypatch.setattr(auto_engine, "_rates", lambda *rest: tried.append(1) or rates(*rest))
    for _ in range(2):
        assert chosen(tiny_model / "model") == "Quick"
    assert len(tried) == 1
    assert "(tried before)" in capsys.readouterr().err
    chosen(tiny_model / "body")  # other weights
    assert len(tried) == 2
    monkeypatch.setattr(auto_engine, "_processor", lambda: "another")
    chosen(tiny_model / "model")
    assert len(tried) == 3
    for kept in auto_engine.cache_folder().glob("engines/*.json"):
        kept.write_text("{")  # damaged
    assert chosen(tiny_model / "model") == "Quick"
    assert len(tried) == 4
    checkpoint = Checkpoint.load(tiny_model / "model")
    keys = {auto_engine._key(checkpoint, EngineSettings(threads=n)) for n in (1, 3)}
    assert len(keys) == 2


def test_a_cache_that_cannot_be_written_costs_time_only(
    engines: dict[str, ModuleType], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines["quick"] = plugin(Quick)
    monkeypatch.setenv("ALBERTKIT_CACHE", "/dev/null/cache")
    assert chosen(tiny_model / "model") == "Quick"


def test_where_torch_is_alone_nothing_is_tried(
    engines: dict[str, ModuleType], tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fill-mask", "the [MASK]", "--model", str(tiny_model / "model")]) == 0
    assert "engine:" not in capsys.readouterr().err
    command = ["fill-mask", "the [MASK]", "--engine", "auto"]
    assert main([*command, "--model", str(tiny_model / "model")]) == 0
    said = capsys.readouterr().err
    assert "engine: torch, no other engine that can compute this model is installed" in said


def test_int8_is_tried_where_it_is_asked_for_alone(
    engines: dict[str, ModuleType], tiny_model: Path
) -> None:
    asked: list[str] = []

    def make(checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
        asked.append(settings.precision)
        return Quick(checkpoint)

    engines["quick"] = plugin(Quick, "fp32", "int8")
    engines["quick"].make = make  # type: ignore[attr-defined]
    assert chosen(tiny_model / "model") == "Quick"
    assert chosen(tiny_model / "model", precision="int8") == "Quick"
    assert asked == ["auto", "int8"]
    del engines["quick"]
    with pytest.raises(PredictionError, match="No engine that is installed") as refused:
        chosen(tiny_model / "model", precision="int8")
    assert "torch: precision" in refused.value.facts["found"]
