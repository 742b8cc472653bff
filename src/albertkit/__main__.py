"""`python -m albertkit` is the same as `albertkit`."""

import sys

from albertkit.cli import main

sys.exit(main())
