"""Plugins by name: `families/google_tf.py`, or a folder `families/google_tf/`, is the family
`google_tf`.

A plugin is one module or package. It is in a folder of this package; or in a folder of the same
name below one of those that the environment variable ALBERTKIT_PLUGINS lists (separated like PATH);
or an installed package names it as an entry point of the group `albertkit.families`. Names that
begin with `_` are not plugins. Listing names imports nothing; a plugin is imported when it is asked
for, and checked against the protocol of its kind.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from albertkit.errors import AlbertkitError, CheckpointError, listed

VARIABLE = "ALBERTKIT_PLUGINS"


@dataclass(frozen=True)
class Kind:
    """package: where our own plugins are. protocol: class in its `_protocol` that says what a
    plugin has: names with their types, and functions.
    """

    package: str
    protocol: str


KINDS = {
    "families": Kind("albertkit.checkpoint.families", "Family"),
    "benchmarks": Kind("albertkit.benchmarks", "Benchmark"),
    "engines": Kind("albertkit.infer.engines", "EngineKind"),
    "exporters": Kind("albertkit.exporters", "Exporter"),
}


def need_package(name: str, extra: str) -> ModuleType:
    """A package that only one plugin uses, imported now.

    Raises:
        AlbertkitError: it is not installed; `extra` is the extra of ours that brings it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        install = f'pip install "albertkit[{extra}]"'
        raise AlbertkitError(
            f"The package {name} is not installed, or cannot be imported.",
            expected=f"{name}, which the extra {extra!r} installs",
            found=f"{type(error).__name__}: {error}",
            fix=install,
        ) from error


def need_keras() -> ModuleType:
    """Keras 3.

    Raises:
        AlbertkitError: it is not installed, or it is Keras 2.
    """
    keras = need_package("keras", "tensorflow")
    if not hasattr(keras, "ops"):  # which came with 3
        upgrade = 'pip install --upgrade "albertkit[tensorflow]"'
        raise AlbertkitError(
            "The installed Keras is too old.",
            expected="Keras 3, which the extra 'tensorflow' installs",
            found=keras.__version__,
            fix=upgrade,
        )
    return keras


def place_of(path_or_name: str | Path) -> Path:
    """A path as it is; for the name of a model the folder it is in, downloaded if need be.

    For what a model is made of, which is below the models: the hub is found by its name.

    Raises:
        DownloadError: the model is not in the cache and cannot be fetched.
    """
    path = Path(path_or_name)
    if path.exists() or path.suffix:
        return path
    try:
        return Path(importlib.import_module("albertkit.hub").resolve(path_or_name))
    except CheckpointError:  # no name either: whoever opens it says what is missing
        return path


@dataclass(frozen=True)
class _Source:
    """Where a plugin comes from, not imported yet."""

    where: str
    module: Callable[[], Any]


def names(kind: str) -> list[str]:
    """Names of the plugins of a kind ("families"), ours first; none is imported.

    Raises:
        AlbertkitError: two plugins have one name, or a folder of ALBERTKIT_PLUGINS is missing.
    """
    return list(_sources(kind, os.environ.get(VARIABLE, "")))


def load(kind: str, name: str) -> ModuleType:
    """One plugin, imported now.

    Raises:
        AlbertkitError: there is none of this name; or one from outside the package cannot be
            imported, or lacks something that its protocol asks for.
    """
    return _load(kind, name, os.environ.get(VARIABLE, ""))


@cache
def _load(kind: str, name: str, places: str) -> ModuleType:
    sources = _sources(kind, places)
    if name not in sources:
        raise AlbertkitError(
            f"Unknown plugin among the {kind}.",
            expected=", ".join(sources),
            found=name,
            fix=f"name one of these, or put {name}.py into a folder that {VARIABLE} lists",
        )
    source = sources[name]
    module = source.module()
    missing = _missing(kind, module)
    if missing:
        raise AlbertkitError(
            f"The plugin {name!r} is incomplete.",
            expected=f"what {KINDS[kind].package}._protocol.{KINDS[kind].protocol} lists",
            found=f"no {listed(missing)}",
            where=source.where,
            fix=f"define {listed(missing)} in the plugin",
        )
    return module  # type: ignore[no-any-return]


def _missing(kind: str, module: ModuleType) -> list[str]:
    """What the protocol asks for and a module has not: "TITLE", "detect()"."""
    package = importlib.import_module(f"{KINDS[kind].package}._protocol")
    protocol = vars(getattr(package, KINDS[kind].protocol))
    values = [name for name in protocol.get("__annotations__", {}) if not hasattr(module, name)]
    functions = [name for name, value in protocol.items() if callable(value) and name[0] != "_"]
    return [*values, *(f"{n}()" for n in functions if not callable(getattr(module, n, None)))]


@cache
def _sources(kind: str, places: str) -> dict[str, _Source]:
    """Every plugin of a kind by its name."""
    package = importlib.import_module(KINDS[kind].package)
    found = {
        module.name: _ours(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
        if not module.name.startswith("_")
    }
    others = [
        (path.stem, _file(kind, path))
        for place in filter(None, places.split(os.pathsep))
        for path in _plugin_files(Path(place), kind)
    ]
    others += [(point.name, _installed(point)) for point in entry_points(group=f"albertkit.{kind}")]
    for name, source in others:
        if name in found:
            raise AlbertkitError(
                "Two plugins have one name.",
                expected="a name for each",
                found=f"{name} in {found[name].where}",
                where=source.where,
                fix="rename the plugin",
            )
        found[name] = source
    return found


def _plugin_files(place: Path, kind: str) -> list[Path]:
    """Modules and packages in the folder of a kind below a place of ALBERTKIT_PLUGINS."""
    if not place.is_dir():
        raise AlbertkitError(
            f"{VARIABLE} names a folder that is not there.",
            expected=f"folders, separated by {os.pathsep!r}",
            found=place,
            fix=f"correct or unset {VARIABLE}",
        )
    folder = place / kind
    packages = (path.parent for path in folder.glob("*/__init__.py"))
    plugins = [path for path in (*folder.glob("*.py"), *packages) if path.name[0] != "_"]
    return sorted(plugins)


def _ours(module: str) -> _Source:
    return _Source(module, lambda: importlib.import_module(module))


def _file(kind: str, path: Path) -> _Source:
    return _Source(str(path), lambda: _guarded(path, lambda: _import_file(kind, path)))


def _installed(point: EntryPoint) -> _Source:
    where = f"entry point {point.value}" + (f" of {point.dist.name}" if point.dist else "")
    return _Source(where, lambda: _guarded(where, point.load))


def _guarded(where: Path | str, load: Callable[[], Any]) -> Any:
    """Import code from outside the package, which may fail in any way."""
    try:
        return load()
    except Exception as error:
        raise AlbertkitError(
            "A plugin cannot be imported.",
            found=f"{type(error).__name__}: {error}",
            where=where,
            fix="correct the plugin, or remove it",
        ) from error


def _import_file(kind: str, path: Path) -> ModuleType:
    """Run a file, or the `__init__` of a folder, as a module of its own."""
    name = f"albertkit_plugins.{kind}.{path.stem}"
    folder = [str(path)] if path.is_dir() else None
    file = path / "__init__.py" if path.is_dir() else path
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folder)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
