"""What the container's control group says: limits of CPU and memory, and kills for memory.

Both generations of control groups are read; outside a container there is no limit to find.
"""

import contextlib
import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_NO_LIMIT_BYTES = 2**60  # the first generation writes "no limit" as a huge number


def available_cores(root: Path = _ROOT) -> int:
    """Return the cores this process may use: affinity, bounded by the CPU quota; at least 1."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, round(quota) if (quota := read_cpu_quota(root)) else cores))


def read_cpu_quota(root: Path = _ROOT) -> float | None:
    """Return the CPU limit of the container in cores, or None."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (root / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    for folder in (root / "cpu", root / "cpu,cpuacct"):
        with contextlib.suppress(OSError, ValueError):
            microseconds = int((folder / "cpu.cfs_quota_us").read_text())
            period_microseconds = int((folder / "cpu.cfs_period_us").read_text())
            return microseconds / period_microseconds if microseconds > 0 else None
    return None


def read_memory_limit(root: Path = _ROOT) -> int | None:
    """Return the container's memory limit in bytes, or None."""
    for path in (root / "memory.max", root / "memory" / "memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limit = int(path.read_text())
            return limit if limit < _NO_LIMIT_BYTES else None
    return None


def read_oom_kills(root: Path = _ROOT) -> int:
    """Return how many processes of this container the kernel has killed for memory."""
    for path in (root / "memory.events", root / "memory" / "memory.oom_control"):
        with contextlib.suppress(OSError):
            for line in path.read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0
