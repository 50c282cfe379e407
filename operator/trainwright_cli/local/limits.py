"""What a container leaves of this machine: its limits of CPU and memory, by both generations of cgroups.

Asked by `devices`. The trainer reads them too, but may not be installed where a command is only checked.
"""

import math
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_NO_LIMIT = ("max", "-1")


def read_memory_limit_bytes(root: Path = ROOT) -> float:
    """Return the container's memory; infinity without a limit."""
    found = (_read(root / name) for name in ("memory.max", "memory/memory.limit_in_bytes"))
    return min((numbers[0] for numbers in found if numbers), default=math.inf)


def read_cpu_limit(root: Path = ROOT) -> float:
    """Return how many CPUs' time the container has; infinity without a limit."""
    first = [
        *_read(root / "cpu" / "cpu.cfs_quota_us"),
        *_read(root / "cpu" / "cpu.cfs_period_us"),
    ]
    quotas = [numbers for numbers in (_read(root / "cpu.max"), first) if len(numbers) == 2]
    return min((quota / period for quota, period in quotas), default=math.inf)


def _read(path: Path) -> list[float]:
    """Return the numbers of a file; none if it is not there."""
    try:
        words = path.read_text().split()
        return [math.inf if word in _NO_LIMIT else float(word) for word in words]
    except (OSError, ValueError):
        return []
