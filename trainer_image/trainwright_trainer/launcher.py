"""Starts the ranks of a pod, passes signals on, and has the last word.

The ranks of all pods form one static group (address and number of the pod come from Kubeflow), so no
rendezvous is needed: a pod that loses a rank ends, the others lose their peer and end too, and the
operator starts the group anew. The launcher imports no torch: it must outlive what kills a rank, and
write the termination message with the rank, exit code and signal of the first that fell.
"""

import contextlib
import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from pydantic import ValidationError
from trainwright_api.names import Cause, Outcome
from trainwright_api.report import TERMINATION_MESSAGE_LIMIT_BYTES, TerminationMessage
from trainwright_api.run import Run

from trainwright_trainer.outcome import EXIT_CODES, outcome_file, read_outcome
from trainwright_trainer.settings import Settings, build_rank_environment

POLL_SECONDS = 0.1
GRACE_SECONDS = 15.0  # for the other ranks of the pod to end after one fell
_PR_SET_PDEATHSIG = 1

logger = logging.getLogger("trainwright.launcher")


@dataclass
class RankProcess:
    """One rank's process."""

    rank: int
    process: subprocess.Popen[bytes]


def launch(run_file: Path, settings: Settings) -> int:
    """Run this pod's ranks to their end, write the termination message, return the exit code."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        run = Run.model_validate_json(run_file.read_text())
    except (OSError, ValidationError) as error:
        text = f"{run_file}: got no resolved run ({error}), expected JSON written by the operator or the CLI"
        return _finish(
            TerminationMessage(outcome=Outcome.FAILED, cause=Cause.USER_ERROR, message=text),
            settings,
        )
    outcomes = settings.scratch_folder / "outcomes"
    outcomes.mkdir(parents=True, exist_ok=True)
    for stale in outcomes.glob("*.json"):
        stale.unlink()
    ranks = _start_ranks(run, run_file, settings)
    with _forward_signals(ranks):
        first = _wait_for_all(ranks)
    message = _judge(ranks, first, settings)
    return _finish(message.model_copy(update={"node": settings.node_name}), settings)


def _start_ranks(run: Run, run_file: Path, settings: Settings) -> list[RankProcess]:
    per_node = run.workers.processes_per_node
    num_threads = settings.num_threads or max(1, available_cores() // per_node)
    ranks = []
    for local_rank in range(per_node):
        rank = settings.node_rank * per_node + local_rank
        environment = build_rank_environment(
            settings,
            rank=rank,
            local_rank=local_rank,
            world_size=run.world_size,
            num_threads=num_threads,
        )
        command = [sys.executable, "-m", "trainwright_trainer.rank", "--run", str(run_file)]
        process = subprocess.Popen(command, env=environment, preexec_fn=_die_with_parent)
        ranks.append(RankProcess(rank, process))
    logger.info(
        "started ranks %d-%d of %d, %d threads each",
        ranks[0].rank,
        ranks[-1].rank,
        run.world_size,
        num_threads,
    )
    return ranks


def _die_with_parent() -> None:
    """Outside a container nothing else ends the ranks when the launcher is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def available_cores() -> int:
    """Return the cores this process may use: affinity, bounded by the cgroup's CPU quota."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, round(quota) if (quota := read_cpu_quota()) else cores))


def read_cpu_quota() -> float | None:
    """Return the CPU limit of the container in cores, or None (cgroup v2, then v1)."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    for folder in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"):
        with contextlib.suppress(OSError, ValueError):
            microseconds = int(Path(folder, "cpu.cfs_quota_us").read_text())
            period_microseconds = int(Path(folder, "cpu.cfs_period_us").read_text())
            return microseconds / period_microseconds if microseconds > 0 else None
    return None


