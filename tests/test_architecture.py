"""The laws of the layout: who may import whom, where frameworks appear, how long things are."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "albertkit"

# Each line may import from itself and from the lines below it.
LAYERS = [
    {"cli", "demo", "__main__"},
    {"infer", "train", "convert", "inspection", "families", "hub"},
    {"model", "data", "formats"},
    {"text", "checkpoint", "model_card", "info"},
    {
        "config",
        "mapped",
        "spellings",
        "sizes",
        "tensors",
        "tensor_names",
        "recipe",
        "rules",
        "task_head",
        "head_spellings",
        "plugins",
    },
    {"errors", "files"},
]
FRAMEWORKS = {"torch": {"model", "train", "infer"}, "transformers": set(), "tensorflow": set()}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """First name below the package: a folder, or a module without its suffix."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(tree: ast.AST) -> set[str]:
    """Every module a file imports, also inside functions."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def line_of(part: str) -> int:
    return next(number for number, line in enumerate(LAYERS) if part in line)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_back(path: Path) -> None:
    if path.name == "__init__.py" and path.parent == PACKAGE:
        return  # the public door: names of every layer, loaded lazily
    own = line_of(part_of(path))
    for name in imported_names(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] == "albertkit" and parts[1:] and parts[1] != "__version__":
            assert line_of(parts[1]) >= own, f"{path.name} imports {name} from a layer above"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_frameworks_stay_at_the_edge(path: Path) -> None:
    for name in imported_names(ast.parse(path.read_text())):
        allowed = FRAMEWORKS.get(name.split(".")[0])
        assert allowed is None or part_of(path) in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_hold_one_idea(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_FILE_LINES, "does this file hold two ideas?"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_names_have_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "the module says what it is"
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name
