"""Starting, watching and ending real processes."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import packages
from tests.cluster.errors import ComponentDiedError, NotReadyError
from tests.cluster.processes import (
    Process,
    find_marked,
    kill_all,
    read_start_time,
    start_process,
    wait_until,
)
from tests.cluster.status import _read_memory_mib

DEADLINE = 10


@pytest.fixture
def mark() -> Iterator[str]:
    mark = f"TRAINWRIGHT_TEST_MARK={uuid.uuid4()}"
    yield mark
    kill_all(lambda: find_marked(mark))


def start(mark: str, folder: Path, script: str) -> Process:
    return start_process("part", ["sh", "-c", script], folder / "part.log", mark)


def test_process_that_ends_is_named_with_the_end_of_its_log(mark: str, tmp_path: Path) -> None:
    process = start(mark, tmp_path, "seq 1 100; echo unknown flag >&2; exit 3")
    with pytest.raises(ComponentDiedError) as caught:
        wait_until("never", lambda: False, DEADLINE, [process])
    said = str(caught.value)
    assert said.startswith("part ended by itself")
    assert said.endswith("\n100\nunknown flag")
    assert "\n50\n" not in said


def test_what_a_component_writes_can_be_read_by_pods_whatever_the_persons_umask(
    mark: str, tmp_path: Path
) -> None:
    before = os.umask(0o077)
    try:
        process = start(mark, tmp_path, "umask")
    finally:
        os.umask(before)
    wait_until("it has ended", lambda: not process.is_alive(), DEADLINE)
    assert process.log_tail() == "0022"


def test_process_that_ended_before_it_was_looked_at_is_not_alive(tmp_path: Path) -> None:
    assert not Process("part", 2**22 + 1, read_start_time(2**22 + 1), str(tmp_path)).is_alive()


def test_process_that_ends_while_it_is_described_takes_no_memory() -> None:
    assert _read_memory_mib(os.getpid()) > 1
    assert _read_memory_mib(2**22 + 1) == 0


def test_condition_that_stays_false_is_named_with_the_deadline(mark: str, tmp_path: Path) -> None:
    process = start(mark, tmp_path, "echo busy; exec sleep 60")
    wait_until("it has said so", lambda: "busy" in process.log_tail(), DEADLINE)
    with pytest.raises(NotReadyError, match=r"node is Ready: not so after 0.1 s\n--- part\nbusy"):
        wait_until("node is Ready", lambda: False, 0.1, [process])


def test_condition_that_comes_true_gives_its_value() -> None:
    answers = iter([None, 0, "yes"])
    assert wait_until("it is so", lambda: next(answers), DEADLINE) == "yes"


def test_marked_processes_and_their_children_are_killed(mark: str, tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 60 & sleep 60 & wait"
    process = start(mark, tmp_path, script)
    wait_until("the children run", lambda: len(find_marked(mark)) == 3, DEADLINE)
    kill_all(lambda: find_marked(mark))
    assert find_marked(mark) == {}
    assert not process.is_alive()


def test_first_child_is_killed_by_no_other_program(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(mark, tmp_path, "sleep 60; echo ended with $?")
    wait_until("the child runs", process.first_child, DEADLINE)
    monkeypatch.setattr(subprocess, "run", None)  # `kill` is a program of a package of its own
    process.kill_first_child()
    wait_until("it has ended", lambda: not process.is_alive(), DEADLINE)
    assert "ended with 137" in process.log_tail()
    process.kill_first_child()


def test_mark_is_a_whole_entry_of_the_environment(mark: str, tmp_path: Path) -> None:
    start(f"{mark}-longer", tmp_path, "exec sleep 60")
    assert find_marked(mark) == {}
    kill_all(lambda: find_marked(f"{mark}-longer"))


def test_pid_used_again_is_another_process(mark: str, tmp_path: Path) -> None:
    process = start(mark, tmp_path, "exec sleep 60")
    impostor = Process("part", process.pid, process.start_time - 1, process.log)
    assert process.is_alive()
    assert not impostor.is_alive()
    impostor.kill()
    assert process.is_alive()


def test_ended_process_that_nobody_waited_for_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        wait_until("it is a zombie", lambda: read_start_time(child.pid) == 0, DEADLINE)


def test_missing_programs_are_named_by_package(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"coreutils": "ls", "no-such-package": "no-such-program", "file": "/no/such/file"}
    monkeypatch.setattr(packages, "PROGRAM_OF_PACKAGE", there)
    assert packages.find_missing_packages() == ["no-such-package", "file"]
