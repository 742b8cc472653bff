"""Pages of the documentation do what they say: their Python runs, line by line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from albertkit.cli.app import app

DOCS = Path(__file__).resolve().parents[2] / "docs"


def run_page(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Run the Python blocks of a page, one after the other, in a folder; the names they made.

    An error names the page and its line.
    """
    monkeypatch.chdir(folder)
    text = page.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": page.stem}
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    assert blocks, f"{page.name} has no Python"
    for block in blocks:
        before = text.count("\n", 0, block.start(1))
        exec(compile("\n" * before + block[1], str(page), "exec"), names)
    return names


def test_the_page_of_the_python_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prose = "\n\n".join(page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md")))
    (tmp_path / "text.txt").write_text(prose, encoding="utf-8")
    names = run_page(DOCS / "python.md", tmp_path, monkeypatch)
    assert getattr(names["vectors"], "shape", None) == (2, 128)
    assert getattr(names["done"], "lost", None) == []
    assert "longer than" in capsys.readouterr().out


@pytest.mark.parametrize("page", ["pretrain-your-own.md"])
def test_commands_of_a_page_have_the_options_they_are_given(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    assert len(lines) > 8
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[0] == "albertkit"
        app.parse_args(words[1:], exit_on_error=False, print_error=False)
