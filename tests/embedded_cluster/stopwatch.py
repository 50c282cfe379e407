"""Elapsed time without what other work on the machine has taken from it.

A bar holds for a machine that does nothing else. What others compute meanwhile delays us by at most
their CPU time over the number of cores, so that much is taken off; on an idle machine it is nothing.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from tests.cluster.processes import find_marked
from tests.cluster.spec import Layout

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Stopwatch:
    """Starts when made; `name` is the cluster whose processes count as ours."""

    def __init__(self, name: str) -> None:
        self._mark = Layout(name).mark
        self._started = self._read()

    def seconds(self) -> float:
        """Seconds since the start, less the delay by others."""
        elapsed, busy, own = (
            now - then for now, then in zip(self._read(), self._started, strict=True)
        )
        return elapsed - max(0.0, busy - own) / (os.cpu_count() or 1)

    def _read(self) -> tuple[float, float, float]:
        own = sum(os.times()[:4]) + sum(map(_cpu_seconds, find_marked(self._mark)))
        return time.monotonic(), _busy_seconds(), own


def _busy_seconds() -> float:
    fields = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_SECOND


def _cpu_seconds(pid: int) -> float:
    with suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # User and system time, of the process and of its children that have ended.
        return sum(map(int, fields[11:15])) / _TICKS_PER_SECOND
    return 0.0
