"""Limits are read from both generations of control groups."""

import os
from pathlib import Path

import pytest
from trainwright_trainer.cgroups import (
    available_cores,
    read_cpu_quota,
    read_memory_limit,
    read_oom_kills,
)

SECOND = {
    "cpu.max": "150000 100000\n",
    "memory.max": "2147483648\n",
    "memory.events": "low 0\noom 2\noom_kill 1\n",
}
FIRST = {
    "cpu/cpu.cfs_quota_us": "150000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "memory/memory.limit_in_bytes": "2147483648\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
}
UNLIMITED = [
    {"cpu.max": "max 100000\n", "memory.max": "max\n"},
    {
        "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
    },
    {},
]


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.mark.parametrize("files", [SECOND, FIRST], ids=["v2", "v1"])
def test_limits_are_read(tmp_path: Path, files: dict[str, str]) -> None:
    root = write(tmp_path, files)
    assert read_cpu_quota(root) == 1.5
    assert read_memory_limit(root) == 2 * 2**30
    assert read_oom_kills(root) == 1
    assert available_cores(root) == min(2, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("files", UNLIMITED, ids=["v2", "v1", "none"])
def test_without_a_limit_there_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    root = write(tmp_path, files)
    assert read_cpu_quota(root) is None
    assert read_memory_limit(root) is None
    assert read_oom_kills(root) == 0
    assert available_cores(root) == len(os.sched_getaffinity(0))
