"""The interop check: other programs open what albertkit writes, and give the same outputs.

    python tests/interop/run.py [STAGE ...]

Makes the environments and the cases, runs every stage, prints a table, and writes it to
build/interop.json. Ends with 1 if a stage differs, is left out, or has nothing to show.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cases import write_cases
from environments import (
    EXPORTER,
    HERE,
    ROOT,
    STAGES,
    InstallError,
    Stage,
    python_of,
    versions,
)
from random_models import PLANS

BUILD = ROOT / "build"
READ_SECONDS = 1800
CORES = len(os.sched_getaffinity(0))
LONGEST = ("keras", "engines")  # they start first, so that the last core does not run alone
QUIET = {
    "PYTHONWARNINGS": "ignore",
    "PYTHONNOUSERSITE": "1",
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "HF_HUB_OFFLINE": "1",  # everything is a local folder: a download would be a mistake
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
# Without the settings and fixtures of the other tests, which need other packages.
PYTEST = ("-q", "-rfE", "--noconftest", "-c", os.devnull, "-p", "no:cacheprovider")


@dataclass
class Result:
    """What came of one stage."""

    stage: str = ""  # and versions: set where the parts are joined
    versions: str = ""
    cases: int = 0
    largest: float = 0.0  # difference, over the largest expected value
    install_seconds: float | None = None  # None: the environment was there
    run_seconds: float = 0.0  # of all parts; they run side by side
    problems: list[str] = field(default_factory=list)


# A function that runs a python with these arguments and adds to a result what came of it.
Part = tuple[Callable[[list[str], Result], None], list[str]]


def parts(stage: Stage, folder: Path) -> Iterator[Part]:
    """What a stage runs: every reader over its cases of each kind, then every file of tests."""
    for script, kinds in stage.readers.items():
        for kind in kinds:
            yield run_reader, [str(HERE / script), str(folder / kind)]
    for name in stage.checks:
        yield run_tests, ["-m", "pytest", *PYTEST, str(HERE / name)]


def run_part(part: Part, made: Future[tuple[Path, float | None]]) -> Result:
    """Run one part of a stage as soon as its environment is there."""
    result = Result()
    run, words = part
    try:
        python, result.install_seconds = made.result()
    except InstallError as error:
        result.problems.append(f"install failed: {error}")
    else:
        started = time.monotonic()
        run([str(python), *words], result)
        result.run_seconds = time.monotonic() - started
    return result


def joined(stage: Stage, found: list[Result]) -> Result:
    """The parts of a stage as one result."""
    result = Result(
        stage.name,
        versions(stage),
        cases=sum(x.cases for x in found),
        largest=max(x.largest for x in found),
        install_seconds=found[0].install_seconds,
        run_seconds=sum(x.run_seconds for x in found),
        problems=list(dict.fromkeys(problem for x in found for problem in x.problems)),
    )
    if not result.cases:
        result.problems.append("no cases")
    return result


def run_reader(words: list[str], result: Result) -> None:
    """Run one script over one folder; each case must have its line."""
    what = f"{Path(words[1]).name} {Path(words[2]).name}"
    wanted = {path.parent.name for path in Path(words[2]).glob("*/expected.npz")}
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=READ_SECONDS,
            env={**os.environ, **QUIET},
        )
    except subprocess.TimeoutExpired:
        result.problems.append(f"{what}: no end after {READ_SECONDS} s")
        return
    lines = list(parsed(done.stdout))
    for line in lines:
        result.problems += [f"{what} {line['case']}: {problem}" for problem in line["problems"]]
        result.largest = max([result.largest, *line.get("differences", {}).values()])
    read = [line["case"] for line in lines]
    result.cases += len(read)
    if not wanted or sorted(read) != sorted(wanted):
        result.problems.append(f"{what}: {len(read)} cases read of {len(wanted)}")
    if done.returncode and not result.problems:
        result.problems.append(f"{what}: ended with {done.returncode}")
    if result.problems:
        print(done.stderr[-3000:], file=sys.stderr)


def run_tests(words: list[str], result: Result) -> None:
    """Run one file of tests in the environment; every test counts as a case."""
    path = os.pathsep.join(str(ROOT / place) for place in ("src", "tests/interop"))
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=READ_SECONDS,
            env={**os.environ, **QUIET, "PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired:
        result.problems.append(f"{Path(words[-1]).name}: no end after {READ_SECONDS} s")
        return
    passed = re.search(r"(\d+) passed", done.stdout)
    result.cases += int(passed[1]) if passed else 0
    if done.returncode:
        failed = re.findall(r"^(?:FAILED|ERROR) (.*)", done.stdout, re.MULTILINE)
        result.problems += failed or [f"{Path(words[-1]).name}: ended with {done.returncode}"]
        print(done.stdout[-6000:], done.stderr[-3000:], file=sys.stderr)


def parsed(text: str) -> Iterator[dict[str, Any]]:
    """The lines of a reader; other programs print things of their own between them."""
    for line in text.splitlines():
        if line.startswith('{"case":'):
            yield json.loads(line)


def run_all(stages: list[Stage], folder: Path) -> list[Result]:
    """Every stage: environments are made side by side, then a part runs on each core."""
    results = []
    with ThreadPoolExecutor(max_workers=3) as installing, ThreadPoolExecutor(CORES) as running:
        wanted = sorted(stages, key=lambda stage: stage.name not in LONGEST)
        if exported := any(stage.exports for stage in stages):
            wanted += [] if EXPORTER in wanted else [EXPORTER]
        made = {stage.name: installing.submit(python_of, stage) for stage in wanted}
        report = write_cases(folder, list(PLANS))
        for family, facts in report.items():
            print(
                f"{family}: {facts['cases']} cases; {len(facts['refused'])} golden checkpoints "
                "are models that it cannot be",
                flush=True,
            )
        if exported:
            write_exports(made[EXPORTER.name].result()[0], folder)
        running_parts = {
            stage.name: [
                running.submit(run_part, part, made[stage.name]) for part in parts(stage, folder)
            ]
            for stage in wanted
            if stage in stages
        }
        for stage in stages:
            result = joined(stage, [part.result() for part in running_parts[stage.name]])
            results.append(result)
            print(f"{stage.name}: {'differs' if result.problems else 'ok'}", flush=True)
    return results


def write_exports(python: Path, folder: Path) -> None:
    """The cases of the stages that open exported folders.

    Raises:
        SystemExit: it failed.
    """
    words = [str(python), str(HERE / "exported_cases.py"), str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **QUIET})
    if done.returncode:
        sys.exit(f"exported_cases.py ended with {done.returncode}: {done.stderr[-3000:]}")


def table(results: list[Result]) -> str:
    """One line a stage, for people."""
    rows = [("stage", "programs", "cases", "largest difference", "install s", "run s", "")]
    for x in results:
        install = "was there" if x.install_seconds is None else f"{x.install_seconds:.0f}"
        verdict = f"{len(x.problems)} problems" if x.problems else "ok"
        rows.append(
            (x.stage, x.versions, str(x.cases), f"{x.largest:.1e}", install)
            + (f"{x.run_seconds:.0f}", verdict)
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(lines)


def main(names: list[str]) -> int:
    """Run these stages, or all; 0 if every case of each is as it must be."""
    known = [stage.name for stage in STAGES]
    if set(names) - set(known):
        sys.exit(f"no such stage; there are {', '.join(known)}")
    stages = [stage for stage in STAGES if not names or stage.name in names]
    folder = BUILD / "interop"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    results = run_all(stages, folder)
    text = json.dumps([asdict(result) for result in results], indent=2) + "\n"
    (BUILD / "interop.json").write_text(text, encoding="utf-8")
    print(table(results))
    for result in results:
        for problem in result.problems[:20]:
            print(f"{result.stage}: {problem}")
    return int(any(result.problems for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
