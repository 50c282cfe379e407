"""What starts the trainer for its tests: groups of ranks may begin at the same time."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cluster.processes import read_start_time, wait_until
from tests.trainer import ranks
from tools.machine import PROJECT

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.trainer import ranks
from tests.trainer.run_builder import build_run

ranks.sys.executable = sys.argv[1]
print(ranks.launch(build_run(), Path(sys.argv[2])).process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_launched_ends_with_tests_that_are_killed(tmp_path: Path) -> None:
    trainer = tmp_path / "trainer"
    trainer.write_text("#!/bin/sh\nexec sleep 60\n")
    trainer.chmod(0o755)
    command = [sys.executable, "-c", KILLED, str(trainer), str(tmp_path / "pod")]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_until("it has ended", lambda: read_start_time(int(done.stdout)) == 0, 10)


def test_workers_that_are_started_at_once_leave_the_environment_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[str] = []
    both_began, first_ended = threading.Event(), threading.Event()

    def start_server() -> None:
        """The first one's start lasts until the second begins, and ends before it; if it may begin."""
        began.append(os.environ["LOCAL_SIZE"])
        if len(began) == 1:
            both_began.wait(0.1)
        else:
            both_began.set()
            first_ended.wait(10)

    def fork() -> None:
        ranks.fork_worker("module", [], {}, tmp_path / "log")
        first_ended.set()

    worker = SimpleNamespace(start=lambda: None)
    context = SimpleNamespace(set_forkserver_preload=list, Process=lambda **_: worker)
    monkeypatch.setattr(ranks, "get_context", lambda _: context)
    monkeypatch.setattr(ranks.forkserver, "ensure_running", start_server)
    before = dict(os.environ)
    threads = [threading.Thread(target=fork) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert began == ["1", "1"]
    assert dict(os.environ) == before
