"""How many threads an engine takes if nothing is said."""

from __future__ import annotations

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: "200000 100000" are two CPUs


def threads_or_cpus(threads: int | None) -> int:
    """The threads that were asked for, or the CPUs that this process may use."""
    return threads if threads is not None else min(_of_affinity(), _of_quota(_QUOTA))


def _of_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _of_quota(file: Path) -> int:
    """CPUs that the container may use; very many where there is no limit."""
    try:
        quota, period = file.read_text(encoding="ascii").split()
        return max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max 100000"
        return 1 << 16
