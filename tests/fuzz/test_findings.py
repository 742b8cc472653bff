"""What the fuzzers found stays found: every stored input, and every seed, through its parser."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from targets import TARGETS

from albertkit.errors import AlbertkitError

FINDINGS = Path(__file__).resolve().parent / "findings"


@pytest.mark.parametrize("name", TARGETS)
def test_stored_findings_are_refused_or_read(name: str) -> None:
    target = TARGETS[name]
    stored = [path.read_bytes() for path in sorted((FINDINGS / name).glob("*"))]
    for data in [*stored, b"", b"\0" * 64, *target.seeds()]:
        with contextlib.suppress(AlbertkitError):  # anything else is a finding
            target.parse(data)
