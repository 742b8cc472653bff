"""Pages of the documentation do what they say: their code runs, and prints what they show.

After a change that is meant, such as new weights: python tests/end_to_end/pages.py
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from pages import FEW, PAGES, ROOT, Runner, blocks_of, make_demo, outputs, same, tidy

from albertkit.cli import main
from albertkit.cli.app import app
from albertkit.cli.demo_reviews import EXAMPLES, TRAIN

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def after_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `make demo` leaves it, after two steps."""
    folder = tmp_path_factory.mktemp("clone")
    make_demo(folder)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_is_what_its_code_prints(page: Path, after_demo: Path) -> None:
    text = page.read_text(encoding="utf-8")
    shown = 0
    for block, printed in outputs(page, after_demo):
        if block.output is not None:
            shown += 1
            page_shows = text[slice(*block.output)]
            assert same(page_shows, tidy(printed)), f"{page.name}, line {block.line}: {printed}"
    assert shown


def test_every_command_of_the_table_can_be_typed_as_it_stands(
    after_demo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\| [^|]+ \| `albertkit ([^`]+)` \|$", page, re.MULTILINE)
    assert len(commands) > 12
    monkeypatch.chdir(after_demo)
    for command in commands:
        name, *arguments = shlex.split(command)
        few = FEW if name in ("demo", "pretrain") and "--resume" not in arguments else []
        few = ["--set", "schedule.steps=2"] if name == "finetune" else few
        # Two steps miss the goal of the demo from nothing, and teach a new model nothing.
        wanted = {"demo": {0, 1}, "pretrain": {0, 3}, "finetune": {0, 3}}.get(name, {0})
        assert main([name, *arguments, *few]) in wanted, f"{command}: {capsys.readouterr().err}"


def test_the_page_of_the_python_api(tmp_path: Path) -> None:
    prose = "\n\n".join(page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md")))
    (tmp_path / "text.txt").write_text(prose, encoding="utf-8")
    runner = Runner(tmp_path)
    printed = ""
    for block in blocks_of((DOCS / "python.md").read_text(encoding="utf-8")):
        printed += runner.run(block, DOCS / "python.md")
    names = runner.names
    assert getattr(names["vectors"], "shape", None) == (2, 128)
    assert getattr(names["done"], "lost", None) == []
    assert "longer than" in printed


def test_the_page_on_fine_tuning(
    after_demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Everything is run as it stands but for the number of steps and their size; of the last part,
    on runs that do not learn, the options are parsed below."""
    text, _ = (DOCS / "fine-tune.md").read_text(encoding="utf-8").split("## When it does not")
    text = text.replace("epochs=10", 'set={"schedule.steps": 2}')
    (tmp_path / "demo-run").symlink_to(after_demo / "demo-run")
    monkeypatch.chdir(tmp_path)
    few = ["--set", "schedule.steps=2", "--set", "schedule.batch_size=8"]
    names: dict[str, Any] = {"__name__": "page"}
    commands = 0
    for block in blocks_of(text):
        if block.language == "python":
            exec(block.code, names)
            continue
        for line in block.code.replace("\\\n", " ").splitlines():
            program, name, *arguments = shlex.split(line, comments=True)
            assert program == "albertkit"
            # Two steps teach little: that is found, and the exit code says it.
            more = few if name == "finetune" and "--resume" not in arguments else []
            wanted = {0, 3} if name == "finetune" else {0}
            assert main([name, *arguments, *more]) in wanted, f"{line}: {capsys.readouterr().err}"
            commands += 1
    assert commands > 10
    assert names["found"].figures["count"] == 80


def test_files_on_the_page_on_fine_tuning_begin_as_shown() -> None:
    text = (DOCS / "fine-tune.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```text\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    files = [(EXAMPLES / name).read_text(encoding="utf-8") for name in (TRAIN, "names-en.txt")]
    assert [file[: len(part)] for file, part in zip(files, shown, strict=True)] == shown


@pytest.mark.parametrize("page", ["pretrain-your-own.md", "fine-tune.md"])
def test_commands_of_a_page_have_the_options_they_are_given(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    assert len(lines) > 8
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[0] == "albertkit"
        app.parse_args(words[1:], exit_on_error=False, print_error=False)
