"""The stopwatch of the cluster's bars: what takes off, and what does not."""

import os
from dataclasses import dataclass, field

import pytest

from tests.cluster.processes import find_marked, kill_all, start_process, wait_until
from tests.cluster.spec import Layout
from tests.embedded_cluster import stopwatch
from tests.embedded_cluster.stopwatch import Stopwatch, Usage


@dataclass
class PlayedMachine:
    """Two cores; what each process has used, and what the machine was busy for (seconds)."""

    clock: float = 0.0
    busy: float = 0.0
    processes: dict[tuple[int, int], Usage] = field(default_factory=dict)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> PlayedMachine:
    machine = PlayedMachine()
    monkeypatch.setattr(stopwatch.time, "monotonic", lambda: machine.clock)
    monkeypatch.setattr(stopwatch.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(stopwatch.os, "times", lambda: (0, 0, 0, 0, 0))
    monkeypatch.setattr(stopwatch, "_busy_seconds", lambda: machine.busy)
    monkeypatch.setattr(stopwatch, "find_marked", lambda mark: dict(machine.processes.keys()))
    monkeypatch.setattr(stopwatch, "_read_usage", lambda *key: machine.processes.get(key))
    return machine


def test_work_of_others_is_taken_off_by_core(machine: PlayedMachine) -> None:
    watch = Stopwatch("x")
    machine.clock, machine.busy = 10, 8
    assert watch.seconds() == 6


def test_own_work_is_not_taken_off(machine: PlayedMachine) -> None:
    machine.processes = {(1, 1): Usage(5, is_child=False)}
    watch = Stopwatch("x")
    machine.clock, machine.busy = 10, 8
    machine.processes = {(1, 1): Usage(13, is_child=False)}
    assert watch.seconds() == 10


def test_what_a_dead_process_has_used_is_no_work_of_others(machine: PlayedMachine) -> None:
    machine.processes = {(1, 1): Usage(100, is_child=False), (2, 2): Usage(1, is_child=False)}
    watch = Stopwatch("x")
    machine.clock, machine.busy = 3, 1
    machine.processes = {(2, 2): Usage(2, is_child=False)}
    assert watch.seconds() == 3


def test_a_child_that_was_waited_for_is_counted_once(
    machine: PlayedMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.processes = {(1, 1): Usage(100, is_child=True)}
    watch = Stopwatch("x")
    machine.clock, machine.busy, machine.processes = 3, 4, {}
    monkeypatch.setattr(stopwatch.os, "times", lambda: (0, 0, 100, 0, 0))
    assert watch.seconds() == 1


def test_more_work_of_others_than_there_can_be_is_an_error(machine: PlayedMachine) -> None:
    watch = Stopwatch("x")
    machine.clock, machine.busy = 1, 3
    with pytest.raises(AssertionError, match=r"others cannot compute 3\.00 s in 1\.00 s"):
        watch.seconds()


def test_usage_of_a_real_process_is_read_until_it_is_waited_for() -> None:
    mark = Layout(f"stopwatch-{os.getpid()}").mark
    script = "while :; do :; done"  # on a fast machine, too, until its time is seen
    process = start_process("part", ["sh", "-c", script], stopwatch.Path(os.devnull), mark)
    key = (process.pid, process.start_time)

    def usage() -> Usage:
        found = stopwatch._read_usage(*key)
        assert found
        return found

    try:
        wait_until("it has computed", lambda: usage().seconds > 0, 10)
        assert usage().is_child
    finally:
        kill_all(lambda: find_marked(mark))
    assert stopwatch._read_usage(*key) is None
