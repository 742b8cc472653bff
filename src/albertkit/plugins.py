"""Plugins by file name: `families/uer.py` is the family `uer`.

A plugin is one Python file in a folder of this package, or in a folder of the same name below one
of those that the environment variable ALBERTKIT_PLUGINS lists (separated like PATH).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from albertkit.errors import AlbertkitError

VARIABLE = "ALBERTKIT_PLUGINS"
PACKAGES = {"families": "albertkit.checkpoint.families"}


def load(kind: str) -> dict[str, ModuleType]:
    """Every plugin of a kind ("families") by name, ours first, then by file name.

    Raises:
        AlbertkitError: a plugin has the name of another, or a folder of ALBERTKIT_PLUGINS is none.
    """
    return dict(_load(kind, os.environ.get(VARIABLE, "")))


@cache
def _load(kind: str, places: str) -> dict[str, ModuleType]:
    package = importlib.import_module(PACKAGES[kind])
    found = {
        module.name: importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
        if not module.name.startswith("_")
    }
    for place in filter(None, places.split(os.pathsep)):
        if not Path(place).is_dir():
            raise AlbertkitError(
                f"{VARIABLE} names a folder that is not there.",
                expected=f"folders, separated by {os.pathsep!r}",
                found=place,
                fix=f"correct or unset {VARIABLE}",
            )
        for path in sorted(Path(place, kind).glob("*.py")):
            if path.stem in found:
                raise AlbertkitError(
                    "Two plugins have one name.",
                    expected="names of their own",
                    found=path.stem,
                    where=path,
                    fix="rename the file",
                )
            found[path.stem] = _import_file(kind, path)
    return found


def _import_file(kind: str, path: Path) -> ModuleType:
    name = f"albertkit_plugins.{kind}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
