"""docs/words.md is the law: users meet the field's words, never those it rules out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from albertkit.cli import main
from albertkit.cli.app import EXAMPLES

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "albertkit"
WORDS = (ROOT / "docs" / "words.md").read_text(encoding="utf-8")


def ruled_out() -> list[str]:
    """The words of the second table of docs/words.md."""
    table = WORDS.partition("## Not these words")[2]
    return re.findall(r"^\| ([^|-]+?) \| [^|]+ \|$", table, re.MULTILINE)[1:]


def messages() -> Iterator[tuple[str, str]]:
    """Every text that an error of ours is made with, and where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or not ast.unparse(call.func).endswith("Error"):
                continue
            for part in ast.walk(call):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield f"{path.relative_to(PACKAGE)}:{part.lineno}", part.value


MESSAGES = list(messages())


def found_in(text: str, words: list[str]) -> list[str]:
    """Those of the words that stand in a text, as whole words."""
    return [w for w in words if re.search(rf"\b{re.escape(w)}\b", text, re.IGNORECASE)]


def test_the_list_is_read() -> None:
    assert len(ruled_out()) > 10
    assert len(MESSAGES) > 500
    assert found_in("It is told by nobody.", ["told", "nobody", "spelled"]) == ["told", "nobody"]


def test_no_error_uses_them() -> None:
    words = ruled_out()
    assert [(where, w, text) for where, text in MESSAGES for w in found_in(text, words)] == []


@pytest.mark.parametrize("command", [None, *(e.split()[1] for e in EXAMPLES.values())])
def test_no_help_uses_them(command: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*([command] if command else []), "--help"]) == 0
    assert found_in(capsys.readouterr().out, ruled_out()) == []
