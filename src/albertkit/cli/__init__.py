"""The command line: `albertkit COMMAND`. Its functions read arguments, call the package, print."""

import gc
import signal
import sys
import threading
from collections.abc import Sequence

__all__ = ["main"]

# New objects after which Python looks for garbage, instead of 700. Modules are not garbage: with
# 700 a fifth of a start goes by looking through them. Training makes none, at either number.
_OBJECTS = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code (see `albertkit.cli.app`).

    Ctrl-C raises KeyboardInterrupt, which is answered, only while the command runs: before, when
    modules are imported, and after, when Python ends, it would show a traceback.
    """
    if arguments is None:  # the process is ours
        gc.set_threshold(_OBJECTS)
    before = signal.getsignal(signal.SIGINT)
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or before not in (signal.default_int_handler, signal.SIG_DFL):
        from albertkit.cli.app import main as run

        return run(arguments)
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        from albertkit.cli.app import main as run

        signal.signal(signal.SIGINT, signal.default_int_handler)
        return run(arguments)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if arguments is None else before)
