"""The command line: `albertkit COMMAND`. Its functions read arguments, call the package, print."""

from albertkit.cli.app import main

__all__ = ["main"]
