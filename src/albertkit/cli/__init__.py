"""The command line: `albertkit COMMAND`. Its functions read arguments, call the package, print."""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code (see `albertkit.cli.app`)."""
    try:
        from albertkit.cli.app import main as run
    except KeyboardInterrupt:  # before there is anything that could be interrupted
        print("error: interrupted", file=sys.stderr)
        return 130
    return run(arguments)
