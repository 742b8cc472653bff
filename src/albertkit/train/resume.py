"""Training states on disk: weights, moments, counters; whole or missing, checked when read.

    RUN/checkpoints/
      step-00002000/
        tensors.safetensors   model.<parameter>, mean.<parameter>, mean_square.<parameter>,
                              kept.<parameter> where the task keeps its best model
        state.json            step, and whatever else the task has to remember
        manifest.json         SHA-256 of both

Random numbers are functions of (seed, step), so none are stored.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from albertkit import settings
from albertkit.errors import OutputError, TrainingError, quoted
from albertkit.files import (
    atomic_folder,
    clear_leftovers,
    require_free,
    sha256_of,
    translate_os_errors,
)
from albertkit.train.optim import slots_of

RECIPE = "recipe.toml"
TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
_FORMAT = "albertkit-training-state 1"
_PREFIX = "step-"
_EFFECTIVE = os.access in os.supports_effective_ids
_OTHER_VERSION = (  # recipe and data are those of the state by then
    "go on with the version of albertkit that wrote it, or start the run again in another folder"
)


def start_run(folder: Path, recipe: Any, fill: Callable[[Path], None] | None = None) -> None:
    """Make the run folder, so that whoever finds one finds its recipe in it.

    `fill` puts more into it before it gets its name.
    """
    with atomic_folder(folder) as temporary:
        (temporary / "checkpoints").mkdir()
        settings.save(recipe, temporary / RECIPE)
        if fill is not None:
            fill(temporary)


def require_new(folder: Path, command: str = "pretrain") -> None:
    """Raise an OutputError unless the folder is free; one that holds a run can be gone on with.

    command: what goes on with it, the name of a command and of a function.
    """
    if (folder / RECIPE).is_file():
        again = folder / RECIPE
        raise OutputError(
            "There is a run in this folder already.",
            expected="a folder that is free",
            where=folder,
            fix=f'{command}("{again}", resume=True) goes on with it; or choose another folder',
            command_fix=f"albertkit {command} {quoted(again)} --resume goes on with it; or choose "
            "another folder",
        )
    require_free(folder)
    _require_writable(folder)


def _require_writable(folder: Path) -> None:
    """Refuse a place where no folder can be made, before the work is done."""
    with translate_os_errors(folder):
        place = Path(os.path.abspath(folder))
        nearest = next(path for path in (place, *place.parents) if path.exists())
        number = 0 if nearest.is_dir() else errno.ENOTDIR
        if not number and not os.access(nearest, os.W_OK | os.X_OK, effective_ids=_EFFECTIVE):
            number = errno.EACCES
        if number:
            raise OSError(number, os.strerror(number), str(nearest))


def stopped(command: str, folder: Path, step: int) -> str:
    """What a run says that a signal stopped: `command` is that of its task."""
    return (
        f"stopped by a signal after step {step:,}, its state is saved; to go on: "
        f"albertkit {command} {quoted(folder / RECIPE)} --resume"
    )


@contextmanager
def resumable(command: str, folder: Path) -> Iterator[None]:
    """Let what cannot be written say how the run goes on; `command` is that of its task."""
    try:
        yield
    except OutputError as error:
        again, fix = folder / RECIPE, error.facts["to do"]
        error.facts["to do"] = f'{fix}; then {command}("{again}", resume=True) goes on'
        error.command_fix = f"{fix}; then albertkit {command} {quoted(again)} --resume goes on"
        raise


def require_run(folder: Path) -> None:
    """Raise a TrainingError unless a run began in this folder."""
    if not (folder / RECIPE).is_file():
        raise TrainingError(
            "There is no run to resume.",
            expected=f"the folder of a run, with {RECIPE}",
            found=f"no {RECIPE} in it" if folder.is_dir() else "no such folder",
            where=folder,
            fix="start the run without resume=True",
            command_fix="start the run without --resume",
        )


def resume_run(
    folder: Path,
    identity: dict[str, str],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    may_change: Collection[str],
    kept: Mapping[str, Tensor] | None = None,
) -> dict[str, Any]:
    """Fill model and optimizer from the newest state; returns what it remembers.

    Empty when the run was killed before its first state: then it begins again. `may_change`: keys
    of the section run that may differ from those the run began with, for messages. kept: tensors
    of the task, which are filled too.
    """
    clear_leftovers(folder)
    newest = newest_state(folder / "checkpoints")
    if newest is None:
        return {}
    state = read_state(newest)
    _check_same(state["identity"], identity, folder, may_change)
    restore(newest, model, optimizer, kept)
    return state


def _check_same(
    saved: dict[str, str], now: dict[str, str], folder: Path, may_change: Collection[str]
) -> None:
    """Refuse to resume a run with another recipe or with other data."""
    keys = ", ".join(f"run.{key}" for key in sorted(may_change))
    for what, fix in (
        ("recipe", f"take {folder / RECIPE}; only {keys} may change"),
        ("data", "give data.path the data folder that the run began with"),
    ):
        if saved.get(what) != now[what]:
            raise TrainingError(
                f"This run began with another {what}, and cannot go on with this one.",
                expected=f"{what} {str(saved.get(what))[:16]}",
                found=f"{what} {now[what][:16]}",
                where=folder,
                fix=fix,
            )


def save_state(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    *,
    keep: int,
    kept: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write the state after `step` steps, then remove all but the newest `keep` states.

    `state` must be JSON; floats come back bit by bit. kept: tensors of the task. Raises
    OutputError.
    """
    target = folder / f"{_PREFIX}{step:08d}"
    with atomic_folder(target, replace=True) as temporary:
        tensors = tensors_of_training(model, optimizer, kept)
        safetensors.torch.save_file(tensors, temporary / TENSORS)
        text = json.dumps({"format": _FORMAT, "step": step, **state}, indent=1)
        (temporary / STATE).write_text(text, encoding="utf-8")
        hashes = {name: sha256_of(temporary / name) for name in (TENSORS, STATE)}
        (temporary / MANIFEST).write_text(json.dumps(hashes, indent=1), encoding="utf-8")
    for old in saved_states(folder)[: -max(1, keep)]:
        shutil.rmtree(old)
    return target


