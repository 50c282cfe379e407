"""Starts the trainer as a pod would: real processes, real process groups, on loopback.

What trains in the trainer's own loop without its launcher is forked from a process that has imported all
there is to import: that takes longer than most of them train.
"""

import ctypes
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest.mock import patch

from trainwright_api.report import TerminationMessage
from trainwright_api.run import Run
from trainwright_trainer.settings import Settings, build_rank_environment

from tests.ports import free_port

# Far more than anything here takes: beside the other tiers, which have priority, this one gets a tenth of the
# cores for minutes.
HANG_SECONDS = 2400
PORTS_OF_A_GROUP = 2  # the ranks' own, and on the next one launchers watch each other
_PR_SET_PDEATHSIG = 1
# Steps of a few tokens are mostly buffers of gradients, which the C library otherwise gives back to the
# kernel after each of them and gets anew, page by page: a third of the time. It does so in any case with
# the heaps of its own that it gives to threads, such as gloo's.
KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**28),  # bytes
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_ARENA_MAX": "1",
}

# Of two threads that change the environment at once, the second would take what the first has put there
# for what was there before, and leave it behind.
_environment = threading.RLock()


@dataclass
class Launched:
    """A launcher's process with its folders."""

    process: subprocess.Popen[bytes]
    folder: Path
    port: int

    def wait(self, seconds: float = HANG_SECONDS) -> int:
        """Return the exit code."""
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()

    @property
    def log(self) -> str:
        """What launcher and ranks printed."""
        return (self.folder / "log").read_text(errors="replace")  # half a letter may be written

    @property
    def message(self) -> TerminationMessage:
        """The termination message."""
        return TerminationMessage.model_validate_json((self.folder / "termination").read_text())

    def rank_pids(self) -> list[int]:
        """Return the processes of the ranks, by rank."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]  # as they were started


def launch(
    run: Run, folder: Path, *, node_rank: int = 0, master_port: int | None = None, **more: str
) -> Launched:
    """Start a pod's launcher on a run, with scratch and termination message in a folder.

    `more` goes into its environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run_file = folder / "run.json"
    run_file.write_text(run.model_dump_json(by_alias=True))
    port = free_port()
    environment = os.environ | {
        "TRAINWRIGHT_SCRATCH_FOLDER": str(folder / "scratch"),
        "TRAINWRIGHT_TERMINATION_FILE": str(folder / "termination"),
        "TRAINWRIGHT_PORT": str(port),
        "MASTER_PORT": str(master_port or free_port(PORTS_OF_A_GROUP)),
        "PET_NODE_RANK": str(node_rank),
        **more,
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trainwright_trainer", "--run", str(run_file)],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    return Launched(process, folder, port)


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends: else a killed run of tests would train on and on."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run_workers(module: str, arguments: Sequence[str], *, num_ranks: int, folder: Path) -> None:
    """Run a module as a group of ranks and fail the test with its output if one ends badly."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    processes, logs = [], []
    for rank in range(num_ranks):
        settings = Settings(scratch_folder=folder / f"scratch-{rank}", master_port=port)
        environment = rank_environment(settings, rank, num_ranks) | {
            "TRAINWRIGHT_SCRATCH_FOLDER": str(settings.scratch_folder),
            "TRAINWRIGHT_PORT": str(free_port()),
            "PET_NODE_RANK": str(rank),
        }
        logs.append(folder / f"rank-{rank}.log")
        processes.append(fork_worker(module, arguments, environment, logs[-1]))
    deadline = time.monotonic() + HANG_SECONDS
    for process in processes:
        process.join(deadline - time.monotonic())
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    said = "\n".join(log.read_text(errors="replace")[-3000:] for log in logs)
    assert codes == [0] * num_ranks, f"{codes}\n{said}"


def rank_environment(settings: Settings, rank: int, num_ranks: int) -> dict[str, str]:
    """The environment of a rank with one thread, on a node of its own."""
    with _environment:
        return build_rank_environment(
            settings, rank=rank, local_rank=0, world_size=num_ranks, num_threads=1
        )


def fork_worker(
    module: str, arguments: Sequence[str], environment: dict[str, str], log: Path
) -> BaseProcess:
    """Fork a process that runs a module as its main program, with its output in a file."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.trainer.worker_imports"])
    with _environment:
        # Libraries read some of it when they are loaded, which is in the server.
        shared = rank_environment(Settings(), 0, 1) | KEEP_FREED_MEMORY
        with patch.dict(os.environ, shared):
            forkserver.ensure_running()
    process = context.Process(target=run_worker, args=(module, arguments, environment, log))
    process.start()
    return process


def run_worker(
    module: str, arguments: Sequence[str], environment: dict[str, str], log: Path
) -> None:
    """Be the process that `fork_worker` forks; its parent, the server, ends with the tests."""
    die_with_parent()
    with log.open("wb") as output:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(output.fileno(), stream.fileno())
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")
