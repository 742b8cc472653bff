"""The laws of the layout: who may import whom, where frameworks appear, how long things are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "albertkit"

# The order of data. A part imports from itself and from the parts before it, never from one behind.
ORDER = [
    "errors",
    "files",
    "progress",
    "plugins",
    "config",
    "settings",
    "text",
    "data",
    "tasks",
    "parameters",
    "sizes",
    "hub",
    "checkpoint.formats",
    "checkpoint.finite",
    "checkpoint.mapping",
    "checkpoint.hf_names",
    "checkpoint.early_exit",
    "checkpoint.families",
    "checkpoint.words",
    "checkpoint.checkpoint",
    "checkpoint.new_head",
    "checkpoint",
    "model",
    "graph",
    "train",
    "keras",
    "infer",
    "conversion",
    "benchmarks",
    "exporters",
    "serve",
    "cli",
    "__main__",
]
# A tokenizer opens itself: `Tokenizer.load` is a factory on the base class of what it makes.
CIRCLES = [{"text.tokenizer", "text.tokenizer_json", "text.unigram", "text.wordpiece"}]
FRAMEWORKS = {
    "torch": {"model", "train", "infer"},
    "transformers": set(),
    # Asked for by name (`plugins.need_package`), so that nothing imports them.
    **dict.fromkeys(("onnx", "onnxruntime", "openvino", "nncf"), set()),
    "tensorflow": {"model", "train", "infer", "exporters"},
    "keras": {"model", "train"},
}
# In infer/ the engines alone: what asks, decodes and batches runs on any of them.
WITHOUT_TORCH = (
    "predictor",
    "engine",
    "batches",
    "fill_mask",
    "tasks",
    "reading",
    "answers",
    "texts",
)
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_ROOT_FILES = 12

FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    """Dotted name below the package; a folder's `__init__` is the folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_of(path): path for path in FILES}


@cache
def tree_of(path: Path) -> ast.Module:
    """What a file says; each is parsed once for all laws."""
    return ast.parse(path.read_text(encoding="utf-8"))


def part_of(module: str) -> str:
    """The entry of ORDER that a module belongs to: its first two names, or its first."""
    two = ".".join(module.split(".")[:2])
    return two if two in ORDER else module.split(".")[0]


def imported_names(tree: ast.AST, *, typing: bool = True) -> set[str]:
    """Every module a file imports, also inside functions; typing: also those for types alone."""
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in for_types and not typing:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imports_of(module: str) -> set[str]:
    """Modules of ours that a module needs to run."""
    found = set()
    for name in imported_names(tree_of(MODULES[module]), typing=False):
        inner = name.removeprefix("albertkit.")
        if inner != name:
            found.add(inner if inner in MODULES else inner.rpartition(".")[0])
    return (found & set(MODULES)) - {module}


# The public door has names of every part, loaded lazily.
IMPORTS = {module: imports_of(module) for module in MODULES if module != "__init__"}


@pytest.mark.parametrize("module", IMPORTS)
def test_imports_point_back(module: str) -> None:
    own = ORDER.index(part_of(module))
    ahead = {name for name in IMPORTS[module] if ORDER.index(part_of(name)) > own}
    assert not ahead, "it imports what comes behind it"


def test_no_circles() -> None:
    """Modules that reach each other; all but the one that has its reason."""

    def reach(module: str) -> set[str]:
        seen: set[str] = set()
        waiting = [module]
        while waiting:
            for name in IMPORTS.get(waiting.pop(), set()) - seen:
                seen.add(name)
                waiting.append(name)
        return seen

    reached = {module: reach(module) for module in IMPORTS}
    circles = {
        frozenset(other for other in reached[module] if module in reached.get(other, set()))
        for module in IMPORTS
    }
    assert {x for x in circles if x} == {frozenset(x) for x in CIRCLES}


def test_containers_know_bytes_only() -> None:
    for module in IMPORTS:
        if module.startswith("checkpoint.formats"):
            parts = {part_of(name) for name in IMPORTS[module]}
            assert parts <= {"errors", "files", "checkpoint.formats"}, module


def test_the_root_can_be_named_by_heart() -> None:
    assert len(list(PACKAGE.glob("[!_]*.py"))) <= MAX_ROOT_FILES


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_frameworks_stay_at_the_edge(path: Path) -> None:
    for name in imported_names(tree_of(path)):
        allowed = FRAMEWORKS.get(name.split(".")[0])
        assert allowed is None or part_of(module_of(path)) in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_questions_are_asked_without_torch(name: str) -> None:
    tree = tree_of(PACKAGE / "infer" / f"{name}.py")
    imported = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    for node in imported:
        names = (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [n.name for n in node.names]
        )
        for found in names:
            assert found.split(".")[0] != "torch"
            assert not found.startswith(("albertkit.model", "albertkit.infer.torch_engine"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_hold_one_idea(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_FILE_LINES, "does this file hold two ideas?"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_names_have_docstrings(path: Path) -> None:
    tree = tree_of(path)
    assert ast.get_docstring(tree), "the module says what it is"
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


def test_files_that_docstrings_and_comments_name_exist() -> None:
    folders = "|".join(sorted({path.parent.name for path in FILES} - {"albertkit"}))
    missing = []
    for path in FILES:
        for name in re.findall(rf"\b(?:{folders})/[\w/]+\.py\b", path.read_text(encoding="utf-8")):
            outside = "/src/" in name or name.startswith("uer/")  # of other programs
            if not outside and not any(str(file).endswith(f"/{name}") for file in FILES):
                missing.append(f"{path.relative_to(PACKAGE)}: {name}")
    assert missing == []