def saved_states(folder: Path) -> list[Path]:
    """Folders of complete states, the oldest first."""
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if path.is_dir())


def newest_state(folder: Path) -> Path | None:
    """Folder of the newest state, None before the first; removes what a kill left half-written."""
    clear_leftovers(folder)
    return saved_states(folder)[-1] if saved_states(folder) else None


def read_state(path: Path) -> dict[str, Any]:
    """Check a state against its manifest and return what state.json says.

    A damaged state is a TrainingError that names the one before it: going back to that one is a
    decision of the user, who removes the damaged folder.
    """
    try:
        hashes = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        for name in (TENSORS, STATE):
            found = sha256_of(path / name)
            if found != hashes[name]:
                raise _damaged(path, f"{name} with another SHA-256 than {MANIFEST} says")
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, TrainingError):
            raise
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if state.get("format") != _FORMAT:
        raise _damaged(path, f"format {state.get('format')!r}, not {_FORMAT!r}")
    return dict(state)


def restore(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    kept: Mapping[str, Tensor] | None = None,
) -> None:
    """Fill weights, moments and the task's tensors from a state that `read_state` has checked."""
    try:
        tensors = safetensors.torch.load_file(path / TENSORS)
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error
    places = tensors_of_training(model, optimizer, kept)
    if tensors.keys() != places.keys():
        names = sorted(tensors.keys() ^ places.keys())
        raise TrainingError(
            "The training state is of another model or optimizer.",
            expected=f"{len(places)} tensors",
            found=f"{len(tensors)}; not in both: {', '.join(names[:4])}",
            where=path,
            fix=_OTHER_VERSION,
        )
    with torch.no_grad():
        for name, place in places.items():
            if place.shape != tensors[name].shape:
                raise TrainingError(
                    f"The training state holds '{name}' in another shape.",
                    expected=tuple(place.shape),
                    found=tuple(tensors[name].shape),
                    where=path,
                    fix=_OTHER_VERSION,
                )
            place.copy_(tensors[name])


def tensors_of_training(
    model: nn.Module, optimizer: torch.optim.Optimizer, kept: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Every tensor of a training state by name; not copied."""
    weights = {f"model.{name}": p.detach() for name, p in model.named_parameters()}
    others = {f"kept.{name}": tensor for name, tensor in (kept or {}).items()}
    return weights | slots_of(optimizer, model.named_parameters()) | others


def _damaged(path: Path, found: str) -> TrainingError:
    before = [state for state in saved_states(path.parent) if state.name < path.name]
    fix = "there is no earlier state: start the run again in another folder"
    command_fix = None
    if before:
        remove, goes_on = f"rm -r {quoted(path)}; then", f"goes on from {before[-1].name}"
        fix, command_fix = f"{remove} resume=True {goes_on}", f"{remove} --resume {goes_on}"
    return TrainingError(
        "The newest training state is damaged.",
        expected=f"the files that {MANIFEST} describes",
        found=found,
        where=path,
        fix=fix,
        command_fix=command_fix,
    )
