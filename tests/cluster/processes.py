"""Starting, watching and ending the cluster's processes.

A process is known by its pid *and* its start time, since pids are used again. Each carries a mark
in its environment, by which all of a cluster's processes are found without any file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.cluster.errors import ComponentDiedError, NotReadyError
from tools.debian import SYSTEM_PATH

LOG_TAIL_LINES = 25
POLL_SECONDS = 0.05
# Go collects garbage once a heap has grown by so much; at 100, its own default, that is a good part of what
# an API server does while it starts, for memory that this machine has.
GO_GARBAGE_PERCENT = "400"
# Whatever that of the person is: a pod's user reads what kubelet and containerd write for it, such as its
# own root and /etc/resolv.conf.
UMASK = 0o022


@dataclass(frozen=True)
class Process:
    """A running component."""

    name: str
    pid: int
    start_time: int
    log: str

    def is_alive(self) -> bool:
        """Whether this very process still runs (one that has ended unreaped does not)."""
        _reap(self.pid)
        # 0: it had ended before its start time was read.
        return self.start_time != 0 and read_start_time(self.pid) == self.start_time

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The end of its log."""
        text = Path(self.log).read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def describe_end(self) -> str:
        """Where its log is and how it ends, for a message that tells of its death."""
        return f"the end of {self.log}:\n{self.log_tail()}"

    def kill(self) -> None:
        """End it at once, if it is still this process."""
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def kill_first_child(self) -> None:
        """End the process that this one has started and waits for, if there is one."""
        pid = self.first_child()
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def first_child(self) -> int:
        """The pid of its first child, as the host counts; 0 if it has none."""
        with suppress(FileNotFoundError, ProcessLookupError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return int(children[0]) if children else 0
        return 0


def start_process(
    name: str,
    command: Sequence[str | Path],
    log: Path,
    mark: str,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Process:
    """Start a component that outlives its starter, its output going to `log`."""
    key, _, value = mark.partition("=")
    with log.open("ab") as output:
        started = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={
                "PATH": SYSTEM_PATH,
                "HOME": "/root",
                "GOGC": GO_GARBAGE_PERCENT,
                key: value,
                **(environment or {}),
            },
            start_new_session=True,
            pass_fds=pass_fds,
            umask=UMASK,
        )
    # Its life is watched by pid and start time: the object would only warn that it still runs.
    started.returncode = 0
    return Process(name, started.pid, read_start_time(started.pid), str(log))


def run_tool(command: Sequence[str | Path], stdin: IO[bytes] | None = None) -> str:
    """Run a short command and return its output; raises ClusterError with what it said."""
    done = subprocess.run(
        [str(part) for part in command],
        stdin=stdin or subprocess.DEVNULL,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}"},
        capture_output=True,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace")[-2000:]
        raise NotReadyError(f"{' '.join(map(str, command))} ended with {done.returncode}: {said}")
    return done.stdout.decode()


def wait_until(
    what: str,
    condition: Callable[[], Any],
    deadline_seconds: float,
    watched: Iterable[Process] = (),
) -> Any:
    """Poll until `condition` returns something true, and return that.

    Raises ComponentDiedError as soon as one of the watched processes ends, NotReadyError after
    the deadline.
    """
    watched = list(watched)
    end = time.monotonic() + deadline_seconds
    while True:
        result = condition()
        if result:
            return result
        check_alive(watched)
        if time.monotonic() > end:
            logs = "".join(f"\n--- {process.name}\n{process.log_tail(8)}" for process in watched)
            raise NotReadyError(f"{what}: not so after {deadline_seconds:g} s{logs}")
        time.sleep(POLL_SECONDS)


def check_alive(processes: Iterable[Process]) -> None:
    """Raise ComponentDiedError for the first that has ended."""
    for process in processes:
        if not process.is_alive():
            raise ComponentDiedError(f"{process.name} ended by itself; {process.describe_end()}")


def read_start_time(pid: int) -> int:
    """When the process began, in clock ticks since boot; 0 if there is none or it is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The name in parentheses may hold spaces and parentheses itself.
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def find_marked(mark: str) -> dict[int, int]:
    """Pid and start time of every process whose environment holds the mark."""
    wanted = mark.encode()
    return _scan(lambda folder: wanted in (folder / "environ").read_bytes().split(b"\0"))


def find_in_netns(netns: Path) -> dict[int, int]:
    """Pid and start time of every process inside the network namespace."""
    if not netns.exists():
        return {}
    wanted = netns.stat().st_ino
    return _scan(lambda folder: (folder / "ns" / "net").stat().st_ino == wanted)


def kill_all(find: Callable[[], dict[int, int]], deadline_seconds: float = 5) -> None:
    """Kill whatever `find` finds, again and again until it finds nothing and all are gone."""
    killed: dict[int, int] = {}
    end = time.monotonic() + deadline_seconds
    while True:
        found = find()
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # A dying process has no environment any more: remember it until it is gone.
        killed.update(found)
        for pid in killed:
            _reap(pid)
        killed = {pid: start for pid, start in killed.items() if read_start_time(pid) == start}
        if not killed and not found:
            return
        if time.monotonic() > end:
            raise NotReadyError(
                f"processes {sorted(killed)} do not end {deadline_seconds:g} s after SIGKILL"
            )
        time.sleep(0.01)


def _scan(matches: Callable[[Path], bool]) -> dict[int, int]:
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                if matches(folder) and (start := read_start_time(int(folder.name))):
                    found[int(folder.name)] = start
    return found


def _reap(pid: int) -> None:
    # If the caller is the parent, a dead child stays a zombie until it is waited for.
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
