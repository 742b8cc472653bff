"""Coverage-guided fuzzing of one parser: python tests/fuzz/fuzz.py PARSER SECONDS

Needs the extra `fuzz` (atheris). What it finds is written to tests/fuzz/findings/PARSER/ and from
then on replayed by tests/fuzz/test_findings.py.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["albertkit"]):
    import albertkit.config
    import albertkit.convert
    import albertkit.families
    import albertkit.tensors  # noqa: F401
    from albertkit import plugins
    from albertkit.errors import AlbertkitError

    plugins.load("families")
import contextlib

from targets import FOLDER, TARGETS

FINDINGS = Path(__file__).resolve().parent / "findings"
LARGEST = 65_536
MEGABYTES = 2048


def main() -> None:
    """Fuzz until the time is over; the exit code is not 0 if something was found."""
    if len(sys.argv) != 3 or sys.argv[1] not in TARGETS:
        sys.exit(f"{__doc__}\nPARSER is one of: {', '.join(TARGETS)}")
    name, seconds = sys.argv[1:]
    target = TARGETS[name]
    corpus = Path(tempfile.mkdtemp(prefix=f"albertkit-corpus-{name}-"))
    for number, seed in enumerate(target.seed_bytes()):
        (corpus / f"seed-{number}").write_bytes(seed)
    found = FINDINGS / name
    found.mkdir(parents=True, exist_ok=True)

    def once(data: bytes) -> None:
        with contextlib.suppress(AlbertkitError):
            target.parse(data)

    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LARGEST}",
        "-timeout=10",
        f"-rss_limit_mb={MEGABYTES}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
        "-close_fd_mask=0",
    ]
    try:
        atheris.Setup([sys.argv[0], *options, str(corpus)], once)
        atheris.Fuzz()
    finally:
        shutil.rmtree(corpus, ignore_errors=True)
        shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    main()
