"""docs/words.md is the law: users meet the field's words, never those it rules out."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from albertkit import errors, settings
from albertkit.cli import main
from albertkit.cli.app import EXAMPLES, app
from albertkit.train.finetune_recipe import FinetuneRecipe
from albertkit.train.recipe import PretrainingRecipe

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "albertkit"
WORDS = (ROOT / "docs" / "words.md").read_text(encoding="utf-8")
# Functions whose texts people read, besides errors.
SHOWN = ("print", "log", "print_table", "add_column", "assemble", "announce", "append")
COMMANDS = [e.split()[1] for e in EXAMPLES.values()]


def ruled_out() -> list[str]:
    """The words of the second table of docs/words.md."""
    table = WORDS.partition("## Not these words")[2]
    rows: list[str] = re.findall(r"^\| ([^|-]+?) \| [^|]+ \|$", table, re.MULTILINE)[1:]
    return [word for row in rows for word in row.split(", ")]


def calls() -> Iterator[tuple[Path, ast.Call]]:
    """Every call in the package, and its file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path.relative_to(PACKAGE), node


def texts_in(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines and texts of the string constants of an expression."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.lineno, part.value


def shown_texts(*, errors: bool) -> Iterator[tuple[str, str]]:
    """Every text that an error of ours is made with, or that is printed, and where it stands."""
    for path, call in calls():
        name = ast.unparse(call.func).rpartition(".")[2]
        if name.endswith(("Error", "Missing")) if errors else name in SHOWN:
            yield from ((f"{path}:{line}", text) for line, text in texts_in(call))


def keys_of_answers() -> Iterator[tuple[str, str]]:
    """Keys of the dicts that commands print and that reports are made of."""
    for path, call in calls():
        if ast.unparse(call.func) in ("print_json", "json.dumps"):
            yield from ((f"{path}:{n}", key) for n, key in keys_in(call))
    for path in ("cli/facts.py", "cli/models.py", "conversion.py", "train/pretrain.py"):
        tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
        yield from ((f"{path}:{line}", key) for line, key in keys_in(tree))
    tree = ast.parse((PACKAGE / "infer" / "answers.py").read_text(encoding="utf-8"))
    yield from ((f"infer/answers.py:{line}", key) for line, key in keys_in(tree))


def keys_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines and text keys of the dicts of a syntax tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key in node.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.lineno, key.value


def option_names() -> Iterator[tuple[str, str]]:
    """Every command with each name of each of its options."""
    for command in COMMANDS:
        for argument in app[command].assemble_argument_collection():
            yield from ((command, name) for name in argument.names)


def found_in(text: str, words: list[str]) -> list[str]:
    """Those of the words that stand in a text, as whole words; "there is no" is fine."""
    text = re.sub(r"[_-]", " ", text).replace("micro batch", "")
    return [w for w in words if re.search(rf"(?<!there )\b{re.escape(w)}\b", text, re.IGNORECASE)]


def offences(texts: Iterator[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Place, word and text, for each word that is ruled out."""
    words = ruled_out()
    return [(place, w, text) for place, text in texts for w in found_in(text, words)]


def test_the_list_is_read() -> None:
    assert len(ruled_out()) > 30
    assert len(list(shown_texts(errors=True))) > 1000
    assert len(list(shown_texts(errors=False))) > 100
    assert len({key for _, key in keys_of_answers()}) > 60
    assert len(set(option_names())) > 100
    assert found_in("It is told by nobody.", ["told", "nobody", "spelled"]) == ["told", "nobody"]
    assert found_in("is_told", ["told"]) == ["told"]


@pytest.mark.parametrize("errors", [True, False])
def test_no_message_uses_them(errors: bool) -> None:
    assert offences(shown_texts(errors=errors)) == []


def test_no_option_key_or_recipe_uses_them() -> None:
    assert offences(option_names()) == []
    assert offences(keys_of_answers()) == []
    for kind in (PretrainingRecipe, FinetuneRecipe):
        recipe = ((key.name, f"{key.name} {key.help}") for key in settings.keys(kind))
        assert offences(recipe) == []


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_no_help_uses_them(command: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*([command] if command else []), "--help"]) == 0
    assert found_in(capsys.readouterr().out, ruled_out()) == []


# What an error says to do: Python for readers in Python, commands at the command line.
OURS = re.compile(rf"(^|[ (])--[a-z]|\balbertkit ({'|'.join(COMMANDS)})\b")
NO_COMMAND = ("model/", "text/transformers_calls.py")  # which commands do not use
PYTHON = re.compile(r"\b[a-z_]+=[\"'A-Z{]|Overrides\(|True\b|\(offline=")


def fixes() -> Iterator[tuple[str, str, str | None]]:
    """Place, `fix` and `command_fix` of each error outside the command line."""
    for path, call in calls():
        given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        if "fix" in given and path.parts[0] != "cli":
            command = given.get("command_fix")
            yield (
                f"{path}:{call.lineno}",
                "".join(text for _, text in texts_in(given["fix"])),
                None if command is None else "".join(text for _, text in texts_in(command)),
            )


# Errors that are made without `fix=`, each with the reason.
FIX_ELSEWHERE = {"cli/options.py: super": "with_model completes the command that was typed"}


def without_fix() -> Iterator[str]:
    """File and class of each error of ours that is made without `fix=`; `**NAME` may hold it."""
    kinds = {
        n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, ValueError)
    }
    for path, call in calls():
        name = ast.unparse(call.func).removesuffix("().__init__").rpartition(".")[2]
        given = {keyword.arg for keyword in call.keywords}
        if name not in kinds and not (name == "super" and "expected" in given):
            continue
        if None in given:
            module = importlib.import_module("albertkit." + ".".join(path.with_suffix("").parts))
            for keyword in call.keywords:
                given |= set() if keyword.arg else set(vars(module)[ast.unparse(keyword.value)])
        if "fix" not in given:
            yield f"{path}: {name}"


def test_every_error_says_what_to_do() -> None:
    assert set(without_fix()) == set(FIX_ELSEWHERE)


def test_what_to_do_can_be_typed_where_the_reader_is() -> None:
    found = list(fixes())
    assert len(found) > 200
    assert [x for x in found if OURS.search(x[1])] == [], "a command for a reader in Python"
    assert [x for x in found if PYTHON.search(x[2] or "")] == [], "Python at the command line"
    only = [x for x in found if x[2] is None and PYTHON.search(x[1])]
    reached = [x for x in only if not x[0].startswith(NO_COMMAND) and "from_tf" not in x[1]]
    assert reached == [], "nothing to do at the command line"
