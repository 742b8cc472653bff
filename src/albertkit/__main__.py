"""`python -m albertkit` is the same as `albertkit`."""

import signal
import sys

# Until `main` can say that it was interrupted, Ctrl-C ends the program without a traceback.
# Where it is ignored, as in a shell's background jobs, it stays so.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from albertkit.cli import main  # noqa: E402

sys.exit(main())
