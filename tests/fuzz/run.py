"""Fuzz every parser, two at a time: python tests/fuzz/run.py [--seconds 600] [PARSER ...]

Prints a table and writes build/fuzz.json; the exit code is 1 if anything was found, or if a parser
did not run. `make fuzz SECONDS=30 TARGETS="pickles hdf5"` calls this.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from targets import SCRATCH, TARGETS

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "fuzz"
TOGETHER = 2
LAST_LINES, LONGEST_SHOWN = 40, 6000  # lines of a log and bytes of an input that are printed
SPARE_SECONDS = 120  # for the start, the instrumentation and the last input


@dataclass
class Result:
    """What one parser's run gave. coverage: parts of the code reached, at first and at the end."""

    target: str
    seconds: float
    executions: int
    coverage: tuple[int, int]
    corpus: int
    findings: list[str]
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether it ran and found nothing."""
        return self.executions > 0 and not self.findings and not self.problem


def fuzz(name: str, seconds: int) -> Result:
    """Run one parser in a process of its own; its output goes to build/fuzz/NAME.log."""
    stored = HERE / "findings" / name
    before = {path.name for path in stored.glob("*")}
    log = BUILD / f"{name}.log"
    command = [sys.executable, str(HERE / "fuzz.py"), name, str(seconds)]
    started, problem = time.monotonic(), ""
    with (
        tempfile.TemporaryDirectory("-albertkit-fuzz", dir=SCRATCH) as folder,
        log.open("wb") as out,
    ):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "FUZZ_FOLDER": folder}
        try:
            done = subprocess.run(
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                timeout=seconds + SPARE_SECONDS,
            )
            problem = f"exit code {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired:
            problem = "did not end"
    text = log.read_text(encoding="utf-8", errors="replace")
    reached = [int(number) for number in re.findall(r"\bcov: (\d+)", text)]
    units = re.findall(r"stat::number_of_executed_units:\s+(\d+)", text)
    corpus = re.findall(r"\bcorp: (\d+)/", text)
    return Result(
        target=name,
        seconds=round(time.monotonic() - started, 1),
        executions=int(units[-1]) if units else 0,
        coverage=(reached[0], reached[-1]) if reached else (0, 0),
        corpus=int(corpus[-1]) if corpus else 0,
        findings=sorted({path.name for path in stored.glob("*")} - before),
        problem=problem,
    )


def _what_was_found(result: Result) -> str:
    """The end of a parser's log, and the inputs: elsewhere the output may be all that is kept."""
    log = (BUILD / f"{result.target}.log").read_text(encoding="utf-8", errors="replace")
    parts = [f"\nbuild/fuzz/{result.target}.log ends with:", *log.splitlines()[-LAST_LINES:]]
    for name in result.findings:
        data = zlib.compress((HERE / "findings" / result.target / name).read_bytes(), 9)
        parts.append(f"{name}, zlib in base64: {base64.b64encode(data[:LONGEST_SHOWN]).decode()}")
    return "\n".join(parts)


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="time for each parser")
    parser.add_argument("targets", nargs="*", metavar="PARSER", help=", ".join(TARGETS))
    arguments = parser.parse_args()
    unknown = [name for name in arguments.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no such parser: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    BUILD.mkdir(parents=True, exist_ok=True)
    names = arguments.targets or list(TARGETS)
    results = []
    print(f"{'parser':20}{'seconds':>8}{'inputs':>10}{'coverage':>14}{'corpus':>8}  found")
    with ThreadPoolExecutor(TOGETHER) as pool:
        for result in pool.map(lambda name: fuzz(name, arguments.seconds), names):
            results.append(result)
            reached = f"{result.coverage[0]} -> {result.coverage[1]}"
            found = ", ".join(result.findings) or result.problem or "nothing"
            print(
                f"{result.target:20}{result.seconds:8}{result.executions:10}{reached:>14}"
                f"{result.corpus:8}  {found}",
                flush=True,
            )
    report = {"parsers": list(TARGETS), "results": [asdict(result) for result in results]}
    BUILD.with_suffix(".json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    bad = [result.target for result in results if not result.good]
    for result in results:
        if not result.good:
            print(_what_was_found(result))
    if bad:
        print(f"\nnot clean: {', '.join(bad)}; see build/fuzz/PARSER.log and tests/fuzz/findings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
