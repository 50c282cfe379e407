"""The trainer's process on this machine: start it, ask it for progress, stop it, read its end.

It is the same command as in a pod; the environment stands in for what the operator gives to pods.
It leads a process group of its own, so that Ctrl+C reaches only the CLI, which then decides.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import BinaryIO

from pydantic import ValidationError
from trainwright_api.names import ENV_NODE_NAME, ENV_POD_NAME
from trainwright_api.report import RunReport, TerminationMessage
from trainwright_api.run import Run

from trainwright_cli.local.folders import Folders
from trainwright_cli.local.locking import hold_lock, write_holder
from trainwright_cli.local.ports import LOOPBACK, find_free_ports
from trainwright_cli.proxies import spare_loopback

ANSWER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Trainer:
    """A started trainer; `port` serves its /status."""

    process: subprocess.Popen[bytes]
    port: int
    folders: Folders

    def fetch_report(self) -> RunReport | None:
        """Return what rank 0 says; None while it does not answer (starting, or ending)."""
        url = f"http://{LOOPBACK}:{self.port}/status"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=ANSWER_SECONDS) as answer:
                return RunReport.model_validate_json(answer.read())
        except (OSError, HTTPException, ValidationError):  # it may end while it answers
            return None

    def interrupt(self) -> None:
        """Ask the trainer to save a checkpoint and end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the trainer and all its ranks at once."""
        with suppress(ProcessLookupError):  # all have ended by themselves
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def read_termination(self) -> TerminationMessage | None:
        """Return what the trainer said at its end; None if it could say nothing."""
        try:
            content = self.folders.termination_file.read_text("utf-8")
            return TerminationMessage.model_validate(json.loads(content))
        except (OSError, ValueError):
            return None


@contextmanager
def running_trainer(
    run: Run, folders: Folders, environment: Mapping[str, str]
) -> Iterator[Trainer]:
    """Start the trainer, and kill it if it has not ended with the block.

    Raises CliError while another process trains this run in these folders.
    """
    with hold_lock(folders) as lock:
        trainer = _start_trainer(run, folders, environment, lock)
        try:
            yield trainer
        finally:
            if trainer.process.poll() is None:
                trainer.kill()


def _start_trainer(
    run: Run, folders: Folders, environment: Mapping[str, str], lock: BinaryIO
) -> Trainer:
    """Write run.json and start `python -m trainwright_trainer` on it; its output goes to the log.

    It inherits the lock: should this process be killed, the trainer goes on and still has its folders.
    """
    folders.create()
    folders.run_file.write_text(run.model_dump_json(by_alias=True, indent=2), "utf-8")
    folders.termination_file.unlink(missing_ok=True)
    port, rendezvous_port = find_free_ports(2)
    command = [sys.executable, "-m", "trainwright_trainer", "--run", str(folders.run_file)]
    with folders.log_file.open("ab") as log:
        process = subprocess.Popen(
            command,
            env={
                **environment,
                **spare_loopback(environment),
                **pod_environment(run, folders, port, rendezvous_port),
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )
    write_holder(lock, process.pid)
    return Trainer(process, port, folders)


def pod_environment(run: Run, folders: Folders, port: int, rendezvous_port: int) -> dict[str, str]:
    """Return what the operator and Kubeflow would give to the only pod of a run."""
    return {
        "PET_NNODES": "1",
        "PET_NODE_RANK": "0",
        "PET_NPROC_PER_NODE": str(run.workers.processes_per_node),
        "MASTER_ADDR": LOOPBACK,
        "MASTER_PORT": str(rendezvous_port),
        "TRAINWRIGHT_PORT": str(port),
        "TRAINWRIGHT_CREDENTIALS_FOLDER": str(folders.credentials),
        "TRAINWRIGHT_SCRATCH_FOLDER": str(folders.scratch),
        "TRAINWRIGHT_TERMINATION_FILE": str(folders.termination_file),
        "TRAINWRIGHT_VOLUMES_FOLDER": str(folders.volumes),
        ENV_NODE_NAME: socket.gethostname(),
        ENV_POD_NAME: run.name,
        "PYTHONUNBUFFERED": "1",
    }
