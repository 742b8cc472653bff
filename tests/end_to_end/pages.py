"""Pages that are run: their `python` and `sh` blocks, and the `text` block behind one, its output.

    python tests/end_to_end/pages.py        # write the outputs anew, for example for new weights

Standard output and standard error stand together, as on a terminal of 80 columns.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from albertkit.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "getting-started.md")
# So that a run takes seconds; what pages show does not depend on it.
FEW = ["--set", "stages.0.steps=2", "--set", "stages.0.warmup_steps=1"]
FEW += ["--set", "run.validation_rows=16"]
_BLOCK = re.compile(r"^```(python|sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


@dataclass
class Block:
    """Code of a page; output: the span of the `text` block right behind it, where there is one."""

    language: str
    code: str
    line: int  # in the page, of the code's first line
    output: tuple[int, int] | None = None


def blocks_of(text: str) -> list[Block]:
    """The blocks of a page that are run, in order."""
    blocks: list[Block] = []
    end = 0
    for found in _BLOCK.finditer(text):
        if found[1] != "text":
            blocks.append(Block(found[1], found[2], text.count("\n", 0, found.start(2))))
        elif blocks and not text[end : found.start()].strip():
            blocks[-1].output = found.span(2)
        end = found.end()
    return blocks


def make_demo(folder: Path) -> None:
    """Leave in a folder what `make demo` leaves, after two steps: pages begin there."""
    few = [*FEW, "--set", "schedule.steps=2"]
    assert main(["demo", "--out", str(folder / "demo-run"), *few]) in (0, 1)


class Runner:
    """Runs blocks in one folder: shell commands with `albertkit` at hand, Python with its names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tools = folder / ".bin"
        tools.mkdir(exist_ok=True)
        command = tools / "albertkit"
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m albertkit "$@"\n')
        command.chmod(0o755)
        paths = [str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]
        self.env = {**os.environ, "PATH": os.pathsep.join(paths), "COLUMNS": "80"}
        self.names: dict[str, object] = {"__name__": "page"}

    def run(self, block: Block, page: Path) -> str:
        """What a block prints; an error names the page and its line."""
        if block.language == "python":
            said = io.StringIO()
            code = compile("\n" * block.line + block.code, str(page), "exec")
            with (
                contextlib.chdir(self.folder),
                contextlib.redirect_stdout(said),
                contextlib.redirect_stderr(said),
            ):
                exec(code, self.names)
            return said.getvalue()
        done = subprocess.run(
            ["bash", "-e", "-c", block.code],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{page.name}, line {block.line + 1}: {done.stdout}"
        return done.stdout


def outputs(page: Path, folder: Path) -> Iterator[tuple[Block, str]]:
    """Every block of a page with what it prints, one after the other in a folder."""
    runner = Runner(folder)
    for block in blocks_of(page.read_text(encoding="utf-8")):
        yield block, runner.run(block, page)


def tidy(output: str) -> str:
    """Output as a page shows it: without blank lines around it and blanks at the ends of lines."""
    lines = [line.rstrip() for line in output.splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


def same(shown: str, printed: str) -> bool:
    """Whether outputs are equal but for the last digits of numbers."""
    if _NUMBER.sub("0", shown) != _NUMBER.sub("0", printed):
        return False
    pairs = zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True)
    return all(abs(float(a) - float(b)) <= 0.02 * max(1.0, abs(float(a))) for a, b in pairs)


def write_outputs(page: Path) -> None:
    """Put what the blocks print into a page."""
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        make_demo(Path(folder))
        for block, printed in reversed(list(outputs(page, Path(folder)))):
            if block.output is not None:
                begin, end = block.output
                text = text[:begin] + tidy(printed) + text[end:]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for path in PAGES:
        write_outputs(path)
