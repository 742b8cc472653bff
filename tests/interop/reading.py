"""What every reader script shares: the cases of a folder, and one JSON line about each.

NumPy alone, since it runs in the environments of the other programs.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass
class Case:
    """One checkpoint that albertkit wrote, and what it must give; see cases.py."""

    folder: Path
    facts: dict[str, Any]
    inputs: Arrays
    expected: Arrays

    @property
    def checkpoint(self) -> Path:
        """Folder that the other program is to open."""
        return self.folder / "checkpoint"

    def rows(self, name: str) -> np.ndarray:
        """An input as (B, T), also for multiple choice."""
        x = self.inputs[name]
        return x.reshape(-1, x.shape[-1])

    def differences(self, found: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Largest difference of each output over the largest expected value.

        That value counts as 1 at least, except where all values are small on purpose. Positions
        of padding are left out. A wrong shape or a number that is none differs without bound.
        """
        real = self.rows("attention_mask").astype(bool)
        result = {}
        for name, theirs in found.items():
            ours = self.expected[name]
            if ours.shape != theirs.shape or not np.isfinite(theirs).all():
                result[name] = float("inf")
                continue
            if ours.shape[:2] == real.shape:
                ours, theirs = ours[real], theirs[real]
            largest = float(np.abs(ours).max())
            scale = largest if self.facts["relative"] else max(1.0, largest)
            result[name] = float(np.abs(ours.astype(np.float64) - theirs).max()) / scale
        return result


@dataclass
class Answer:
    """What a program gave for a case: outputs by name, those it cannot give with the reason."""

    found: Mapping[str, np.ndarray]
    left_out: Mapping[str, str]
    problems: list[str]


def open_case(folder: Path) -> Case:
    """The files of a case, except the checkpoint."""
    facts = json.loads((folder / "case.json").read_text("utf-8"))
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "expected.npz") as expected:
        return Case(folder, facts, dict(inputs), dict(expected))


def judge(case: Case, answer: Answer) -> dict[str, Any]:
    """One JSON object: differences, problems, what was left out and why."""
    problems = list(answer.problems)
    for name in case.expected:
        if name not in answer.found and name not in answer.left_out:
            problems.append(f"{name}: not compared")
    problems += [
        f"{name}: nothing to compare with" for name in answer.found if name not in case.expected
    ]
    known = {name: x for name, x in answer.found.items() if name in case.expected}
    differences = case.differences(known)
    for name, value in differences.items():
        if not value <= case.facts["tolerance"]:
            problems.append(f"{name} differs by {value:.1e}")
    return {
        "case": case.folder.name,
        "problems": problems,
        "differences": differences,
        "left_out": dict(answer.left_out),
    }


def main(read: Callable[[Case], Answer]) -> int:
    """Read every case of the folder that the command names; 0 if all are as expected."""
    folders = sorted(path.parent for path in Path(sys.argv[1]).glob("*/case.json"))
    failed = not folders
    for folder in folders:
        try:
            line = judge(case := open_case(folder), read(case))
        except Exception as error:  # whatever the other program raises is a finding
            traceback.print_exc()
            problems = [f"{type(error).__name__}: {str(error)[:500]}"]
            line = {"case": folder.name, "problems": problems, "differences": {}}
        failed = failed or bool(line["problems"])
        print(json.dumps(line), flush=True)
    return int(failed)
