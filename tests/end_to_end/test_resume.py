"""Killed at random moments and resumed, a run ends with the same weights, bit by bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "kill_resume.py"


def test_killed_and_resumed_runs_have_the_weights_and_losses_of_an_uninterrupted_one() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", "2", "--steps", "24", "--seed", "5"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "2/2"
