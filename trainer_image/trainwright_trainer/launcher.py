"""Starts the ranks of a pod, passes signals on, and has the last word.

The ranks of all pods form one static group (address and number of the pod come from Kubeflow), so no
rendezvous is needed: a pod that loses a rank ends, the others lose their peer and end too, and the
operator starts the group anew. The launcher imports no torch: it must outlive what kills a rank, and
write the termination message with the rank, exit code and signal of the first that fell.
"""

import contextlib
import ctypes
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from pydantic import ValidationError
from trainwright_api.names import Cause, Outcome
from trainwright_api.report import TerminationMessage
from trainwright_api.run import Run

from trainwright_trainer.cgroups import available_cores, read_oom_kills
from trainwright_trainer.outcome import EXIT_CODES, outcome_file, read_outcome
from trainwright_trainer.peers import PeerWatch
from trainwright_trainer.settings import Settings, build_rank_environment
from trainwright_trainer.verdict import RankEnd, bounded_json, judge_ends

POLL_SECONDS = 0.1
GRACE_SECONDS = 15.0  # for the other ranks of the pod to end after one fell
LOST_PEER_SECONDS = 5.0  # for ranks to notice by themselves that another pod has gone
_PR_SET_PDEATHSIG = 1

logger = logging.getLogger("trainwright.launcher")


@dataclass
class RankProcess:
    """One rank's process; `order` counts the ends as the launcher sees them."""

    rank: int
    process: subprocess.Popen[bytes]
    order: int | None = None
    was_ended: bool = False


@dataclass
class Pod:
    """The ranks of this pod, and whether somebody asked them to stop."""

    settings: Settings
    ranks: list[RankProcess] = field(default_factory=list)
    was_asked_to_stop: bool = False

    def running(self) -> list[RankProcess]:
        """Return the ranks that have not ended, and number those that have."""
        running = []
        for rank in self.ranks:
            if rank.process.poll() is None:
                running.append(rank)
            elif rank.order is None:
                rank.order = sum(other.order is not None for other in self.ranks)
        return running

    def ends(self) -> list[RankEnd]:
        """Return how those ranks ended that have."""
        return [
            RankEnd(
                rank=rank.rank,
                exit_code=rank.process.returncode,
                told=read_outcome(outcome_file(self.settings.scratch_folder, rank.rank)),
                order=rank.order,
                was_ended=rank.was_ended,
            )
            for rank in self.ranks
            if rank.order is not None
        ]

    def signal_running(self, number: signal.Signals) -> None:
        """Send a signal to every rank that has not ended."""
        for rank in self.ranks:
            if rank.process.poll() is None:
                rank.process.send_signal(number)

    def end_running(self, number: signal.Signals) -> None:
        """End the ranks that are left; what they say from now on explains nothing."""
        for rank in self.running():
            rank.was_ended = True
        self.signal_running(number)


def launch(run_file: Path, settings: Settings) -> int:
    """Run this pod's ranks to their end, write the termination message, return the exit code."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    pod = Pod(settings)
    with _forward_signals(pod):
        try:
            run = Run.model_validate_json(run_file.read_text())
        except (OSError, ValidationError) as error:
            return _finish(_describe_no_run(run_file, error), settings)
        message = _run_ranks(pod, run, run_file)
    return _finish(message.model_copy(update={"node": settings.node_name}), settings)


def _describe_no_run(run_file: Path, error: Exception) -> TerminationMessage:
    text = f"{run_file}: got no resolved run ({error}), expected JSON written by the operator or the CLI"
    return TerminationMessage(outcome=Outcome.FAILED, cause=Cause.USER_ERROR, message=text)


def _run_ranks(pod: Pod, run: Run, run_file: Path) -> TerminationMessage:
    """Start the ranks, watch them and the other pods, and judge how they ended."""
    settings = pod.settings
    outcomes = settings.scratch_folder / "outcomes"
    outcomes.mkdir(parents=True, exist_ok=True)
    for stale in outcomes.glob("*.json"):
        stale.unlink()
    oom_kills_before = read_oom_kills()
    watch = PeerWatch(
        node_rank=settings.node_rank,
        num_nodes=run.workers.nodes,
        address=settings.master_address,
        port=settings.master_port + 1,
        silence_seconds=settings.peer_silence_seconds,
        attempt=f"{run.uid}/{run.attempt}",
    )
    watch.start()
    _start_ranks(pod, run, run_file)
    _wait_for_all(pod, watch)
    ends = pod.ends()
    watch.close(is_good_end=not any(end.has_fallen for end in ends))
    return judge_ends(
        ends,
        was_asked_to_stop=pod.was_asked_to_stop,
        num_oom_kills=read_oom_kills() - oom_kills_before,
        lost_peer=watch.lost,
    )


def _start_ranks(pod: Pod, run: Run, run_file: Path) -> None:
    settings, per_node = pod.settings, run.workers.processes_per_node
    num_threads = settings.num_threads or max(1, available_cores() // per_node)
    for local_rank in range(per_node):
        rank = settings.node_rank * per_node + local_rank
        environment = build_rank_environment(
            settings,
            rank=rank,
            local_rank=local_rank,
            world_size=run.world_size,
            num_threads=num_threads,
            device="cuda" if run.workers.uses_accelerators else "cpu",
        )
        command = [sys.executable, "-m", "trainwright_trainer.rank", "--run", str(run_file)]
        process = subprocess.Popen(command, env=environment, preexec_fn=_die_with_parent)
        pod.ranks.append(RankProcess(rank, process))
    logger.info(
        "started ranks %d-%d of %d, %d threads each",
        pod.ranks[0].rank,
        pod.ranks[-1].rank,
        run.world_size,
        num_threads,
    )
    if pod.was_asked_to_stop:
        pod.signal_running(signal.SIGTERM)


def _die_with_parent() -> None:
    """Outside a container nothing else ends the ranks when the launcher is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def _forward_signals(pod: Pod) -> Iterator[None]:
    """Pass SIGTERM and SIGINT on as SIGTERM: ranks that train save and end, others end at once.

    As a container's first process the launcher would ignore SIGTERM without a handler.
    """

    def forward(number: int, _frame: FrameType | None) -> None:
        logger.info("received %s: ranks save and stop", signal.Signals(number).name)
        pod.was_asked_to_stop = True
        pod.signal_running(signal.SIGTERM)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_for_all(pod: Pod, watch: PeerWatch) -> None:
    """Wait until all ranks have ended; the fall of one, or of another pod, ends the others soon."""
    kill_at: float | None = None
    while pod.running():
        if kill_at is None and any(end.has_fallen for end in pod.ends()):
            kill_at = time.monotonic() + GRACE_SECONDS
            pod.end_running(signal.SIGTERM)
        elif kill_at is None and watch.lost is not None:
            kill_at = time.monotonic() + LOST_PEER_SECONDS
        elif kill_at is not None and time.monotonic() > kill_at:
            pod.end_running(signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def _finish(message: TerminationMessage, settings: Settings) -> int:
    text = bounded_json(message)
    logger.info("ended: %s", text)
    try:
        settings.termination_file.write_text(text)
    except OSError as error:
        logger.warning("cannot write the termination message: %s", error)
    return EXIT_CODES[message.outcome, message.cause == Cause.USER_ERROR]
