"""Elapsed time without what other work on the machine has taken from it.

A bar holds for a machine that does nothing else. What others compute meanwhile delays us by at most
their CPU time over the number of cores, so that much is taken off; on an idle machine it is nothing.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.processes import find_marked
from tests.cluster.spec import Layout

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """A process's CPU time with that of its ended children, and whether it is a child of this one."""

    seconds: float
    is_child: bool


class Stopwatch:
    """Starts when made; `name` is the cluster whose processes count as ours."""

    def __init__(self, name: str) -> None:
        self._mark = Layout(name).mark
        self._seen: dict[tuple[int, int], Usage] = {}
        self._started = self._read()

    def seconds(self) -> float:
        """Seconds since the start, less the delay by others."""
        elapsed, busy, own = (
            now - then for now, then in zip(self._read(), self._started, strict=True)
        )
        seconds = elapsed - max(0.0, busy - own) / (os.cpu_count() or 1)
        assert seconds >= 0, f"others cannot compute {busy - own:.2f} s in {elapsed:.2f} s"
        return seconds

    def _read(self) -> tuple[float, float, float]:
        for key in self._seen.keys() | find_marked(self._mark).items():
            self._look_at(key)
        own = sum(os.times()[:4]) + sum(usage.seconds for usage in self._seen.values())
        return time.monotonic(), _busy_seconds(), own

    def _look_at(self, key: tuple[int, int]) -> None:
        usage = _read_usage(*key)
        if usage:
            self._seen[key] = usage
        elif key in self._seen and self._seen[key].is_child:
            del self._seen[key]  # waited for: from now on our own times hold it
        # Of any other dead one, what was seen last still counts: it was computed for us.


def _busy_seconds() -> float:
    fields = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_SECOND


def _read_usage(pid: int, start_time: int) -> Usage | None:
    """Of a process that is there, also as a zombie; None if it is gone or another has its pid."""
    with suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if int(fields[19]) == start_time:
            # User and system time, of the process and of its children that have ended.
            seconds = sum(map(int, fields[11:15])) / _TICKS_PER_SECOND
            return Usage(seconds, int(fields[1]) == os.getpid())
    return None
