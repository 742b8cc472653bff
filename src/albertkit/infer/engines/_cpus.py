"""How many threads an engine takes if nothing is said."""

from __future__ import annotations

import math
import os
from pathlib import Path

# What a container may use: "200000 100000" are two CPUs. Version 2 of cgroups, then version 1.
_CGROUP = Path("/sys/fs/cgroup")
_QUOTAS = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))


def threads_or_cpus(threads: int | None) -> int:
    """The threads that were asked for, or the CPUs that this process may use."""
    return threads if threads is not None else min(_of_affinity(), _of_quota())


def _of_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _of_quota() -> int:
    """CPUs that the container may use; very many where there is no limit."""
    for names in _QUOTAS:
        try:
            texts = [(_CGROUP / name).read_text(encoding="ascii") for name in names]
            quota, period = " ".join(texts).split()
            if int(quota) > 0:  # -1: no limit
                return max(1, math.ceil(int(quota) / int(period)))
        except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max 100000"
            continue
    return 1 << 16
