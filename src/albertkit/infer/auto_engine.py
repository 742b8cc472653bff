"""engine="auto": the fastest installed engine that gives PyTorch's numbers, by a short trial.

Which one that is depends on the model, the processor and the versions, so it is tried: once, and
kept in the user's cache under a hash of those. int8 is another model, and is never tried unless it
is asked for.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from albertkit import __version__, plugins
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.batch import Batch
from albertkit.errors import AlbertkitError, OutputError, PredictionError
from albertkit.files import strict_json, write_atomic
from albertkit.hub.cache import cache_folder
from albertkit.infer.compare import fixed_batch
from albertkit.infer.digest import digest_of
from albertkit.infer.engine import Engine, run_checked
from albertkit.infer.engines import make_engine
from albertkit.infer.engines._cpus import threads_or_cpus
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.infer.trial import compared, in_turns, is_near

_TORCH = "torch"
_NOT_TRIED = ("tensorflow",)  # padded, and its import alone takes longer than the trial
_PACKAGES = ("torch", "numpy", "onnx", "onnxruntime", "openvino")
_MARGIN = 1.1  # times as fast as PyTorch: less may be chance
_TURNS = 5
_DAMAGE = (OSError, KeyError, TypeError, ValueError)
_SLOW = 0.5  # seconds of a run: the trial stays with a smaller batch


def fastest_engine(checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
    """The engine for a checkpoint; one line on standard error says which and why.

    Raises:
        PredictionError: no engine that is installed computes it with these settings.
    """
    file = cache_folder() / "engines" / f"{_key(checkpoint, settings)}.json"
    with suppress(AlbertkitError, *_DAMAGE):  # not tried yet, or damaged
        kept: Any = strict_json(file)
        engine = make_engine(str(kept["engine"]), checkpoint, settings)
        _say(str(kept["engine"]), dict(kept["tokens_per_second"]), again=True)
        return engine
    made, left_out = _candidates(checkpoint, settings)
    rates = _rates(checkpoint, settings, made, left_out)
    if not rates:
        raise PredictionError(
            "No engine that is installed computes this model with these settings.",
            expected="one of " + ", ".join(sorted(left_out)),
            found="; ".join(f"{name}: {why}" for name, why in sorted(left_out.items())),
            fix="leave engine out, or name one to see what it lacks",
            command_fix="leave --engine out, or name one to see what it lacks",
        )
    best = max(rates, key=lambda name: rates[name])
    if rates[best] < _MARGIN * rates.get(_TORCH, 0):
        best = _TORCH
    with suppress(OutputError, OSError):  # a cache that cannot be written costs time only
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps({"engine": best, "tokens_per_second": rates}) + "\n")
    _say(best, rates)
    return made[best]


def _candidates(
    checkpoint: Checkpoint, settings: EngineSettings
) -> tuple[dict[str, Engine], dict[str, str]]:
    """The engines that can be made, and why others cannot."""
    made: dict[str, Engine] = {}
    left_out: dict[str, str] = {}
    for name in plugins.names("engines"):
        if name in _NOT_TRIED:
            continue
        try:
            made[name] = make_engine(name, checkpoint, settings)
        except AlbertkitError as error:
            left_out[name] = error.what
    return made, left_out


def _rates(
    checkpoint: Checkpoint,
    settings: EngineSettings,
    made: dict[str, Engine],
    left_out: dict[str, str],
) -> dict[str, float]:
    """Tokens a second of each engine that gives the numbers of PyTorch in float32."""
    batch = fixed_batch(checkpoint.config)
    if list(made) == [_TORCH]:
        return {_TORCH: 0.0}  # nothing to compare it with
    reference = made.get(_TORCH)
    if reference is None or settings.precision not in ("auto", "fp32"):
        reference = make_engine(_TORCH, checkpoint, replace(settings, precision="fp32"))
    want = ("task",) if "task" in reference.outputs else ("hidden",)
    expected = run_checked(reference, batch, want)
    precision = "fp32" if settings.precision == "auto" else settings.precision
    near = {}
    for name, engine in made.items():
        try:
            found = compared(expected, run_checked(engine, batch, want), 0, 0)
        except AlbertkitError as error:
            left_out[name] = error.what
            continue
        if is_near(found, precision):
            near[name] = engine
        else:
            left_out[name] = f"numbers that differ by {max(found.difference.values()):.1e}"
    if not near:
        return {}
    seconds = in_turns([partial(reference.run, batch, want)], 1)[0] / 1000
    if seconds < _SLOW:
        batch = Batch.joined([batch] * 4)
    runs = [partial(engine.run, batch, want) for engine in near.values()]
    in_turns(runs, 1)  # graphs for a batch of this size
    times = in_turns(runs, _TURNS if seconds < _SLOW else 1)
    return {name: 1000 * len(batch.ids) / t for name, t in zip(near, times, strict=True)}


def _say(best: str, rates: dict[str, float], *, again: bool = False) -> None:
    others = [f"{rate:,.0f} by {name}" for name, rate in rates.items() if name != best]
    why = "no other engine that can compute this model is installed"
    if others:
        why = f"{rates[best]:,.0f} tokens a second in a trial, {', '.join(others)}"
    tried = " (tried before)" if again and others else ""
    print(f"engine: {best}, {why}{tried}", file=sys.stderr, flush=True)


def _key(checkpoint: Checkpoint, settings: EngineSettings) -> str:
    """A hash of everything that decides which engine is the fastest."""
    versions = {"albertkit": __version__, **{name: _version(name) for name in _PACKAGES}}
    facts: list[Any] = [settings.device, settings.precision, threads_or_cpus(settings.threads)]
    facts += [sorted(plugins.names("engines")), versions, _processor(), os.cpu_count()]
    return digest_of(checkpoint, *facts)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _processor(file: Path = Path("/proc/cpuinfo")) -> str:
    """Name of the processor."""
    with suppress(OSError):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
