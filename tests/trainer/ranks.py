"""Starts the trainer as a pod would: real processes, real process groups, on loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainwright_api.report import TerminationMessage
from trainwright_api.run import Run
from trainwright_cli.local.ports import find_free_ports
from trainwright_trainer.settings import Settings, build_rank_environment

HANG_SECONDS = 2400  # far more than workers take on a slow machine beside the other tiers
# Steps of a few tokens are mostly buffers of gradients, which the C library otherwise gives back to the
# kernel after each of them and gets anew, page by page: a third of the time. It does so in any case with
# the heaps of its own that it gives to threads, such as gloo's.
KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**28),  # bytes
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_ARENA_MAX": "1",
}


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    (port,) = find_free_ports(1)
    return port


@dataclass
class Launched:
    """A launcher's process with its folders."""

    process: subprocess.Popen[bytes]
    folder: Path
    port: int

    def wait(self, seconds: float = 300) -> int:
        """Return the exit code."""
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()

    @property
    def log(self) -> str:
        """What launcher and ranks printed."""
        return (self.folder / "log").read_text()

    @property
    def message(self) -> TerminationMessage:
        """The termination message."""
        return TerminationMessage.model_validate_json((self.folder / "termination").read_text())

    def rank_pids(self) -> list[int]:
        """Return the processes of the ranks, by rank."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return sorted(int(pid) for pid in path.read_text().split())


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
        "MASTER_PORT": str(master_port or free_port()),
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
        )
    return Launched(process, folder, port)


def run_workers(module: str, arguments: Sequence[str], *, num_ranks: int, folder: Path) -> None:
    """Run a module as a group of ranks and fail the test with its output if one ends badly."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    processes = []
    for rank in range(num_ranks):
        settings = Settings(scratch_folder=folder / f"scratch-{rank}", master_port=port)
        environment = build_rank_environment(
            settings,
            rank=rank,
            local_rank=0,
            world_size=num_ranks,
            num_threads=1,
        )
        environment |= KEEP_FREED_MEMORY | {
            "TRAINWRIGHT_SCRATCH_FOLDER": str(settings.scratch_folder),
            "TRAINWRIGHT_PORT": str(free_port()),
            "PET_NODE_RANK": str(rank),
        }
        command = [sys.executable, "-m", module, *arguments]
        processes.append(
            subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    outputs = [process.communicate(timeout=HANG_SECONDS)[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert codes == [0] * num_ranks, (
        json.dumps(codes) + "\n" + "\n".join(o[-3000:] for o in outputs)
    )
