"""Coverage-guided fuzzing of one parser: python tests/fuzz/fuzz.py PARSER SECONDS

`make fuzz` runs all of them (run.py). Needs the extra `fuzz` (atheris). What it finds is written to
tests/fuzz/findings/PARSER/ and from then on replayed by tests/fuzz/test_findings.py.
"""

from __future__ import annotations

import contextlib
import resource
import shutil
import sys
from importlib import import_module
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["albertkit", "tarfile", "zipfile"]):
    from targets import FOLDER, TARGETS

    from albertkit import plugins
    from albertkit.errors import AlbertkitError

    # What is imported later, when a parser runs, would not guide the fuzzer.
    for module in sorted({name for target in TARGETS.values() for name in target.modules}):
        import_module(f"albertkit.{module}")
    for family in plugins.names("families"):
        plugins.load("families", family)

FINDINGS = Path(__file__).resolve().parent / "findings"
LARGEST = 65_536
MEGABYTES = 2048  # resident; and so much more than at the start may be asked for at once
SECONDS_A_CASE = 10  # by the clock, under instrumentation and beside others; really some 2 s


def main() -> None:
    """Fuzz until the time is over; the exit code is not 0 if something was found."""
    if len(sys.argv) != 3 or sys.argv[1] not in TARGETS:
        sys.exit(f"{__doc__}\nPARSER is one of: {', '.join(TARGETS)}")
    name, seconds = sys.argv[1:]
    target = TARGETS[name]
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    found = FINDINGS / name
    for path in found.glob("*"):
        shutil.copy(path, corpus)
    found.mkdir(parents=True, exist_ok=True)
    words = FOLDER / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (MEGABYTES << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def once(data: bytes) -> None:
        with contextlib.suppress(AlbertkitError):
            target.parse(data)

    def changed(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if target.mutate is not None and random.random() < 0.5:
            made = target.mutate(data, random)
            if made is not None and len(made) <= max_size:
                return made
        return bytes(atheris.Mutate(data, max_size))

    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LARGEST}",
        f"-timeout={SECONDS_A_CASE}",
        f"-rss_limit_mb={MEGABYTES}",
        "-reduce_inputs=0",  # what a library in C++ or Rust does with a file is not counted, so
        "-keep_seed=1",  # the whole of each seed stays, though a smaller one covers as much
        f"-artifact_prefix={found}/",
        *([f"-dict={words}"] if target.words else []),
        "-print_final_stats=1",
        "-close_fd_mask=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], once, custom_mutator=changed)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    """Bytes as libFuzzer's dictionaries write them."""
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
