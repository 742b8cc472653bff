"""Benchmarks by name: their data sets, scores, published results and hyper-parameters.

A file of this folder is a suite of data sets (`_protocol.py` says what it has); names that begin
with `_` are not suites.
"""

from __future__ import annotations

import difflib
import re
from types import ModuleType

from albertkit import plugins
from albertkit.benchmarks._protocol import DataSet
from albertkit.errors import AlbertkitError, listed


def suite_names() -> list[str]:
    """Names of the suites ("glue", "clue", ...)."""
    return plugins.names("benchmarks")


def load_suite(name: str) -> ModuleType:
    """One suite, a module with TITLE and SETS.

    Raises:
        AlbertkitError: there is none of this name.
    """
    return plugins.load("benchmarks", name)


def find_sets(name: str) -> list[DataSet]:
    """The data sets of a suite, or the one data set of this name in any suite.

    Raises:
        AlbertkitError: a name that no suite and no data set has.
    """
    if name in suite_names():
        return list(load_suite(name).SETS)
    every = [x for suite in suite_names() for x in load_suite(suite).SETS]
    found = [x for x in every if _bare(x.name) == _bare(name)]
    if not found:
        names = [x.name for x in every]
        near = difflib.get_close_matches(name.lower(), names, n=3)
        raise AlbertkitError(
            "Unknown benchmark.",
            expected=f"a suite ({', '.join(suite_names())}) or a data set ({listed(names, 60)})",
            found=name,
            fix=f"did you mean {' or '.join(near)}?" if near else "give one of these names",
        )
    return found[:1]


def _bare(name: str) -> str:
    """A name without capitals, hyphens and the like: SST2 and sst-2 are the same."""
    return re.sub(r"[-_ ]", "", name.lower())