@contextlib.contextmanager
def _forward_signals(ranks: list[RankProcess]) -> Iterator[None]:
    """Pass SIGTERM and SIGINT on as SIGTERM: the ranks save and end."""

    def forward(number: int, _frame: FrameType | None) -> None:
        logger.info("received %s: ranks save and stop", signal.Signals(number).name)
        for rank in ranks:
            if rank.process.poll() is None:
                rank.process.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_for_all(ranks: list[RankProcess]) -> RankProcess | None:
    """Wait until all ranks have ended; return the first that ended badly, if one did."""
    first: RankProcess | None = None
    deadline: float | None = None
    while any(rank.process.poll() is None for rank in ranks):
        if first is None:
            first = _find_first([rank for rank in ranks if rank.process.poll()])
            if first is not None:
                deadline = time.monotonic() + GRACE_SECONDS
                _signal_rest(ranks, lambda process: process.terminate())
        elif deadline is not None and time.monotonic() > deadline:
            _signal_rest(ranks, lambda process: process.kill())
            deadline = None
        time.sleep(POLL_SECONDS)
    return first or _find_first([rank for rank in ranks if rank.process.returncode])


def _find_first(fallen: list[RankProcess]) -> RankProcess | None:
    """Of the ranks seen to have fallen at once, return the one that a signal ended, else the first.

    A rank that loses its peer ends within milliseconds of it; it never ends by a signal for that.
    """
    return min(fallen, key=lambda rank: (rank.process.returncode >= 0, rank.rank), default=None)


def _signal_rest(ranks: list[RankProcess], act: Callable[[subprocess.Popen[bytes]], None]) -> None:
    for rank in ranks:
        if rank.process.poll() is None:
            act(rank.process)


def _judge(
    ranks: list[RankProcess], first: RankProcess | None, settings: Settings
) -> TerminationMessage:
    """Return what is to be said of this pod's end; the first that fell counts."""
    told = {
        rank.rank: read_outcome(outcome_file(settings.scratch_folder, rank.rank)) for rank in ranks
    }
    if first is None:
        own = told[ranks[0].rank]
        return own or TerminationMessage(outcome=Outcome.SUCCEEDED)
    code = first.process.returncode
    own = told[first.rank]
    if own is not None and own.outcome is Outcome.INTERRUPTED:
        # All ranks stop alike; the pod's first knows of the checkpoint.
        own = told[ranks[0].rank] or own
    if own is not None:
        return own.model_copy(update={"rank": first.rank, "exit_code": code})
    if code < 0:
        return _judge_signal(first, -code)
    return TerminationMessage(
        outcome=Outcome.FAILED,
        cause=Cause.UNKNOWN,
        message=f"rank {first.rank} ended with exit code {code} and left no message; see its log",
        rank=first.rank,
        exit_code=code,
    )


def _judge_signal(first: RankProcess, number: int) -> TerminationMessage:
    name = signal.Signals(number).name
    cause, why = Cause.INFRASTRUCTURE, "something outside of it ended it"
    if number == signal.SIGKILL and read_oom_kills():
        cause, why = (
            Cause.OUT_OF_MEMORY,
            "the container's memory limit was reached; raise resources.memory",
        )
    elif number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE):
        cause, why = Cause.UNKNOWN, "it crashed; see its log"
    return TerminationMessage(
        outcome=Outcome.FAILED,
        cause=cause,
        message=f"rank {first.rank} was ended by {name}: {why}",
        rank=first.rank,
        exit_code=128 + number,
        signal=name,
    )


def read_oom_kills() -> int:
    """Return how many processes of this container the kernel killed for memory (cgroup v2, then v1)."""
    for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        with contextlib.suppress(OSError):
            for line in Path(path).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def _finish(message: TerminationMessage, settings: Settings) -> int:
    text = bounded_json(message)
    logger.info("ended: %s", text)
    try:
        settings.termination_file.write_text(text)
    except OSError as error:
        logger.warning("cannot write the termination message: %s", error)
    return EXIT_CODES[message.outcome, message.cause == Cause.USER_ERROR]


def bounded_json(message: TerminationMessage) -> str:
    """Return the message as JSON that the kubelet keeps whole, cutting the text if need be."""
    while True:
        text = json.dumps(message.to_manifest())
        excess = len(text.encode()) - TERMINATION_MESSAGE_LIMIT_BYTES
        if excess <= 0:
            return text
        if message.model is not None and message.model.samples:
            message = message.model_copy(
                update={"model": message.model.model_copy(update={"samples": []})}
            )
        elif len(message.message) > 100:
            keep = max(100, len(message.message) - excess - 16)
            message = message.model_copy(update={"message": message.message[: keep - 3] + "..."})
        else:
            message = TerminationMessage(
                outcome=message.outcome, cause=message.cause, message=message.message
            )
